"""The official clients upload models, update them, hear of failures and find them again; phases come in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.runware.official import javascript, newer_python, python
from tests.dialects.runware.shelf import ORDER, SAID, found, own
from tests.support.remote import serving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.dialects.runware.client import Runware
    from tests.dialects.runware.shelf import Shelf
    from tests.support.house import House

pytestmark = pytest.mark.real_clients
EXTRA: Mapping[str, Mapping[str, object]] = {
    "checkpoint": {"type": "base", "defaultScheduler": "Default", "defaultStrength": 0.7},
    "lora": {"defaultWeight": 0.5},
    "controlnet": {"conditioning": "canny"},
}
TYPES = {
    "checkpoint": "IUploadModelCheckPoint",
    "lora": "IUploadModelLora",
    "controlnet": "IUploadModelControlNet",
}


def wanted(shelf: Shelf, client: Runware, category: str, **more: object) -> dict[str, Any]:
    """What a client is told to upload."""
    task = shelf.task(client, category, private=True, **EXTRA[category], **more)
    return {name: value for name, value in task.items() if name != "taskType"}


def missing_file(shelf: Shelf) -> str:
    return shelf.remote.url("/nothing.safetensors")


def broken_file(shelf: Shelf) -> str:
    shelf.remote.on("/broken.safetensors", serving(b"no model" * 100))
    return shelf.remote.url("/broken.safetensors")


def told(items: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """The phases with their texts."""
    return [(item["status"], item["message"]) for item in items]


PHASES = [(name, SAID[name]) for name in ORDER]


@pytest.mark.statement("RU-20", "RU-40", "RU-60", "RU-30")
def test_the_python_client_uploads_updates_fails_and_searches(
    acme: Runware, shelf: Shelf, house: House, tmp_path: Path
) -> None:
    checkpoint, lora, control = (wanted(shelf, acme, category) for category in TYPES)
    again = {**lora, "name": "Another name", "taskUUID": None}
    failing = [wanted(shelf, acme, "lora", downloadURL=url) for url in (missing_file(shelf), broken_file(shelf))]

    def upload(members: Mapping[str, object]) -> list[object]:
        return ["modelUpload", TYPES[str(members["category"])], members]

    together, alone, updated, *failed, search = python(acme, tmp_path).call(
        acme.key,
        [upload(checkpoint), upload(lora)],
        upload(control),
        upload(again),
        *(upload(members) for members in failing),
        ["modelSearch", "IModelSearch", {"search": lora["air"]}],
        meanwhile=house.work,
    )

    for said, members in zip([*together, alone, updated], [checkpoint, lora, control, again], strict=True):
        assert told(said["result"]) == PHASES
        assert {item["air"] for item in said["result"]} == {members["air"]}
    assert [said["error"]["code"] for said in failed] == ["downloadFailed", "invalidModelFile"]
    assert [(model["air"], model["name"]) for model in search["result"]["results"]] == [(lora["air"], "Another name")]
    assert {model["air"] for model in own(acme)} == {checkpoint["air"], lora["air"], control["air"]}


@pytest.mark.statement("RU-20", "RU-40", "RU-60")
def test_the_javascript_client_uploads_updates_fails_and_searches(
    acme: Runware, shelf: Shelf, house: House, tmp_path: Path
) -> None:
    checkpoint, lora, control = (wanted(shelf, acme, category) for category in TYPES)
    again = {name: value for name, value in {**lora, "name": "Another name"}.items() if name != "taskUUID"}
    failing = [wanted(shelf, acme, "lora", downloadURL=url) for url in (missing_file(shelf), broken_file(shelf))]

    together, alone, updated, *failed, search = javascript(acme, tmp_path).call(
        acme.key,
        [["modelUpload", checkpoint], ["modelUpload", lora]],
        ["modelUpload", control],
        ["modelUpload", again],
        *(["modelUpload", members] for members in failing),
        ["modelSearch", {"search": lora["air"]}],
        meanwhile=house.work,
    )

    for said, members in zip([*together, alone, updated], [checkpoint, lora, control, again], strict=True):
        assert told(said["streamed"]) == PHASES
        assert said["result"] == said["streamed"][-1]
        assert said["result"]["air"] == members["air"]
    assert [said["error"]["code"] for said in failed] == ["downloadFailed", "invalidModelFile"]
    assert [(model["air"], model["name"]) for model in search["result"]["results"]] == [(lora["air"], "Another name")]
    assert {model["air"] for model in own(acme)} == {checkpoint["air"], lora["air"], control["air"]}


@pytest.mark.statement("RU-53", "RU-60")
def test_the_newer_python_client_uploads_and_updates_over_rest_and_begins_uploads_over_its_socket(
    acme: Runware, shelf: Shelf, house: House, tmp_path: Path
) -> None:
    lora, control = wanted(shelf, acme, "lora"), wanted(shelf, acme, "controlnet")
    failing = wanted(shelf, acme, "lora", downloadURL=missing_file(shelf))
    look = ["get_response", {"taskUUID": lora["taskUUID"]}]
    again = {name: value for name, value in {**lora, "name": "Another name"}.items() if name != "taskUUID"}

    whole, updated, failed, status, search = newer_python(acme, tmp_path, "rest").call(
        acme.key,
        ["model_upload", lora],
        ["model_upload", again],
        ["model_upload", failing],
        look,
        ["model_search", {"search": lora["air"]}],
        meanwhile=house.work,
    )
    (begun,) = newer_python(acme, tmp_path, "websocket").call(acme.key, ["model_upload", control], meanwhile=house.work)
    house.work()

    assert told(whole["result"]) == told(updated["result"]) == PHASES
    assert len(shelf.visits(lora["downloadURL"])) == 1
    assert failed["error"]["taskUUID"] == failing["taskUUID"]
    assert status["result"][0]["status"] == "success"
    listed = [(model["air"], model["name"]) for model in search["result"][0]["results"]]
    assert listed == [(lora["air"], "Another name")]
    assert told(begun["result"]) == PHASES[:1]
    assert found(acme, control["air"]) is not None
