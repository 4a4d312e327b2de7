"""What is private to one account is to another as if it were not there: by every way in, to the byte (P11).

Most tests put the same question twice, about a model that somebody has and about one that nobody has: the answers may
differ in the name that was asked for alone.
"""

from __future__ import annotations

import base64
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.dialects.runware.client import Runware, task, uuid
from tests.dialects.runware.shelf import EXAMPLES, Shelf, ask, found, own, upload
from tests.dialects.runware.strangers import (
    Scene,
    bare,
    batches,
    heard,
    named,
    native,
    of_nobody,
    opened,
    requests_about,
    send,
    state_of,
    tasks_about,
    unknown_beside,
    with_metadata,
)
from tests.support.exchange import exchange
from tests.support.house import open_house
from tests.support.remote import remote_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.house import House
    from tests.support.model_files import ModelFiles

PAINTER = {
    "architectures": ["flux1s", "sd1x"],
    "categories": ["checkpoint"],
    "runner_model": "painter",
    "extra_inputs": "ignore",
    "input": [
        {"name": "prompt", "type": "string", "synonyms": ["positivePrompt", "text", "promptText"]},
        {"name": "loras", "type": "models", "synonyms": ["lora"], "categories": ["lora"]},
        {"name": "vae", "type": "model", "categories": ["vae"]},
        {"name": "embeddings", "type": "models", "categories": ["embeddings"]},
        {"name": "controlNet", "type": "models", "categories": ["controlnet"]},
    ],
}


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("tenancy")
    shutil.copyfile(_sqlite_template, directory / "penstock.db")
    url = f"sqlite:///{directory / 'penstock.db'}"
    with open_house(directory / "house", url, (), bindings=[PAINTER]) as home:
        home.models["painter"] = lambda _inputs, _context: {"text": "painted"}
        yield home


@pytest.fixture(scope="module")
def scene(_home: House, model_files: ModelFiles) -> Iterator[Scene]:
    with remote_server() as remote:
        shelf, owner = Shelf(remote=remote, files=model_files), opened(_home, "owner")
        told = {"comment": "hush hush", "tags": ["secretive"], "heroImageURL": "https://files.example.com/hush.png"}
        private = {
            name: shelf.task(owner, name, name=f"Hushed {name}", **told) for name in ("checkpoint", "lora", "vae")
        }
        public = shelf.task(owner, "checkpoint", name="Open", private=False, comment="hush hush")
        twin = shelf.task(owner, "checkpoint", name="Hushed twin", downloadURL=public["downloadURL"])
        for one in (*private.values(), public, twin):
            upload(owner, _home, one)
        yield Scene(owner=owner, private=private, public=public, twin=twin, shelf=shelf)


@pytest.fixture
def shelf(scene: Scene) -> Shelf:
    return scene.shelf


@pytest.mark.statement("RU-62", "RU-63", "RU-64")
def test_no_task_tells_somebody_elses_private_model_from_none(house: House, scene: Scene, shelf: Shelf) -> None:
    """Over both transports; of updates, whatever their `uniqueIdentifier`, and nothing is fetched."""
    stranger = opened(house, "stranger")
    air = scene.private["checkpoint"]["air"]
    before = state_of(scene)
    seen = len(shelf.remote.visits)
    with stranger.socket() as wire, stranger.socket("?dryRun=1") as trying:
        for asked, absent, foreign in zip(
            *(tasks_about(one, scene, shelf) for one in (air, unknown_beside(air), of_nobody(air))), strict=True
        ):
            kind = asked["taskType"]
            told = [heard(stranger.post(one), name) for one, name in named(air, asked, absent, foreign)]
            assert told[0] == told[1] == told[2], (kind, told)
            assert told[0][0] >= 400, (kind, told[0])
            for one in (wire, trying):
                framed = [bare(json.dumps(one.ask(said)), name) for said, name in named(air, asked, absent, foreign)]
                assert framed[0] == framed[1] == framed[2], (kind, framed)
            if kind == "modelUpload":
                assert "modelOwnershipValidationError" in told[0][2]
            if kind == "imageInference":
                assert "modelNotFound" in told[0][2]

    house.work()
    assert len(shelf.remote.visits) == seen
    assert native(stranger).get("/model-uploads").must(200)["data"] == []
    assert state_of(scene) == before


