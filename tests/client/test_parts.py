"""Large files go up in parts; small sizes stand for large ones here."""

from __future__ import annotations

import hashlib
import io
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from penstock.client import ConflictError, InParts, UploadError
from tests.client.scripted_server import (
    Answer,
    asset,
    etag_of,
    problem,
    received_parts,
    reply,
    s3_error,
    signed_parts,
    upload,
    upload_in_parts,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.client import Penstock, Upload
    from tests.client.scripted_server import ScriptedServer

CREATE = "/v1/uploads"
UPLOAD = "/v1/uploads/upload_1"
PARTS = f"{UPLOAD}/parts"
COMPLETE = f"{UPLOAD}/complete"
PART_SIZE = 1000
CONTENT = bytes(n % 251 for n in range(3 * PART_SIZE + 500))
PIECES = [CONTENT[start : start + PART_SIZE] for start in range(0, len(CONTENT), PART_SIZE)]
SOON = InParts(at_least=PART_SIZE)
ONE_BY_ONE = InParts(at_least=PART_SIZE, connections=1)
MEBIBYTE = 2**20
LOST = Answer(hangs_up="at once")
BUSY = s3_error(503, "SlowDown", "Please reduce your request rate.")
EXPIRED = s3_error(403, "AccessDenied", "Request has expired")


@pytest.fixture(autouse=True)
def uploads(server: ScriptedServer) -> None:
    """A server on which an upload in four parts goes well."""
    begun = upload_in_parts(len(CONTENT), PART_SIZE)
    server.answer("POST", CREATE, reply(begun, 201))
    server.answer("GET", UPLOAD, reply(begun))
    server.answer("POST", PARTS, signed_parts(server, 4))
    server.answer("GET", PARTS, received_parts())
    for number, piece in enumerate(PIECES, 1):
        server.answer("PUT", f"/bucket/parts/{number}", stored(piece))
    server.answer("POST", COMPLETE, reply(asset()))
    server.answer("DELETE", UPLOAD, reply(begun | {"state": "aborted"}))


def stored(piece: bytes, **changes: object) -> Answer:
    return Answer(headers={"ETag": etag_of(piece)}, **changes)  # type: ignore[arg-type]  # as the caller says


def sent(server: ScriptedServer, number: int, folder: str = "parts") -> list[bytes]:
    return [put.body for put in server.requests("PUT", f"/bucket/{folder}/{number}")]


def test_a_large_file_is_sent_in_parts_of_the_servers_size(client: Penstock, server: ScriptedServer) -> None:
    uploaded = client.upload_file(CONTENT, filename="cat.png", parts=SOON)

    assert uploaded.id == "asset_1"
    assert server.requests("POST", CREATE)[0].json == {
        "filename": "cat.png",
        "content_type": "image/png",
        "method": "multipart",
        "size_bytes": len(CONTENT),
    }
    assert [sent(server, number) for number in range(1, 5)] == [[piece] for piece in PIECES]
    assert server.requests("POST", COMPLETE)[0].json == {
        "parts": [{"part_number": number, "etag": etag_of(piece)} for number, piece in enumerate(PIECES, 1)]
    }


def test_a_part_travels_with_its_length_and_without_the_key(client: Penstock, server: ScriptedServer) -> None:
    client.upload_file(CONTENT, parts=SOON)

    (put,) = server.requests("PUT", "/bucket/parts/4")
    assert put.query == "signature=s4"
    assert put.headers["content-length"] == "500"
    assert not {"authorization", "transfer-encoding", "content-type"} & put.headers.keys()


@pytest.mark.parametrize("content", [b"", CONTENT[: PART_SIZE - 1]])
def test_a_file_below_the_limit_is_sent_in_one_piece(client: Penstock, server: ScriptedServer, content: bytes) -> None:
    server.answer("POST", CREATE, reply(upload(f"{server.url}/bucket/key"), 201))
    server.answer("PUT", "/bucket/key", Answer())

    client.upload_file(content, parts=SOON)

    assert [put.body for put in server.requests("PUT", "/bucket/key")] == [content]


def test_a_large_file_among_inputs_is_sent_in_parts(client: Penstock, server: ScriptedServer, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(64 * MEBIBYTE)
    server.answer("POST", CREATE, reply(upload_in_parts(64 * MEBIBYTE, 32 * MEBIBYTE), 201))
    server.answer("POST", "/v1/runs", problem(404, "model_not_found"))

    with pytest.raises(Exception, match="model_not_found"):
        client.create_run("no/model", {"image": large})

    assert [put.body_size for n in (1, 2) for put in server.requests("PUT", f"/bucket/parts/{n}")] == [
        32 * MEBIBYTE
    ] * 2


def test_the_size_of_parts_can_be_asked_for(client: Penstock, server: ScriptedServer) -> None:
    client.upload_file(CONTENT, parts=InParts(at_least=0, part_size=PART_SIZE))

    body = server.requests("POST", CREATE)[0].json
    assert isinstance(body, dict)
    assert body["part_size"] == PART_SIZE


def test_parts_travel_over_as_many_connections_as_allowed(client: Penstock, server: ScriptedServer) -> None:
    together = threading.Barrier(3)
    for number in (1, 2, 3):
        server.answer("PUT", f"/bucket/parts/{number}", stored(PIECES[number - 1], meets=together))

    client.upload_file(CONTENT, parts=InParts(at_least=0, connections=3))

    assert not together.broken


def test_one_connection_sends_one_part_after_the_other(client: Penstock, server: ScriptedServer) -> None:
    client.upload_file(CONTENT, parts=ONE_BY_ONE)

    assert [seen.path for seen in server.seen if seen.method == "PUT"] == [f"/bucket/parts/{n}" for n in range(1, 5)]


@pytest.mark.parametrize("fault", [LOST, BUSY])
def test_only_the_part_that_failed_is_sent_again(client: Penstock, server: ScriptedServer, fault: Answer) -> None:
    server.answer("PUT", "/bucket/parts/2", fault, stored(PIECES[1]))

    client.upload_file(CONTENT, parts=SOON)

    assert sent(server, 2) == [PIECES[1]] * 2
    assert [len(sent(server, number)) for number in (1, 3, 4)] == [1, 1, 1]


def test_a_part_whose_url_expired_gets_a_new_one(client: Penstock, server: ScriptedServer) -> None:
    server.answer("POST", PARTS, signed_parts(server, 4), signed_parts(server, 4, "again"))
    server.answer("PUT", "/bucket/parts/1", EXPIRED)
    server.answer("PUT", "/bucket/again/1", stored(PIECES[0]))

    client.upload_file(CONTENT, parts=SOON)

    assert sent(server, 1, "again") == [PIECES[0]]
    assert server.requests("POST", PARTS)[1].json == {"part_numbers": [1]}


def test_many_parts_are_signed_in_batches(client: Penstock, server: ScriptedServer) -> None:
    content = bytes(130)
    server.answer("POST", CREATE, reply(upload_in_parts(130, 1), 201))
    server.answer("POST", PARTS, signed_parts(server, 130))
    for number in range(1, 131):
        server.answer("PUT", f"/bucket/parts/{number}", stored(b"\0"))

    client.upload_file(content, parts=InParts(at_least=0))

    asked = [question.json["part_numbers"] for question in server.requests("POST", PARTS)]  # type: ignore[index]  # our JSON
    assert [number for batch in asked for number in batch] == list(range(1, 131))
    assert max(map(len, asked)) <= 100


def test_a_refused_part_ends_the_upload_and_leaves_what_arrived(client: Penstock, server: ScriptedServer) -> None:
    server.answer("PUT", "/bucket/parts/2", s3_error(403, "SignatureDoesNotMatch", "no"))

    with pytest.raises(UploadError, match="SignatureDoesNotMatch"):
        client.upload_file(CONTENT, parts=SOON)

    assert not server.requests("POST", COMPLETE)
    assert not server.requests("DELETE", UPLOAD)


def test_a_failed_upload_is_aborted_when_asked(client: Penstock, server: ScriptedServer) -> None:
    server.answer("PUT", "/bucket/parts/2", s3_error(403, "SignatureDoesNotMatch", "no"))

    with pytest.raises(UploadError, match="SignatureDoesNotMatch"):
        client.upload_file(CONTENT, parts=InParts(at_least=0, abort_on_failure=True))

    assert len(server.requests("DELETE", UPLOAD)) == 1


def test_a_failed_abortion_does_not_hide_the_failure(client: Penstock, server: ScriptedServer) -> None:
    server.answer("POST", COMPLETE, problem(409, "upload_not_complete"))
    server.answer("DELETE", UPLOAD, problem(500, "internal"))

    with pytest.raises(ConflictError, match="upload_not_complete"):
        client.upload_file(CONTENT, parts=InParts(at_least=0, abort_on_failure=True))


def test_after_a_failure_no_further_part_is_begun(client: Penstock, server: ScriptedServer) -> None:
    server.answer("PUT", "/bucket/parts/1", s3_error(403, "SignatureDoesNotMatch", "no"))

    with pytest.raises(UploadError):
        client.upload_file(CONTENT, parts=ONE_BY_ONE)

    assert [sent(server, number) for number in (2, 3, 4)] == [[], [], []]


def test_an_answer_without_an_etag_is_no_success(client: Penstock, server: ScriptedServer) -> None:
    server.answer("PUT", "/bucket/parts/3", Answer())

    with pytest.raises(UploadError, match="no ETag for part 3"):
        client.upload_file(CONTENT, parts=SOON)


def test_whoever_began_an_upload_learns_its_id_before_the_first_part(client: Penstock, server: ScriptedServer) -> None:
    begun: list[tuple[str, int]] = []

    def note(told: Upload) -> None:
        begun.append((told.id, len(server.requests("PUT", "/bucket/parts/1"))))

    client.upload_file(CONTENT, parts=SOON, on_begin=note)

    assert begun == [("upload_1", 0)]


def test_progress_counts_every_part_once(client: Penstock, server: ScriptedServer) -> None:
    server.answer("PUT", "/bucket/parts/2", LOST, stored(PIECES[1]))
    told: list[tuple[int, int]] = []

    client.upload_file(CONTENT, parts=SOON, on_progress=lambda *call: told.append(call))

    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert max(done for done, _ in told) == len(CONTENT)


def test_a_resumed_upload_sends_only_what_is_missing(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PARTS, received_parts(PIECES[0], next_after=1), received_parts(PIECES[2], first=3))
    told: list[int] = []

    uploaded = client.upload_file(CONTENT, resume="upload_1", on_progress=lambda done, _: told.append(done))

    assert uploaded.id == "asset_1"
    assert not server.requests("POST", CREATE)
    assert [sent(server, number) for number in range(1, 5)] == [[], [PIECES[1]], [], [PIECES[3]]]
    assert [page.query for page in server.requests("GET", PARTS)] == ["after=0", "after=1"]
    assert server.requests("POST", COMPLETE)[0].json == {
        "parts": [{"part_number": number, "etag": etag_of(piece)} for number, piece in enumerate(PIECES, 1)]
    }
    assert told[-1] == len(CONTENT)


@pytest.mark.parametrize("name", [etag_of, lambda part: f'"sha256-{hashlib.sha256(part).hexdigest()}"'])
def test_what_arrived_of_another_file_is_sent_again(
    client: Penstock, server: ScriptedServer, name: Callable[[bytes], str]
) -> None:
    there = [(1, name(b"x" * PART_SIZE)), (2, name(PIECES[1]))]
    data = [{"part_number": number, "size_bytes": PART_SIZE, "etag": etag} for number, etag in there]
    server.answer("GET", PARTS, reply({"data": data, "next_after": None}))

    client.upload_file(CONTENT, resume="upload_1")

    assert [sent(server, number) for number in (1, 2)] == [[PIECES[0]], []]


def test_a_part_whose_etag_tells_nothing_counts_by_its_length(client: Penstock, server: ScriptedServer) -> None:
    there = {"part_number": 1, "size_bytes": PART_SIZE, "etag": '"opaque-1"'}
    server.answer("GET", PARTS, reply({"data": [there], "next_after": None}))

    client.upload_file(CONTENT, resume="upload_1")

    assert sent(server, 1) == []


def test_a_part_of_another_length_is_sent_again(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PARTS, received_parts(PIECES[0][:10]))

    client.upload_file(CONTENT, resume="upload_1")

    assert sent(server, 1) == [PIECES[0]]


def test_a_file_of_another_size_is_not_mixed_into_an_upload(client: Penstock, server: ScriptedServer) -> None:
    with pytest.raises(UploadError, match="is of 3500 bytes, but the file has 5"):
        client.upload_file(b"12345", resume="upload_1")

    assert [seen.method for seen in server.seen] == ["GET"]


def test_an_upload_that_was_completed_is_resumed_by_its_asset(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", UPLOAD, reply(upload_in_parts(len(CONTENT), PART_SIZE, state="ready", asset_id="asset_1")))
    server.answer("GET", "/v1/assets/asset_1", reply(asset()))

    assert client.upload_file(CONTENT, resume="upload_1").id == "asset_1"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"method": "put", "part_size": None}, "was not begun in parts"),
        ({"state": "expired", "part_size": None}, "upload upload_1 is expired"),
    ],
)
def test_what_cannot_be_resumed_is_said(
    client: Penstock, server: ScriptedServer, state: dict[str, object], words: str
) -> None:
    server.answer("GET", UPLOAD, reply(upload_in_parts(len(CONTENT), PART_SIZE) | state))

    with pytest.raises(UploadError, match=words):
        client.upload_file(CONTENT, resume="upload_1")


