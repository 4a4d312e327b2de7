"""The official clients make pictures by models that were uploaded, and bring files."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from tests.dialects.runware.client import task
from tests.dialects.runware.official import javascript, newer_python, python
from tests.dialects.runware.shelf import ready
from tests.support.core import PNG
from tests.support.exchange import fetch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.dialects.runware.client import Runware
    from tests.dialects.runware.shelf import Shelf
    from tests.support.house import House

pytestmark = pytest.mark.real_clients
WANTED = {"positivePrompt": "a river at dawn", "width": 128, "height": 128, "numberResults": 2}
DATA_URI = f"data:image/png;base64,{b64encode(PNG).decode()}"
UNKNOWN = "nobody:1@1"


def two_pictures(items: Sequence[Any]) -> bool:
    """Whether these are two pictures, each with a URL that serves it."""
    pictures = {fetch(item["imageURL"]).body for item in items}
    return len(items) == len(pictures) == 2 and all(picture.startswith(b"\xff\xd8\xff") for picture in pictures)


@pytest.mark.statement("RU-70", "RU-71", "RU-90", "RU-91")
def test_the_python_client_makes_pictures_and_brings_files(
    acme: Runware, shelf: Shelf, house: House, tmp_path: Path
) -> None:
    air = ready(acme, house, shelf)
    (tmp_path / "cat.png").write_bytes(PNG)

    made, unknown, image, media = python(acme, tmp_path).call(
        acme.key,
        ["imageInference", "IImageInference", {"model": air, **WANTED}],
        ["imageInference", "IImageInference", {"model": UNKNOWN, **WANTED}],
        ["uploadImage", None, "cat.png"],
        ["uploadMedia", None, "cat.png"],
        meanwhile=house.work,
    )

    assert two_pictures(made["result"])
    assert unknown["error"]["code"] == "modelNotFound"
    assert fetch(image["result"]["imageURL"]).body == PNG
    assert acme.post(task("mediaStorage", operation="delete", media=media["result"]["mediaUUID"])).status == 200


@pytest.mark.statement("RU-70", "RU-71", "RU-72", "RU-90", "RU-91")
def test_the_javascript_client_makes_pictures_and_brings_files(
    acme: Runware, shelf: Shelf, house: House, tmp_path: Path
) -> None:
    air = ready(acme, house, shelf)
    file = shelf.url("lora/flux_kohya")
    lora = ready(acme, house, shelf, "lora", downloadURL=file, architecture="flux1s")

    made, adapted, unknown, image, media = javascript(acme, tmp_path).call(
        acme.key,
        ["requestImages", {"model": air, **WANTED}],
        ["requestImages", {"model": air, "lora": [{"model": lora, "weight": 1}], **WANTED}],
        ["requestImages", {"model": UNKNOWN, **WANTED}],
        ["imageUpload", {"image": DATA_URI}],
        ["mediaStorage", {"media": DATA_URI, "operation": "upload"}],
        meanwhile=house.work,
    )

    assert two_pictures(made["result"])
    assert two_pictures(adapted["result"])
    assert unknown["error"]["code"] == "modelNotFound"
    assert fetch(image["result"]["imageURL"]).body == PNG
    assert fetch(media["result"]["mediaURL"]).body == PNG


@pytest.mark.statement("RU-70", "RU-71", "RU-91", "RU-92")
@pytest.mark.parametrize("transport", ["rest", "websocket"])
def test_the_newer_python_client_makes_pictures_brings_files_and_reads_its_account(
    acme: Runware, shelf: Shelf, house: House, tmp_path: Path, transport: str
) -> None:
    air = ready(acme, house, shelf)
    asked = {"taskType": "imageInference", **WANTED}

    made, unknown, media, account = newer_python(acme, tmp_path, transport).call(
        acme.key,
        ["run", {**asked, "model": air}],
        ["run", {**asked, "model": UNKNOWN}],
        ["media_storage", {"operation": "upload", "media": DATA_URI}],
        ["account_management", {"operation": "getDetails"}],
        meanwhile=house.work,
    )

    assert two_pictures(made["result"])
    assert unknown["error"]["taskUUID"]
    assert fetch(media["result"][0]["mediaURL"]).body == PNG
    assert account["result"][0]["balance"]["currency"] == "USD"
