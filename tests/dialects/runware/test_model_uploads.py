"""`modelUpload`: what is refused, five phases for what is not, and what an account may do to its models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load

from penstock.dialects.runware.model_wire import OTHER_CONDITIONINGS
from penstock.domain.model_cards import ARCHITECTURES, CONDITIONINGS, TYPES
from penstock.domain.weights import Category
from penstock.services.models import Part
from tests.dialects.runware.client import Runware, uuid
from tests.dialects.runware.shelf import EXAMPLES, ORDER, Shelf, ask, found, frames, own, phases, upload
from tests.dialects.runware.upload_tasks import COMMON, fit_tasks, wrong_tasks
from tests.support.exchange import fetch
from tests.support.remote import redirecting

if TYPE_CHECKING:
    from tests.dialects.runware.upload_tasks import Task
    from tests.support.exchange import Answer
    from tests.support.house import House


def owned(client: Runware, task: Task) -> Task:
    """The task under the client's own source, and a UUID of its own."""
    air = f"{client.source}:1@1" if task.get("air") == COMMON["air"] else task.get("air")
    return {**task, "taskUUID": uuid(), **({} if "air" not in task else {"air": air})}


def only_error(said: object) -> dict[str, object]:
    """The one error of an answer that holds nothing else."""
    assert isinstance(said, dict)
    assert list(said) == ["errors"]
    (error,) = said["errors"]
    assert isinstance(error, dict)
    return error


def refused(answer: Answer, status: int, code: str, parameter: str | None) -> None:
    error = only_error(answer.must(status))
    assert (error["code"], error.get("parameter")) == (code, parameter)


@pytest.mark.statement("RU-14")
def test_each_wrong_parameter_is_one_error_that_names_it(acme: Runware) -> None:
    with acme.socket() as wire:
        for wrong, code, name in wrong_tasks():
            task = owned(acme, wrong)
            error = only_error(acme.post(task).must(400))
            told = (error["code"], error["parameter"], error["taskType"], error["taskUUID"])
            assert told == (code, name, "modelUpload", task["taskUUID"]), task
            assert error["message"]
            assert only_error(wire.ask(task)) == error
        assert wire.quiet()
    assert len(own(acme)) == 0


@pytest.mark.statement("RU-15")
def test_every_limit_is_included(acme: Runware, shelf: Shelf, house: House) -> None:
    for fit in fit_tasks():
        source = acme.source if fit["air"].islower() else acme.source.upper()
        task = {**owned(acme, fit), "air": fit["air"].replace("acme", source).replace("ACME", source)}
        said = acme.post(task, headers={"X-Runware-Dry-Run": "1"}).must(200)
        assert said["data"] == [{"taskType": "modelUpload", "taskUUID": task["taskUUID"], "dryRun": True, "cost": 0}]

    extremes = {
        "defaultSteps": 100,
        "defaultCFG": 30,
        "defaultStrength": 0,
        "tags": [f"{n:0400}" for n in range(100)],
        "shortDescription": "d" * 40_000,
        "comment": "c" * 1000,
    }
    task = shelf.task(acme, "checkpoint", type="base", **extremes)
    upload(acme, house, task)
    model = found(acme, task["air"])
    assert model is not None
    assert {name: model[name] for name in extremes} == extremes


@pytest.mark.statement("RU-96", "RU-18")
def test_an_air_that_is_none_or_that_is_not_the_accounts_is_one_error_at_air(
    acme: Runware, rival: Runware, shelf: Shelf
) -> None:
    task = shelf.task(acme)
    for air in ("1@1", f"{acme.source}:1", f"{acme.source}:one@1", f"{acme.source}:1@one"):
        for _ in range(2):  # refused again, by the same words, under the same UUID
            refused(acme.post({**task, "air": air}), 400, "invalidAir", "air")
    unknown, foreign = (
        only_error(acme.post({**task, "air": air}).must(403)) for air in ("nobody:1@1", f"{rival.source}:1@1")
    )

    assert (unknown["code"], unknown["parameter"]) == ("modelOwnershipValidationError", "air")
    assert foreign == {**unknown, "message": str(unknown["message"]).replace("nobody", rival.source)}
    assert shelf.visits(task["downloadURL"]) == []