@pytest.mark.statement("RU-63")
def test_no_other_request_tells_somebody_elses_private_model_from_none(house: House, scene: Scene) -> None:
    stranger = opened(house, "stranger")
    before = state_of(scene)
    for category in ("checkpoint", "lora"):
        air = scene.private[category]["air"]
        names = (air, unknown_beside(air), of_nobody(air))
        for requests in zip(*(requests_about(name, scene) for name in names), strict=True):
            told = [heard(send(stranger, *one), name) for one, name in zip(requests, names, strict=True)]
            assert told[0] == told[1] == told[2], (requests[0], told)
            assert told[0][0] >= 400, (requests[0], told[0])

    house.work()
    assert state_of(scene) == before


@pytest.mark.statement("RU-62", "RU-63")
def test_no_search_shows_or_counts_somebody_elses_private_models(house: House, scene: Scene) -> None:
    """What a stranger finds by any filter, in any order and on any page is what the owner calls public."""
    stranger, public = opened(house, "stranger"), scene.public["air"]
    checkpoint = scene.private["checkpoint"]
    filters: list[Mapping[str, object]] = [
        {},
        *({"search": word} for word in ("Hushed", "hush", "secretive", checkpoint["air"], scene.owner.source, "files")),
        *({"search": checkpoint[name]} for name in ("uniqueIdentifier", "downloadURL", "heroImageURL", "comment")),
        *({"tags": [word]} for word in ("secretive", "hush")),
        *({"category": name} for name in EXAMPLES),
        *({"architecture": name} for name in ("flux1s", "sd1x", "qwen_image")),
        *({"visibility": word} for word in ("all", "public", "private", "owned", "favorite")),
        *({"source": word} for word in ("community", "official", scene.owner.source)),
        {"type": "base"},
        {"category": ["checkpoint", "lora", "vae"], "visibility": "all", "search": "Hushed"},
    ]
    orders = ("name", "popularity", "addedUnixTimestamp", "updatedDateUnixTimestamp", "_score")
    filters += [
        {"sort": sign + order, "limit": 1, "offset": at} for order in orders for sign in ("", "-") for at in (0, 1)
    ]
    asked = [task("modelSearch", **one) for one in filters]

    items = [item for some in batches(asked) for item in stranger.post(*some).must(200)["data"]]

    assert [item["taskUUID"] for item in items] == [one["taskUUID"] for one in asked]
    for said, item in zip(filters, items, strict=True):
        assert {model["air"] for model in item["results"]} <= {public}, said
        assert item["totalResults"] <= 1, said
        assert "hush" not in json.dumps(item).lower(), said
    with stranger.socket() as wire:
        for some in filters[:10]:
            (item,) = wire.ask(task("modelSearch", **some))["data"]
            assert {model["air"] for model in item["results"]} <= {public}
            assert item["totalResults"] == len(item["results"])
    for query in ("", "?q=hushed", "?visibility=private", "?tag=secretive", f"?source={scene.owner.source}"):
        listed = native(stranger).get(f"/models/registered{query}").must(200)
        assert listed["total"] == len(listed["data"]) <= 1
        assert {model["air"] for model in listed["data"]} <= {public}


def test_a_public_model_tells_nothing_that_is_its_owner_s_alone(house: House, scene: Scene) -> None:
    """Neither comment nor identifier, nor that a private model has the same file."""
    stranger, air = opened(house, "stranger"), scene.public["air"]

    mine = native(scene.owner).get(f"/models/{air}").must(200)
    theirs = native(stranger).get(f"/models/{air}").must(200)

    assert scene.twin["air"] in mine["file"]["shared_with"]
    hidden = {"comment", "unique_identifier", "owned"}
    assert {name for name in mine if mine[name] != theirs[name]} == hidden | {"file"}
    assert theirs["file"] == {**mine["file"], "shared_with": []}
    read = [send(stranger, "GET", f"/v1/models/{air}/files/{part}", None) for part in ("original", "manifest")]
    contents = [exchange("GET", answer.headers["location"]) for answer in read]
    told = json.dumps(theirs) + contents[1].body.decode() + "".join(str(answer.headers.items()) for answer in contents)
    for word in ("hush", *mine["file"]["shared_with"], scene.public["uniqueIdentifier"], "downloadURL", "127.0.0.1"):
        assert word not in told, word


