from __future__ import annotations

import hashlib
import io
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from penstock.client import InParts, UnavailableError, UploadError
from tests.client.scripted_server import Answer, asset, problem, reply, s3_error, upload

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.client import Penstock
    from tests.client.scripted_server import ScriptedServer

PNG = b"\x89PNG\r\n\x1a\n"
MEBIBYTE = 2**20
IN_ONE = InParts(at_least=2**40)
LOST = Answer(hangs_up="at once")


@pytest.fixture(autouse=True)
def uploads(server: ScriptedServer) -> None:
    """A server on which an upload goes well."""
    server.answer("POST", "/v1/uploads", reply(upload(f"{server.url}/bucket/key?X-Amz-Signature=s1"), 201))
    server.answer("PUT", "/bucket/key", Answer())
    server.answer("POST", "/v1/uploads/upload_1/complete", reply(asset()))


def test_an_upload_creates_sends_and_completes(client: Penstock, server: ScriptedServer) -> None:
    uploaded = client.upload_file(PNG, filename="cat.png", expires_in=3600)

    assert uploaded.id == "asset_1"
    create, put, complete = server.seen
    assert create.json == {
        "filename": "cat.png",
        "content_type": "image/png",
        "method": "put",
        "size_bytes": 8,
        "expires_in": 3600,
    }
    assert (put.method, put.body, put.query) == ("PUT", PNG, "X-Amz-Signature=s1")
    assert complete.path == "/v1/uploads/upload_1/complete"


def test_the_bytes_travel_with_the_headers_named_and_without_the_key(client: Penstock, server: ScriptedServer) -> None:
    client.upload_file(PNG)

    (put,) = server.requests("PUT", "/bucket/key")
    assert put.headers["content-type"] == "image/png"
    assert put.headers["x-penstock-max-length"] == "100"
    assert put.headers["content-length"] == "8"
    assert "transfer-encoding" not in put.headers
    assert "authorization" not in put.headers
    assert server.seen[0].headers["authorization"] == "Bearer sk_test"


def test_a_create_whose_answer_was_lost_is_repeated_under_the_same_key(
    client: Penstock, server: ScriptedServer
) -> None:
    server.answer("POST", "/v1/uploads", LOST, reply(upload(f"{server.url}/bucket/key"), 201))

    client.upload_file(PNG)

    first, second = server.requests("POST", "/v1/uploads")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body


def test_two_uploads_have_two_keys(client: Penstock, server: ScriptedServer) -> None:
    client.upload_file(PNG)
    client.upload_file(PNG)

    first, second = server.requests("POST", "/v1/uploads")
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


@pytest.mark.parametrize("fault", [LOST, s3_error(503, "SlowDown", "Please reduce your request rate.")])
def test_bytes_that_did_not_arrive_are_sent_again_from_the_beginning(
    client: Penstock, server: ScriptedServer, tmp_path: Path, fault: Answer
) -> None:
    server.answer("PUT", "/bucket/key", fault, Answer())
    photograph = tmp_path / "cat.png"
    photograph.write_bytes(PNG)

    client.upload_file(photograph)

    assert [put.body for put in server.requests("PUT", "/bucket/key")] == [PNG, PNG]
    assert len(server.requests("POST", "/v1/uploads")) == 1