@pytest.mark.statement("RU-21", "RU-29")
def test_five_frames_tell_of_five_phases_and_the_file_is_fetched_once(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    task = shelf.task(acme)

    with acme.socket() as wire:
        wire.say(task)
        assert wire.hear() == phases(task, "validated")[0]
        house.work()
        assert frames(wire, 4) == phases(task, *ORDER[1:])
        assert wire.quiet()

    assert [visit.method for visit in shelf.visits(task["downloadURL"])] == ["GET"]
    account_id = house.accounts.authenticate(acme.key).account_id
    stored = fetch(house.registry.location(account_id, task["air"], Part.ORIGINAL))
    assert stored.body == shelf.files.path(EXAMPLES["embeddings"][0]).read_bytes()


@pytest.mark.statement("RU-22")
def test_every_category_and_type_becomes_ready(acme: Runware, shelf: Shelf, house: House) -> None:
    cases = {
        **{f"{category} ": shelf.task(acme, category) for category in EXAMPLES if Category(category) not in TYPES},
        "checkpoint base": shelf.task(acme, "checkpoint"),
        "checkpoint inpainting": shelf.task(
            acme,
            "checkpoint",
            type="inpainting",
            architecture="flux1d",
            downloadURL=shelf.url("checkpoint/flux_fill_bfl"),
        ),
        "checkpoint refiner": shelf.task(
            acme, "checkpoint", type="refiner", architecture="sdxl", downloadURL=shelf.url("checkpoint/sdxl_refiner")
        ),
        "embeddings positive": shelf.task(acme, "embeddings"),
        "embeddings negative": shelf.task(
            acme, "embeddings", type="negative", downloadURL=shelf.url("embeddings/sd15_emb_params")
        ),
    }
    assert len(cases) == 4 + sum(map(len, TYPES.values()))

    for task in cases.values():
        upload(acme, house, task)

    for task in cases.values():
        model = found(acme, task["air"])
        assert model is not None
        assert (model["category"], model.get("type")) == (task["category"], task.get("type"))


@pytest.mark.statement("RU-23")
def test_every_architecture_becomes_ready(acme: Runware, shelf: Shelf, house: House) -> None:
    files = {
        **dict.fromkeys(("flux1s", "flux1d"), "lycoris/flux_lokr"),
        "fluxkontextdev": "controlnet/flux_instantx",
        **dict.fromkeys(("hidreamdev", "hidreamfull"), "vae/flux_16ch_bfl"),
        "qwen_image": "vae/qwen_3d",
        **dict.fromkeys(("sd1x", "sdhyper", "sd1xlcm"), "embeddings/sd15_diffusers_token"),
        "sd3": "embeddings/sd3_clip_lg_t5",
    }
    tasks = []
    for architecture in ARCHITECTURES:
        case = files.get(architecture, "lycoris/sdxl_lokr")
        tasks.append(shelf.task(acme, case.partition("/")[0], architecture=architecture, downloadURL=shelf.url(case)))
        upload(acme, house, tasks[-1])

    listed = {model["air"]: model["architecture"] for model in own(acme)}
    assert listed == {task["air"]: task["architecture"] for task in tasks}


@pytest.mark.statement("RU-24", "RU-27")
def test_every_conditioning_becomes_ready_in_all_its_spellings(acme: Runware, shelf: Shelf, house: House) -> None:
    task = shelf.task(acme, "controlnet")
    names = {**{name: name for name in CONDITIONINGS}, **OTHER_CONDITIONINGS}

    for number, said in enumerate(names, start=1):
        air = f"{acme.source}:{number}@1"
        upload(acme, house, {**task, "taskUUID": uuid(), "air": air, "conditioning": said})

    listed = {model["air"]: model["conditioning"] for model in own(acme)}
    assert list(listed.values()).count("seg") == 2
    assert listed == {f"{acme.source}:{n}@1": kept for n, kept in enumerate(names.values(), start=1)}


@pytest.mark.statement("RU-25", "RU-26")
def test_other_spellings_say_the_same(acme: Runware, shelf: Shelf, house: House) -> None:
    hero = "https://files.example.com/hero.png"
    for number, name in enumerate(("defaultCFG", "defaultGuidanceScale", "defaultCFGScale"), start=1):
        task = shelf.task(acme, "checkpoint", air=f"{acme.source}:{number}@1", heroImageUrl=hero, **{name: 6.5})
        task["downloadUrl"] = task.pop("downloadURL")
        words: object = "one, two" if number == 1 else ["one", "two"]
        upload(acme, house, {**task, "positiveTriggerWords": words, "negativeTriggerWords": words})

    for model in own(acme):
        assert (model["defaultCFG"], model["heroImage"]) == (6.5, hero)
        assert (model["positiveTriggerWords"], model["negativeTriggerWords"]) == ("one, two", "one, two")
    assert len(own(acme)) == 3


@pytest.mark.statement("RU-28", "RU-62")
def test_what_is_left_out_has_the_products_defaults(acme: Runware, shelf: Shelf, house: House) -> None:
    checkpoint, lora = shelf.task(acme, "checkpoint"), shelf.task(acme, "lora")
    upload(acme, house, checkpoint)
    upload(acme, house, lora)

    model = found(acme, checkpoint["air"])
    assert model is not None
    defaults = (model["defaultSteps"], model["defaultCFG"], model["defaultStrength"], model["private"])
    assert defaults == (20, 7, 0.8, True)
    other = found(acme, lora["air"])
    assert other is not None
    assert (other["defaultWeight"], other["private"]) == (1, True)
    assert "defaultSteps" not in other


@pytest.mark.statement("RU-17")
def test_a_uuid_that_has_succeeded_is_not_taken_again(
    acme: Runware, rival: Runware, shelf: Shelf, house: House
) -> None:
    task = shelf.task(acme)
    upload(acme, house, task)

    refused(acme.post(task), 400, "conflictTaskUUID", "taskUUID")
    upload(rival, house, {**task, "air": f"{rival.source}:1@1"})  # whose UUIDs are their own


@pytest.mark.statement("RU-57")
def test_a_running_task_that_comes_again_is_followed_from_its_beginning(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    task = shelf.task(acme)

    with acme.socket() as first, acme.socket() as second:
        first.say(task)
        assert first.hear() == phases(task, "validated")[0]
        second.say(task)
        assert second.hear() == phases(task, "validated")[0]
        refused(acme.post({**task, "name": "Another"}), 400, "conflictTaskUUID", "taskUUID")
        house.work()
        assert frames(first, 4) == frames(second, 4) == phases(task, *ORDER[1:])

    assert len(shelf.visits(task["downloadURL"])) == 1


@pytest.mark.statement("RU-30", "RU-31", "RU-34")
def test_the_same_air_again_is_an_update(acme: Runware, shelf: Shelf, house: House) -> None:
    task = shelf.task(acme, tags=["first"], comment="for us", defaultWeight=2)
    upload(acme, house, task)
    before = found(acme, task["air"])
    assert before is not None

    changed = {**task, "taskUUID": uuid(), "name": "New name", "tags": ["second"], "private": False}
    del changed["comment"]
    with acme.socket() as wire:
        wire.say(changed)
        assert wire.hear() == phases(task, "validated")[0] | {
            "data": [{**phases(task, "validated")[0]["data"][0], "taskUUID": changed["taskUUID"]}]
        }
        house.work()
        assert [frame["data"][0]["status"] for frame in frames(wire, 4)] == ORDER[1:]

    assert found(acme, task["air"]) == {**before, "name": "New name", "tags": ["second"], "private": False}
    assert len(shelf.visits(task["downloadURL"])) == 1
    other = {
        **changed,
        "taskUUID": uuid(),
        "uniqueIdentifier": "other",
        "downloadURL": shelf.url("embeddings/sd15_emb_params"),
    }
    upload(acme, house, other)
    assert len(shelf.visits(other["downloadURL"])) == 1
    assert len(shelf.visits(task["downloadURL"])) == 1
    assert len(own(acme)) == 1


@pytest.mark.statement("RU-32")
def test_another_version_is_another_model(acme: Runware, shelf: Shelf, house: House) -> None:
    task = shelf.task(acme)
    upload(acme, house, task)
    before = found(acme, task["air"])

    air = task["air"].replace("@1", "@2")
    upload(acme, house, {**task, "taskUUID": uuid(), "air": air, "name": "Second", "uniqueIdentifier": "second"})

    assert found(acme, task["air"]) == before
    second = found(acme, air)
    assert second is not None
    assert second["name"] == "Second"
    assert len(own(acme)) == 2


@pytest.mark.statement("RU-33")
def test_neither_type_nor_category_can_change(acme: Runware, shelf: Shelf, house: House) -> None:
    task = shelf.task(acme)
    upload(acme, house, task)
    before = found(acme, task["air"])

    refused(acme.post({**task, "taskUUID": uuid(), "type": "negative"}), 400, "invalidType", "type")
    lora = {**task, "taskUUID": uuid(), "category": "lora"}
    refused(acme.post(lora), 400, "invalidCategory", "category")
    house.work()
    assert found(acme, task["air"]) == before


@pytest.mark.statement("RU-40", "RU-42", "RU-18")
def test_a_file_that_is_no_model_fails_after_the_first_phase_and_leaves_no_trace(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    whole = shelf.files.path("embeddings/sd15_diffusers_token").read_bytes()
    wrong = {
        "downloadFailed": [shelf.remote.url("/nothing-here")],
        "invalidModelFile": [shelf.put(b"GGUF" + bytes(100)), shelf.put(whole[:-7]), shelf.put(b"")],
    }
    old = shelf.task(acme)
    upload(acme, house, old)
    before = found(acme, old["air"])
    with acme.socket() as wire:
        for code, urls in wrong.items():
            for url in urls:
                for air in (f"{acme.source}:99@1", old["air"]):  # a new model, and an update of a good one
                    task = shelf.task(acme, air=air, downloadURL=url)
                    for _ in range(2):  # the UUID is free again
                        wire.say(task)
                        assert wire.hear() == phases(task, "validated")[0]
                        house.work()
                        error = only_error(wire.hear())
                        told = {name: error[name] for name in ("code", "parameter", "taskType", "taskUUID")}
                        expected = {"code": code, "parameter": "downloadURL", "taskType": "modelUpload"}
                        assert told == {**expected, "taskUUID": task["taskUUID"]}
                        assert error["message"]
        assert wire.quiet()

    assert len(own(acme)) == 1
    assert found(acme, old["air"]) == before


def test_a_model_that_is_not_what_was_declared_is_refused_in_words_that_help(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    task = shelf.task(acme, "lycoris", architecture="sd1x")
    acme.post({**task, "deliveryMethod": "async"}).must(200)
    house.work()

    error = only_error(ask(acme, task))

    assert error["code"] == "invalidModelFile"
    assert "sdxl" in str(error["message"]).lower()


@pytest.mark.statement("RU-41")
def test_forbidden_places_are_refused_wherever_they_are_named(acme: Runware, shelf: Shelf, house: House) -> None:
    for url in (
        "http://10.0.0.1/m.safetensors",
        "http://169.254.169.254/latest",
        "http://[::1]:9/m",
        "http://2130706433/",
    ):
        answer = acme.post(shelf.task(acme, downloadURL=url))
        error = only_error(answer.must(400))
        assert error["parameter"] == "downloadURL", url
    shelf.remote.on("/away", redirecting("http://169.254.169.254/latest"))
    task = shelf.task(acme, downloadURL=shelf.remote.url("/away"), deliveryMethod="async")
    acme.post(task).must(200)
    house.work()

    error = only_error(ask(acme, task))
    assert (error["code"], error["parameter"]) == ("downloadFailed", "downloadURL")
    assert len(own(acme)) == 0


@pytest.mark.statement("RU-64")
def test_only_the_owner_can_update(acme: Runware, rival: Runware, shelf: Shelf, house: House) -> None:
    task = shelf.task(acme, private=False)
    upload(acme, house, task)
    before = found(acme, task["air"])

    refused(rival.post({**task, "taskUUID": uuid(), "name": "Mine"}), 403, "modelOwnershipValidationError", "air")
    house.work()
    assert found(acme, task["air"]) == before


def test_a_key_that_may_not_write_models_uploads_none(acme: Runware, house: House, shelf: Shelf) -> None:
    scopes = ("models:read", "files:read", "files:write", "runs:write")
    reader = Runware(base=acme.base, key=house.create_key(f"reader-of-{acme.source}", scopes=scopes))

    refused(reader.post(shelf.task(acme)), 403, "insufficientPermissions", None)
    assert len(own(reader)) == 0


def test_trying_an_upload_finds_what_is_wrong_and_begins_nothing(acme: Runware, shelf: Shelf, house: House) -> None:
    task = shelf.task(acme)

    said = acme.post(task, headers={"X-Runware-Dry-Run": "1"}).must(200)
    with acme.socket("?dryRun=1") as wire:
        heard = wire.ask(task)
        wrong = only_error(wire.ask({**task, "air": "nobody:1@1"}))

    assert (
        said
        == heard
        == {"data": [{"taskType": "modelUpload", "taskUUID": task["taskUUID"], "dryRun": True, "cost": 0}]}
    )
    assert wrong["code"] == "modelOwnershipValidationError"
    house.work()
    assert shelf.visits(task["downloadURL"]) == []
    assert only_error(ask(acme, task))["code"] == "taskNotFound"


@pytest.mark.statement("RU-80", "RU-93")
def test_a_new_file_needs_a_balance_that_covers_a_day_of_what_is_stored(
    broke: Runware, poor: Runware, shelf: Shelf, house: House
) -> None:
    refused(broke.post(shelf.task(broke)), 402, "insufficientCredits", None)
    with broke.socket() as wire:
        assert only_error(wire.ask(shelf.task(broke)))["code"] == "insufficientCredits"
        assert wire.quiet()

    task = shelf.task(poor)
    upload(poor, house, task)
    refused(poor.post(shelf.task(poor)), 402, "insufficientCredits", None)
    upload(poor, house, {**task, "taskUUID": uuid(), "name": "Words need no balance"})
    assert [model["name"] for model in own(poor)] == ["Words need no balance"]


@pytest.mark.statement("RU-16")
def test_of_several_uploads_the_wrong_ones_do_not_stop_the_good_one(acme: Runware, shelf: Shelf, house: House) -> None:
    good = {**shelf.task(acme), "deliveryMethod": "async"}
    wrong = shelf.task(acme, format="ckpt")
    foreign = shelf.task(acme, air="nobody:1@1")

    said = acme.post(wrong, good, foreign).must(200)
    with acme.socket() as wire:
        wire.say(*({**task, "taskUUID": uuid()} for task in (wrong, shelf.task(acme, deliveryMethod="async"), foreign)))
        heard = frames(wire, 3)
    house.work()

    assert [item["taskUUID"] for item in said["data"]] == [good["taskUUID"]]
    assert [error["taskUUID"] for error in said["errors"]] == [wrong["taskUUID"], foreign["taskUUID"]]
    assert [*map(list, heard)] == [["errors"], ["data"], ["errors"]]
    assert len(own(acme)) == 2


@pytest.mark.statement("RU-99")
def test_the_served_weights_are_those_that_were_uploaded_within_the_bound_of_their_type(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    task = shelf.task(acme, "checkpoint", architecture="sd1x", downloadURL=shelf.url("checkpoint/sd15_ema_fp32"))
    upload(acme, house, task)
    account_id = house.accounts.authenticate(acme.key).account_id
    before, after = (
        load(fetch(house.registry.location(account_id, task["air"], part)).body)
        for part in (Part.ORIGINAL, Part.OPTIMIZED)
    )

    assert {name.partition(".")[0] for name in before.keys() - after.keys()} == {"model_ema"}
    narrowed = [name for name, tensor in after.items() if tensor.dtype != before[name].dtype]
    assert narrowed
    assert {after[name].dtype.name for name in narrowed} == {"float16"}
    for name, tensor in after.items():
        whole = before[name].astype(np.float64)
        bound = np.abs(whole) * 2**-11 + 2**-25 if name in narrowed else np.zeros_like(whole)
        assert (np.abs(tensor.astype(np.float64) - whole) <= bound).all(), name