def test_an_open_file_is_read_by_several_connections_at_once(client: Penstock, server: ScriptedServer) -> None:
    file = io.BytesIO(b"skipped" + CONTENT)
    file.seek(7)

    client.upload_file(file, parts=SOON)

    assert [sent(server, number) for number in range(1, 5)] == [[piece] for piece in PIECES]


def test_memory_does_not_grow_with_the_parts(client: Penstock, server: ScriptedServer, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(128 * MEBIBYTE)
    server.answer("POST", CREATE, reply(upload_in_parts(128 * MEBIBYTE, 32 * MEBIBYTE), 201))

    tracemalloc.start()
    try:
        client.upload_file(large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sum(put.body_size for n in range(1, 5) for put in server.requests("PUT", f"/bucket/parts/{n}")) == 2**27
    assert peak < 32 * MEBIBYTE


def test_somebody_else_can_send_the_parts(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", PARTS, received_parts(PIECES[0]))

    begun = client.create_upload(filename="a.png", content_type="image/png", method="multipart", part_size=PART_SIZE)
    signed = client.sign_parts(begun.id, [1, 2])
    there = client.received_parts(begun.id)

    assert (begun.upload_url, begun.part_size, begun.part_count) == (None, PART_SIZE, 4)
    assert signed.data[1].url == f"{server.url}/bucket/parts/2?signature=s2"
    assert [(part.part_number, part.size_bytes) for part in there] == [(1, PART_SIZE)]
    assert client.upload(begun.id) == begun
    assert client.complete_upload(begun.id).id == "asset_1"
    assert client.abort_upload(begun.id).state == "aborted"


def test_a_form_is_handed_on_as_the_server_made_it(client: Penstock, server: ScriptedServer) -> None:
    form = {"url": f"{server.url}/bucket", "fields": {"key": "staging/x", "policy": "p"}}
    server.answer("POST", CREATE, reply(upload(None, method="form", headers=None, form=form), 201))

    begun = client.create_upload(filename="a.png", content_type="image/png", method="form")

    assert begun.form is not None
    assert (begun.form.url, list(begun.form.fields)) == (f"{server.url}/bucket", ["key", "policy"])