def test_a_completion_whose_answer_was_lost_is_repeated(client: Penstock, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/uploads/upload_1/complete", LOST, reply(asset()))

    assert client.upload_file(PNG).id == "asset_1"
    assert len(server.requests("PUT", "/bucket/key")) == 1


def test_an_expired_url_is_renewed_by_a_new_upload(client: Penstock, server: ScriptedServer) -> None:
    server.answer(
        "POST",
        "/v1/uploads",
        reply(upload(f"{server.url}/bucket/old"), 201),
        reply(upload(f"{server.url}/bucket/key", "upload_2"), 201),
    )
    server.answer("PUT", "/bucket/old", s3_error(403, "AccessDenied", "Request has expired"))
    server.answer("POST", "/v1/uploads/upload_2/complete", reply(asset("asset_2")))

    uploaded = client.upload_file(PNG)

    assert uploaded.id == "asset_2"
    first, second = server.requests("POST", "/v1/uploads")
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


def test_a_url_that_is_always_expired_is_renewed_only_once(client: Penstock, server: ScriptedServer) -> None:
    server.answer("PUT", "/bucket/key", s3_error(403, "AccessDenied", "Request has expired"))

    with pytest.raises(UploadError, match="Request has expired"):
        client.upload_file(PNG)

    assert len(server.requests("POST", "/v1/uploads")) == 2


def test_a_refusal_of_the_object_store_is_told_in_its_words_and_not_repeated(
    client: Penstock, server: ScriptedServer
) -> None:
    server.answer("PUT", "/bucket/key", s3_error(403, "SignatureDoesNotMatch", "Keys &amp; signature differ."))

    with pytest.raises(UploadError) as caught:
        client.upload_file(PNG)

    assert (caught.value.status, caught.value.code) == (403, "SignatureDoesNotMatch")
    assert caught.value.detail == "Keys & signature differ."
    assert len(server.requests("PUT", "/bucket/key")) == 1
    assert not server.requests("POST", "/v1/uploads/upload_1/complete")


def test_an_early_refusal_is_heard_while_the_bytes_are_still_going_out(
    client: Penstock, server: ScriptedServer
) -> None:
    early = s3_error(413, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
    server.answer("PUT", "/bucket/key", Answer(status=413, body=early.body, headers=early.headers, reads=False))

    with pytest.raises(UploadError, match="EntityTooLarge"):
        client.upload_file(bytes(32 * MEBIBYTE))


def test_giving_up_says_what_the_last_attempt_met(client: Penstock, server: ScriptedServer) -> None:
    server.answer("POST", "/v1/uploads", problem(503, "database_unavailable", "the database does not answer"))

    with pytest.raises(UnavailableError, match="the database does not answer"):
        client.upload_file(PNG)

    assert len(server.seen) == 2


def test_progress_begins_at_nothing_and_ends_at_everything(client: Penstock) -> None:
    calls: list[tuple[int, int]] = []
    size = 3 * MEBIBYTE + 5

    client.upload_file(bytes(size), on_progress=lambda sent, total: calls.append((sent, total)))

    sent = [call[0] for call in calls]
    assert (sent[0], sent[-1]) == (0, size)
    assert sent == sorted(sent)
    assert {total for _, total in calls} == {size}


def test_memory_does_not_grow_with_the_file(client: Penstock, server: ScriptedServer, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(96 * MEBIBYTE)

    tracemalloc.start()
    try:
        client.upload_file(large, parts=IN_ONE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert server.requests("PUT", "/bucket/key")[0].body_size == 96 * MEBIBYTE
    assert peak < 24 * MEBIBYTE


def test_an_empty_file_is_sent_as_nothing(client: Penstock, server: ScriptedServer) -> None:
    client.upload_file(b"")

    (put,) = server.requests("PUT", "/bucket/key")
    assert put.headers["content-length"] == "0"


def test_an_open_file_is_sent_from_where_it_stands_also_again(client: Penstock, server: ScriptedServer) -> None:
    server.answer("PUT", "/bucket/key", LOST, Answer())
    file = io.BytesIO(b"skipped" + PNG)
    file.seek(7)

    client.upload_file(file)

    assert [put.body for put in server.requests("PUT", "/bucket/key")] == [PNG, PNG]


def test_a_pipe_is_sent_whole_also_again(client: Penstock, server: ScriptedServer) -> None:
    server.answer("PUT", "/bucket/key", LOST, Answer())
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as writer:
        writer.write(PNG)

    with os.fdopen(read_end, "rb") as reader:
        client.upload_file(reader, filename="cat.png")

    assert [put.body for put in server.requests("PUT", "/bucket/key")] == [PNG, PNG]


def test_a_file_opened_as_text_is_refused_before_anything_is_asked(
    client: Penstock, server: ScriptedServer, tmp_path: Path
) -> None:
    text = tmp_path / "a.txt"
    text.write_text("words")

    with text.open(encoding="utf-8") as file, pytest.raises(TypeError, match="binary mode"):
        client.upload_file(file)  # type: ignore[arg-type]  # the mistake under test

    assert server.seen == []


def test_a_file_that_shrinks_while_it_is_sent_ends_the_upload(client: Penstock, tmp_path: Path) -> None:
    file = tmp_path / "log.bin"
    file.write_bytes(bytes(3 * MEBIBYTE))

    with pytest.raises(UploadError, match="shorter"):
        client.upload_file(file, on_progress=lambda *_: os.truncate(file, MEBIBYTE))


def test_what_is_appended_to_a_file_meanwhile_is_not_sent(
    client: Penstock, server: ScriptedServer, tmp_path: Path
) -> None:
    file = tmp_path / "log.bin"
    file.write_bytes(b"first")

    def append(*_: int) -> None:
        with file.open("ab") as more:
            more.write(b"second")

    client.upload_file(file, on_progress=append)

    (put,) = server.requests("PUT", "/bucket/key")
    assert put.body == b"first"


def test_somebody_else_can_send_the_bytes(client: Penstock) -> None:
    begun = client.create_upload(filename="cat.png", content_type="image/png")

    assert begun.upload_url is not None
    assert begun.headers == {"Content-Type": "image/png", "x-penstock-max-length": "100"}
    assert client.complete_upload(begun.id).id == "asset_1"


def test_what_the_account_holds_is_not_sent(client: Penstock, server: ScriptedServer) -> None:
    held = {**upload("unused"), "state": "ready", "upload_url": None, "headers": None, "asset_id": "asset_1"}
    server.answer("POST", "/v1/uploads", reply(held, 201))
    server.answer("GET", "/v1/assets/asset_1", reply(asset()))
    begun: list[str] = []

    uploaded = client.upload_file(PNG, instant=True, on_begin=lambda upload: begun.append(upload.state))

    assert (uploaded.id, begun) == ("asset_1", ["ready"])
    assert hashlib.sha256(PNG).hexdigest().encode() in server.seen[0].body
    assert [seen.method for seen in server.seen] == ["POST", "GET"]


def test_what_the_account_does_not_hold_is_sent_and_held_to_its_hash(client: Penstock, server: ScriptedServer) -> None:
    client.upload_file(PNG, instant=True)

    assert hashlib.sha256(PNG).hexdigest().encode() in server.seen[0].body
    assert [seen.method for seen in server.seen] == ["POST", "PUT", "POST"]
