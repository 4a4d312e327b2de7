"""Files through tasks: kept, told by their bytes, usable everywhere, deleted; and what an account is told of itself."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.dialects.runware.client import Runware, task, uuid
from tests.dialects.runware.shelf import ready
from tests.support.core import PNG
from tests.support.exchange import exchange
from tests.support.remote import serving

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.dialects.runware.shelf import Shelf
    from tests.support.exchange import Answer
    from tests.support.house import House

TEXT = b"no picture at all, but words " * 10


def error_code(answer: Answer) -> tuple[str, Any]:
    (error,) = answer.json()["errors"]
    return error["code"], error.get("parameter")


def posted(client: Runware, house: House, asked: Mapping[str, object]) -> Answer:
    """The answer to a task that waits for a worker."""
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(client.post(asked)))
    asking.start()
    while asking.is_alive():
        house.work()
        asking.join(0.02)
    return answers[0]


def content(url: str) -> Answer:
    answer = exchange("GET", url)
    return answer if answer.status != 307 else exchange("GET", answer.headers["location"])


@pytest.mark.statement("RU-90", "RU-91")
def test_pictures_and_files_come_as_data_uris_as_base64_and_from_urls(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    shelf.remote.on("/cat.png", serving(PNG))
    encoded = base64.b64encode(PNG).decode()
    sources = (f"data:image/jpeg;base64,{encoded}", encoded, shelf.remote.url("/cat.png"))

    for source in sources:
        (image,) = posted(acme, house, task("imageUpload", image=source)).must(200)["data"]
        (media,) = posted(acme, house, task("mediaStorage", operation="upload", media=source)).must(200)["data"]

        assert set(image) == {"taskType", "taskUUID", "imageUUID", "imageURL"}
        assert set(media) == {"taskType", "taskUUID", "operation", "mediaUUID", "mediaURL"}
        for identifier, url in ((image["imageUUID"], image["imageURL"]), (media["mediaUUID"], media["mediaURL"])):
            assert UUID(identifier).version == 4
            answer = content(url)
            assert (answer.status, answer.body, answer.headers["content-type"]) == (200, PNG, "image/png")


@pytest.mark.statement("RU-91")
def test_a_file_that_was_deleted_is_gone_and_another_s_never_was(acme: Runware, rival: Runware) -> None:
    media = base64.b64encode(TEXT).decode()
    (kept,) = acme.post(task("mediaStorage", operation="upload", media=media)).must(200)["data"]
    delete = {"operation": "delete", "media": kept["mediaUUID"]}

    foreign = error_code(rival.post(task("mediaStorage", **delete)))
    unknown = error_code(rival.post(task("mediaStorage", operation="delete", media=uuid())))
    (gone,) = acme.post(task("mediaStorage", **delete)).must(200)["data"]

    assert foreign == unknown == ("mediaNotFound", None)
    assert (gone["operation"], gone["mediaUUID"]) == ("delete", kept["mediaUUID"])
    assert content(kept["mediaURL"]).status in {404, 410}


@pytest.mark.statement("RU-90", "RU-91")
def test_what_is_no_file_or_no_picture_is_refused(acme: Runware, shelf: Shelf, house: House) -> None:
    shelf.remote.on("/words.png", serving(TEXT))
    words = base64.b64encode(TEXT).decode()

    for name, wrong, code in (
        ("image", None, "missingImage"),
        ("image", 5, "invalidImage"),
        ("image", "no base64!", "invalidImage"),
        ("image", "data:image/png", "invalidImage"),
        ("image", words, "invalidMedia"),
        ("image", shelf.remote.url("/words.png"), "invalidMedia"),
        ("image", shelf.remote.url("/nothing.png"), "downloadFailed"),
        ("image", "http://10.0.0.1/cat.png", "downloadFailed"),
    ):
        assert error_code(posted(acme, house, task("imageUpload", **{name: wrong})))[0] == code, wrong
    for members, code in (
        ({"media": words}, "missingOperation"),
        ({"media": words, "operation": "rename"}, "invalidOperation"),
        ({"operation": "upload"}, "missingMedia"),
        ({"operation": "delete", "media": "cat"}, "invalidMedia"),
    ):
        assert error_code(acme.post(task("mediaStorage", **members)))[0] == code


@pytest.mark.statement("RU-92", "RU-81")
def test_an_account_is_told_its_balance_and_what_it_used(acme: Runware, shelf: Shelf, house: House) -> None:
    (before,) = acme.post(task("accountManagement", operation="getDetails")).must(200)["data"]
    ready(acme, house, shelf)
    house.charge_storage()

    (after,) = acme.post(task("accountManagement", operation="getDetails")).must(200)["data"]

    assert before["organizationName"] == acme.source
    assert UUID(before["organizationUUID"]).version == 4
    assert before["balance"] == {"amount": 100.0, "freeBalance": 0, "currency": "USD"}
    assert before["usage"]["lineItems"] == []
    assert after["balance"]["amount"] == pytest.approx(100 - 0.05 / 30, abs=1e-6)
    assert [(item["description"], item["amount"]) for item in after["usage"]["lineItems"]] == [
        ("Daily model storage (1 GB)", 0.0017)
    ]
    assert error_code(acme.post(task("accountManagement", operation="close"))) == ("invalidOperation", "operation")
