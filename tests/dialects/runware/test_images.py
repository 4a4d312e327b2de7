"""Pictures by registered models: one run for each, one frame for each; the builtin preview makes them."""

from __future__ import annotations

import base64
import io
import json
import threading
import tomllib
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from penstock.dialects.runware import rooms
from penstock.dialects.runware.image_wire import model_inputs, parse_image_task
from penstock.dialects.runware.tasks import images
from penstock.domain.catalog_parsing import parse_catalog
from penstock.domain.ids import AssetId
from tests.dialects.runware.client import Runware, task, uuid
from tests.dialects.runware.shelf import Shelf, ask, ready
from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.house import House
    from tests.support.remote import Visit

SMALL = {"width": 64, "height": 64, "positivePrompt": "a river at dawn"}


@contextmanager
def working(house: House) -> Iterator[None]:
    """What is queued is done meanwhile."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            house.work()
            stop.wait(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def picture(data: bytes) -> tuple[str | None, tuple[int, int], bytes]:
    """Format, size and pixels."""
    with Image.open(io.BytesIO(data)) as image:
        return image.format, image.size, image.convert("RGB").tobytes()


def fetched(url: str) -> bytes:
    """What is behind a URL of a picture."""
    answer = exchange("GET", url)
    assert answer.status == 307
    return exchange("GET", answer.headers["location"]).body


def infer(client: Runware, house: House, model: str, **more: object) -> Any:  # noqa: ANN401 - JSON
    """What comes of an asynchronous task in the end."""
    asked = task("imageInference", model=model, deliveryMethod="async", **{**SMALL, **more})
    said = client.post(asked).json()
    if "errors" in said:
        return said
    assert said == {"data": [{"taskType": "imageInference", "taskUUID": asked["taskUUID"]}]}
    house.work()
    return ask(client, asked)


@pytest.mark.statement("RU-70")
def test_a_checkpoint_that_was_uploaded_makes_as_many_different_pictures_as_were_asked_for(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    air = ready(acme, house, shelf)
    asked = task("imageInference", model=air, numberResults=3, seed=7, includeCost=True, **SMALL)

    with working(house), acme.socket() as wire:
        wire.say(asked)
        frames = [wire.hear() for _ in range(3)]
        assert wire.quiet()
        wire.say(asked)
        again = [wire.hear() for _ in range(3)]
        rest = acme.post(task("imageInference", model=air, seed=7, **SMALL)).must(200)

    items = [frame["data"][0] for frame in frames]
    assert [len(frame["data"]) for frame in frames] == [1, 1, 1]
    assert set(items[0]) == {"taskType", "taskUUID", "imageUUID", "imageURL", "seed", "cost"}
    assert {item["taskUUID"] for item in items} == {asked["taskUUID"]}
    assert [(item["seed"], item["cost"]) for item in items] == [(7, 0.001), (8, 0.001), (9, 0.001)]
    assert len({item["imageUUID"] for item in items}) == 3
    pictures = [picture(fetched(item["imageURL"])) for item in items]
    assert [(form, size) for form, size, _ in pictures] == [("JPEG", (64, 64))] * 3
    assert len({pixels for _, _, pixels in pictures}) == 3
    assert again == frames
    (one,) = rest["data"]
    assert set(one) == {"taskType", "taskUUID", "imageUUID", "imageURL", "seed"}
    assert picture(fetched(one["imageURL"])) == pictures[0]


@pytest.mark.statement("RU-70", "RU-97")
def test_an_asynchronous_task_is_asked_about_and_the_model_s_defaults_count(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    air = ready(acme, house, shelf, defaultSteps=11, defaultCFG=3.5, defaultStrength=0.25, defaultScheduler="Euler")
    asked = task("imageInference", model=air, deliveryMethod="async", numberResults=2, steps=30, **SMALL)
    names = {"taskType": "imageInference", "taskUUID": asked["taskUUID"]}

    assert acme.post(asked).must(200) == {"data": [names]}
    before = ask(acme, asked)
    house.work()
    done = ask(acme, asked)["data"]
    details = ask(acme, asked, "getTaskDetails")["data"][0]

    assert before == {"data": [{**names, "status": "processing"}]}
    assert [(item["status"], item["taskUUID"]) for item in done] == [("success", asked["taskUUID"])] * 2
    assert done[1]["seed"] == done[0]["seed"] + 1
    assert details["request"][0]["model"] == air
    run = house.run_of(acme.key, done[0]["imageUUID"])
    assert {name: run.values[name] for name in ("steps", "cfg", "strength", "scheduler")} == {
        "steps": 30,
        "cfg": 3.5,
        "strength": 0.25,
        "scheduler": "Euler",
    }


@pytest.mark.statement("RU-71", "RU-63")
def test_a_model_that_nobody_knows_and_one_that_is_somebody_else_s_are_the_same_to_a_run(
    acme: Runware, rival: Runware, shelf: Shelf, house: House
) -> None:
    private, public = ready(acme, house, shelf), ready(acme, house, shelf, private=False)
    unknown = f"{acme.source}:999999999@1"

    said = {}
    for air in (private, unknown):
        answer = rival.post(task("imageInference", model=air, **SMALL))
        (error,) = answer.must(404)["errors"]
        said[air] = {**error, "taskUUID": "", "message": error["message"].replace(air, "AIR")}

    assert said[private] == said[unknown]
    assert (said[private]["code"], said[private]["parameter"]) == ("modelNotFound", "model")
    (item,) = infer(rival, house, public)["data"]
    assert item["status"] == "success"


@pytest.mark.statement("RU-72", "RU-97")
def test_a_lora_takes_part_with_its_own_weight_unless_the_run_says_another(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    air = ready(acme, house, shelf)
    fitting = ready(
        acme,
        house,
        shelf,
        "lora",
        downloadURL=shelf.url("lora/flux_kohya"),
        architecture="flux1s",
        defaultWeight=0.5,
    )
    foreign = ready(acme, house, shelf, "lora")
    usual = {"seed": 1, "outputType": "base64Data", "outputFormat": "PNG"}

    def made(**more: object) -> str:
        (item,) = infer(acme, house, air, **usual, **more)["data"]
        return str(item["imageBase64Data"])

    plain, own = made(), made(lora=[{"model": fitting}])
    half, whole = made(lora=[{"model": fitting, "weight": 0.5}]), made(lora=[{"model": fitting, "weight": 1}])
    refused = [
        infer(acme, house, air, lora=[{"model": wrong}])["errors"][0]
        for wrong in (foreign, air, f"{acme.source}:999999998@1")
    ]

    assert own == half
    assert len({plain, own, whole}) == 3
    assert [(error["code"], error["parameter"]) for error in refused] == [
        ("invalidLora", "lora[0].model"),
        ("invalidLora", "lora[0].model"),
        ("modelNotFound", "lora[0].model"),
    ]


def test_pictures_too_large_to_stand_in_an_answer_are_told_by_their_url(
    acme: Runware, shelf: Shelf, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = ready(acme, house, shelf)
    one = infer(acme, house, air, outputType="base64Data")["data"][0]
    size = len(base64.b64decode(one["imageBase64Data"]))
    monkeypatch.setattr(images, "MOST_OF_ANSWER", size + size // 2)

    alone = infer(acme, house, air, outputType="base64Data")
    several = infer(acme, house, air, outputType="dataURI", numberResults=2)

    assert "imageBase64Data" in alone["data"][0]
    assert [set(item) & {"imageDataURI", "imageURL"} for item in several["data"]] == [{"imageURL"}] * 2
    assert picture(fetched(several["data"][0]["imageURL"]))[0] == "JPEG"


def test_an_answer_holds_so_many_bytes_of_pictures_and_the_others_are_there_later(
    acme: Runware, shelf: Shelf, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = ready(acme, house, shelf)
    asked = [task("imageInference", model=air, outputType="base64Data", seed=1, **SMALL) for _ in range(3)]
    with working(house):
        whole = acme.post(asked[0]).must(200)["data"][0]["imageBase64Data"]
        monkeypatch.setattr(rooms, "MOST_OF_ACCOUNT", 2 * len(base64.b64decode(whole)) + 10)
        together = acme.post(*asked).must(200)
    questions = [task("getResponse", taskUUID=one["taskUUID"]) for one in asked]
    later = acme.post(*questions).must(200)
    left = [acme.post(one).must(200)["data"][0]["imageBase64Data"] for one in asked]
    with acme.socket() as wire:  # piece by piece, each gives back what it held
        frames = [wire.ask(one) for one in asked]

    for said in (together, later):
        assert [item["imageBase64Data"] for item in said["data"]] == [whole] * 2
        (error,) = said["errors"]
        assert (error["code"], error["taskType"]) == ("rateLimitExceeded", "imageInference")
        assert error["taskUUID"] in {one["taskUUID"] for one in asked}
    assert left == [whole] * 3
    assert [frame["data"][0]["imageBase64Data"] for frame in frames] == [whole] * 3


def test_a_picture_that_cannot_be_read_leaves_its_room_to_the_next_one(
    acme: Runware, shelf: Shelf, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = ready(acme, house, shelf)
    asked = [task("imageInference", model=air, outputType="base64Data", seed=seed, **SMALL) for seed in (1, 2)]
    with working(house):
        lost, kept = acme.post(*asked).must(200)["data"]
    account_id = house.accounts.authenticate(acme.key).account_id
    with house.database.read() as tx:
        house.objects.delete([tx.assets.get(account_id, AssetId(lost["imageUUID"])).object_key])
    largest = max(len(base64.b64decode(one["imageBase64Data"])) for one in (lost, kept))
    monkeypatch.setattr(rooms, "MOST_OF_ACCOUNT", largest)

    said = acme.post(*[task("getResponse", taskUUID=one["taskUUID"]) for one in asked]).must(200)

    assert [item["imageBase64Data"] for item in said["data"]] == [kept["imageBase64Data"]]
    assert [error["taskUUID"] for error in said["errors"]] == [lost["taskUUID"]]
    assert "rateLimitExceeded" not in {error["code"] for error in said["errors"]}


@pytest.mark.statement("RU-90")
def test_a_picture_that_was_uploaded_is_a_seed_image_by_uuid_by_url_and_as_bytes(
    acme: Runware, shelf: Shelf, house: House, cat: bytes
) -> None:
    air = ready(acme, house, shelf)
    uri = "data:image/png;base64," + base64.b64encode(cat).decode()
    (up,) = acme.post(task("imageUpload", image=uri)).must(200)["data"]
    usual = {"seed": 1, "strength": 0.5, "outputType": "dataURI", "outputFormat": "PNG"}

    made = [
        infer(acme, house, air, seedImage=seed, **usual)["data"][0]["imageDataURI"]
        for seed in (up["imageUUID"], up["imageURL"], uri, uri.partition(",")[2])
    ]
    without = infer(acme, house, air, **usual)["data"][0]["imageDataURI"]

    assert set(up) == {"taskType", "taskUUID", "imageUUID", "imageURL"}
    assert fetched(up["imageURL"]) == cat
    assert len(set(made)) == 1
    assert made[0] != without
    assert made[0].startswith("data:image/png;base64,")


def test_a_model_of_the_catalog_gets_the_format_in_its_own_letters() -> None:
    catalog = parse_catalog(tomllib.loads(files("penstock").joinpath("demo_catalog.toml").read_text("utf-8")))

    def got(model: str, **more: object) -> object:
        asked = parse_image_task({"model": model, **more})
        return model_inputs(asked, catalog.find(model)).get("outputFormat")

    assert got("builtin/stylize", outputFormat="WEBP") == "webp"
    assert got("builtin/stylize", outputFormat="JPEG") == "jpeg"
    assert got("builtin/stylize") == "jpg"
    assert got("builtin/remove-background") is None  # it makes no JPG, and chooses
    assert got("builtin/remove-background", outputFormat="JPG") == "JPG"  # which is refused
    assert got("builtin/image-to-video") is None


def test_every_wrong_parameter_is_named_and_nothing_is_paid(acme: Runware, shelf: Shelf, house: House) -> None:
    air = ready(acme, house, shelf)
    before = acme.post(task("accountManagement", operation="getDetails")).must(200)["data"][0]["balance"]

    for name, wrong, code in (
        ("model", None, "missingModel"),
        ("model", 5, "invalidModel"),
        ("numberResults", 0, "invalidNumberResults"),
        ("numberResults", 21, "invalidNumberResults"),
        ("deliveryMethod", "later", "invalidDeliveryMethod"),
        ("outputType", "film", "invalidOutputType"),
        ("outputFormat", "GIF", "invalidOutputFormat"),
        ("includeCost", "yes", "invalidIncludeCost"),
        ("seed", -1, "invalidSeed"),
        ("width", 63, "invalidWidth"),
        ("steps", 101, "invalidSteps"),
        ("positivePrompt", None, "missingPositivePrompt"),
        ("lora", "acme:1@1", "invalidLora"),
        ("seedImage", uuid(), "mediaNotFound"),
    ):
        asked = task("imageInference", **{**SMALL, "model": air, name: wrong})
        answer = acme.post(asked).json()
        (error,) = answer["errors"]
        assert (error["code"], error["taskUUID"]) == (code, asked["taskUUID"]), name

    after = acme.post(task("accountManagement", operation="getDetails")).must(200)["data"][0]["balance"]
    assert after == before


def test_a_task_that_is_only_tried_is_priced_and_makes_nothing(acme: Runware, shelf: Shelf, house: House) -> None:
    air = ready(acme, house, shelf)
    asked = task("imageInference", model=air, numberResults=4, **SMALL)

    said = acme.post(asked, headers={"X-Runware-Dry-Run": "1"}).must(200)["data"]

    assert [(item["dryRun"], item["cost"]) for item in said] == [(True, 0.004)]
    assert ask(acme, asked)["errors"][0]["code"] == "taskNotFound"


def test_one_uuid_stands_for_one_task_and_is_its_sender_s_alone(
    acme: Runware, rival: Runware, shelf: Shelf, house: House
) -> None:
    air = ready(acme, house, shelf, private=False)
    asked = task("imageInference", model=air, deliveryMethod="async", **SMALL)
    acme.post(asked).must(200)
    house.work()

    changed = acme.post({**asked, "steps": 3}).must(400)["errors"][0]
    asked_by_rival = ask(rival, asked)

    assert changed["code"] == "conflictTaskUUID"
    assert asked_by_rival["errors"][0]["code"] == "taskNotFound"


def test_a_task_that_comes_again_is_answered_though_its_model_is_not_there_any_more(
    acme: Runware, rival: Runware, shelf: Shelf, house: House
) -> None:
    air = ready(rival, house, shelf, private=False)
    asked = task("imageInference", model=air, deliveryMethod="async", numberResults=2, **SMALL)
    first = acme.post(asked).must(200)
    exchange("DELETE", f"{house.url}/v1/models/{air}", headers={"Authorization": f"Bearer {rival.key}"}).must(204)

    again, other = acme.post(asked).must(200), acme.post({**asked, "taskUUID": uuid()})
    conflict = acme.post({**asked, "width": 128})
    house.work()

    assert again == first
    assert [answer.json()["errors"][0]["code"] for answer in (other, conflict)] == ["modelNotFound", "conflictTaskUUID"]
    assert len(ask(acme, asked)["data"]) == 2


def test_an_account_that_cannot_pay_for_all_pictures_gets_none(acme: Runware, shelf: Shelf, house: House) -> None:
    air = ready(acme, house, shelf, private=False)
    poor = Runware(base=acme.base, key=house.create_key(f"poor-{uuid()}", credits_usd="0.0025"))
    asked = task("imageInference", model=air, numberResults=3, **SMALL)

    refused = [poor.post(asked).must(402)["errors"][0]["code"] for _ in range(2)]
    (details,) = poor.post(task("accountManagement", operation="getDetails")).must(200)["data"]

    assert refused == ["insufficientCredits"] * 2
    assert details["balance"]["amount"] == 0.0025


def test_an_architecture_without_a_runner_is_named(acme: Runware, shelf: Shelf, house: House) -> None:
    lora = ready(acme, house, shelf, "lora")

    (error,) = acme.post(task("imageInference", model=lora, **SMALL)).must(400)["errors"]

    assert (error["code"], error["parameter"]) == ("modelNotReady", "model")
    assert "sd1x" in error["message"]


def test_a_webhook_is_told_of_each_picture(acme: Runware, shelf: Shelf, house: House) -> None:
    air = ready(acme, house, shelf)
    heard: list[bytes] = []

    def told(visit: Visit) -> None:
        heard.append(visit.body)
        visit.answer("200 OK")

    shelf.remote.on("/told", told)

    done = infer(acme, house, air, numberResults=2, webhookURL=shelf.remote.url("/told?token=x"))

    bodies = sorted(map(bytes.decode, heard))
    assert len(bodies) == 2
    for item in done["data"]:
        assert any(item["imageUUID"] in body and item["imageURL"] in body for body in bodies)


def test_a_webhook_is_told_why_there_is_no_picture_as_whoever_asks_is(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    air = ready(acme, house, shelf)
    heard: list[bytes] = []

    def told(visit: Visit) -> None:
        heard.append(visit.body)
        visit.answer("200 OK")

    shelf.remote.on("/why", told)
    shelf.remote.on("/no-seed", lambda visit: visit.answer("404 Not Found"))

    ended = infer(acme, house, air, seedImage=shelf.remote.url("/no-seed"), webhookURL=shelf.remote.url("/why"))

    assert [json.loads(body) for body in heard] == [ended]
    assert ended["errors"][0]["code"] == "downloadFailed"


@pytest.fixture(scope="module")
def cat() -> bytes:
    """A photograph."""
    from tests.adapters.runners.conftest import EXAMPLES  # noqa: PLC0415 - a path alone

    path: Path = EXAMPLES / "chelsea.png"
    return path.read_bytes()
