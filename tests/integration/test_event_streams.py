"""Event streams of real uploads: whoever follows one learns its end, and the stream ends with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.native import Native

if TYPE_CHECKING:
    from tests.support.server import Server

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c626001000000ffff03000006000557bfabd40000000049454e44ae426082"
)


@pytest.fixture
def native(server: Server, api_key: str) -> Native:
    return Native(url=server.url, key=api_key)


def test_the_stream_of_an_upload_that_was_given_up_ends(native: Native) -> None:
    upload = native.begin(PIXEL)
    native.delete(f"/uploads/{upload['id']}").must(200)

    assert _kinds(native, upload["id"]) == ["upload.aborted"]


def test_giving_up_twice_is_told_once(native: Native) -> None:
    upload = native.begin(PIXEL)
    native.delete(f"/uploads/{upload['id']}").must(200)
    native.delete(f"/uploads/{upload['id']}").must(200)

    assert _kinds(native, upload["id"]) == ["upload.aborted"]


def test_the_stream_of_a_completed_upload_tells_of_its_asset(native: Native) -> None:
    asset = native.upload(PIXEL)

    told = _events(native, asset["upload_id"])

    assert [event["kind"] for event in told] == ["upload.stored", "upload.ready"]
    assert [event["number"] for event in told] == [1, 2]
    assert told[1]["data"] == {"asset_id": asset["id"], "sha256": asset["sha256"]}


def _kinds(native: Native, upload_id: str) -> list[str]:
    return [event["kind"] for event in _events(native, upload_id)]


def _events(native: Native, upload_id: str) -> list[dict[str, Any]]:
    """Everything that the stream says up to its end; a stream that does not end fails by its time-out."""
    answer = native.get(f"/uploads/{upload_id}/events")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = answer.body.decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