@pytest.mark.statement("RU-65")
def test_only_its_owner_follows_a_task(house: House, scene: Scene, shelf: Shelf) -> None:
    """While it goes on, when it is over and when it has failed; by its UUID and by the id of its upload."""
    owner, stranger = scene.owner, opened(house, "stranger")
    going, failed = shelf.task(owner), shelf.task(owner, downloadURL=shelf.remote.url("/nothing"))
    owner.post({**failed, "deliveryMethod": "async"}).must(200)
    house.work()
    owner.post({**going, "deliveryMethod": "async"}).must(200)
    assert ask(owner, going)["data"][0]["status"] == "processing"
    assert "errors" in ask(owner, failed)

    with stranger.socket() as wire:
        for kind in ("getResponse", "getTaskDetails"):
            for said in (going, failed, scene.public, scene.private["vae"]):
                for spelled in (said["taskUUID"], said["taskUUID"].upper()):
                    asked, absent = ({"taskType": kind, "taskUUID": one} for one in (spelled, uuid()))
                    told = [heard(stranger.post(one), owner.source) for one in (asked, absent)]
                    assert told[0][0] == 404
                    assert told[0] == told[1]
                    assert wire.ask(asked)["errors"][0]["code"] == "taskNotFound"
    for one in native(owner).get("/model-uploads?limit=100").must(200)["data"]:
        for path in (f"/v1/model-uploads/{one['id']}", f"/v1/model-uploads/{one['id']}/events"):
            other = path.replace(one["id"], f"modelupload_{uuid().replace('-', '')}")
            told = [heard(send(stranger, "GET", url, None), owner.source) for url in (path, other)]
            assert told[0] == told[1]
            assert told[0][0] == 404
    assert native(stranger).get("/model-uploads").must(200)["data"] == []


@pytest.mark.statement("RU-91", part="another's files")
def test_pictures_and_media_are_their_owner_s_alone(house: House, scene: Scene) -> None:
    """By the UUID of the file, also as the input of a run, and by that of the task."""
    owner, stranger = scene.owner, opened(house, "stranger")
    stored = task("mediaStorage", operation="upload", media=base64.b64encode(b"hush hush").decode())
    (kept,) = owner.post(stored).must(200)["data"]
    picture = {"model": scene.public["air"], "positivePrompt": "a", "width": 512, "height": 512}
    picture["deliveryMethod"] = "async"
    run = task("imageInference", **picture)
    owner.post(run).must(200)
    credit = native(owner).get("/account").must(200)
    with stranger.socket() as wire:
        for known, unknown in ((kept["mediaUUID"], uuid()), (run["taskUUID"], uuid()), (stored["taskUUID"], uuid())):
            asked = [
                [
                    task("mediaStorage", operation="delete", media=one),
                    task("imageInference", seedImage=one, **picture),
                    task("imageInference", referenceImages=[one], **picture),
                    {"taskType": "getResponse", "taskUUID": one},
                    {"taskType": "getTaskDetails", "taskUUID": one},
                ]
                for one in (known, unknown)
            ]
            for pair in zip(*asked, strict=True):
                told = [heard(stranger.post({**one, **renamed(one)}), owner.source) for one in pair]
                assert told[0] == told[1], pair
                framed = [bare(json.dumps(wire.ask({**one, **renamed(one)})), owner.source) for one in pair]
                assert framed[0] == framed[1], pair
                if pair[0]["taskType"] != "imageInference":
                    assert told[0][0] == 404
    assert native(owner).get("/account").must(200) == credit
    assert exchange("GET", kept["mediaURL"]).status in {200, 307}


def renamed(said: Mapping[str, object]) -> dict[str, object]:
    """A new name for what is sent again."""
    return {"taskUUID": uuid()} if said["taskType"] in {"imageInference", "mediaStorage"} else {}


def test_the_same_task_of_two_accounts_is_two_tasks(house: House, scene: Scene, shelf: Shelf) -> None:
    """With one UUID, one identifier and the same bytes: each is told of its own, and pays for its own file."""
    owner, stranger = scene.owner, opened(house, "stranger")
    theirs = shelf.task(owner)
    mine = {**theirs, "air": f"{stranger.source}:1@1"}
    with owner.socket() as first, stranger.socket() as second:
        first.say(theirs)
        second.say(mine)
        assert first.hear()["data"][0]["air"] == theirs["air"]
        assert second.hear()["data"][0]["air"] == mine["air"]
        house.work()
        for wire, air in ((first, theirs["air"]), (second, mine["air"])):
            told = [wire.hear()["data"][0] for _ in range(4)]
            assert [item["air"] for item in told] == [air] * 4
            assert told[-1]["status"] == "ready"
            assert wire.quiet()

    assert len(shelf.visits(theirs["downloadURL"])) == 2
    models = [native(one).get(f"/models/{said['air']}").must(200) for one, said in ((owner, theirs), (stranger, mine))]
    assert models[0]["file"]["original"] == models[1]["file"]["original"]
    assert mine["air"] not in models[0]["file"]["shared_with"]
    assert models[1]["file"]["shared_with"] == []
    places = [
        send(one, "GET", f"/v1/models/{said['air']}/files/original", None)
        for one, said in ((owner, theirs), (stranger, mine))
    ]
    assert len({place.headers["location"].partition("?")[0] for place in places}) == 2


def test_bytes_that_somebody_has_are_no_shortcut(house: House, scene: Scene, shelf: Shelf) -> None:
    """Who brings the bytes of another's private model sees what whoever brings new bytes sees."""
    stranger = opened(house, "stranger")
    case, _ = EXAMPLES["lora"]
    known = shelf.files.path(case).read_bytes()
    fresh = with_metadata(known, "nobody has this")
    told = []
    for data in (known, fresh):
        said = shelf.task(stranger, "lora", downloadURL=shelf.put(data))
        with stranger.socket() as wire:
            heard_first = wire.ask(said)
            house.work()
            items = [heard_first, *(wire.hear() for _ in range(4))]
        told.append([bare(json.dumps(item), said["air"]) for item in items])
        assert len(shelf.visits(said["downloadURL"])) == 1
        seen = native(stranger).get("/model-uploads?limit=1").must(200)["data"][0]
        assert seen["received_bytes"] == seen["size_bytes"] == len(data)
    assert told[0] == told[1]
    assert native(stranger).get("/account").must(200)["usage"]["bytes"] >= len(known) + len(fresh)


def test_a_run_ends_with_the_model_that_it_began_with_though_that_is_private_by_then(
    house: House, scene: Scene, shelf: Shelf
) -> None:
    owner, stranger = scene.owner, opened(house, "stranger")
    said = shelf.task(owner, "checkpoint", private=False)
    upload(owner, house, said)
    air, painted = said["air"], []

    def paint(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        painted.append(exchange("GET", context.url(inputs["weights"])).status)  # type: ignore[arg-type]  # weights
        return {"text": "painted"}

    house.models["painter"] = paint
    run = native(stranger).start(air, {"prompt": "a"})
    native(owner).call("PATCH", f"/models/{air}", {"private": True}).must(200)
    answers = [native(stranger).post("/runs", {"model": one, "input": {}}) for one in (air, unknown_beside(air))]
    assert heard(answers[0], air) == heard(answers[1], unknown_beside(air))
    native(owner).delete(f"/models/{air}").must(204)
    house.sweep()
    house.work()

    assert native(stranger).finished(run["id"])["state"] == "succeeded"
    assert painted == [200]
    house.sweep()
    assert found(owner, air) is None
    assert run["id"] not in {one["id"] for one in native(owner).get("/runs").must(200)["data"]}


def test_a_key_that_may_do_nothing_learns_nothing(house: House, scene: Scene, shelf: Shelf) -> None:
    """Of its own account, too: what is there and what is not is refused alike."""
    owner = scene.owner
    narrow = Runware(base=owner.base, key=narrow_key(house, owner, "webhooks:write"), source=owner.source)
    air = scene.private["checkpoint"]["air"]
    for asked, absent in zip(*(tasks_about(one, scene, shelf) for one in (air, unknown_beside(air))), strict=True):
        told = [heard(narrow.post(one), name) for one, name in ((asked, air), (absent, unknown_beside(air)))]
        assert told[0] == told[1], (asked, told)
        assert told[0][0] >= 400
    for kind in ("getResponse", "getTaskDetails"):
        told = [
            heard(narrow.post({"taskType": kind, "taskUUID": one}), air) for one in (scene.public["taskUUID"], uuid())
        ]
        assert told[0] == told[1]
        assert told[0][0] == 403
    assert narrow.post(task("modelSearch")).status == 403
    for requests in zip(*(requests_about(one, scene) for one in (air, unknown_beside(air))), strict=True):
        told = [heard(send(narrow, *one), name) for one, name in zip(requests, (air, unknown_beside(air)), strict=True)]
        assert told[0] == told[1], requests[0]
        assert told[0][0] >= 400, requests[0]
    assert own(owner) != []


def narrow_key(house: House, owner: Runware, *scopes: str) -> str:
    """Another key of the same account."""
    return house.accounts.create_key(owner.source, scopes)[1]
