"""`penstock upload` against a server of the test's making; against the real one in tests/integration."""

from __future__ import annotations

import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.client.scripted_server import (
    NOW,
    Answer,
    asset,
    etag_of,
    received_parts,
    reply,
    s3_error,
    scripted_server,
    signed_parts,
    upload,
    upload_in_parts,
)
from tests.support.server import PENSTOCK, clean_environment, run_penstock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.client.scripted_server import ScriptedServer

UPLOAD = "/v1/uploads/upload_1"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server with an upload of two parts, the first of which has arrived."""
    with scripted_server() as scripted:
        scripted.answer("GET", UPLOAD, reply(upload_in_parts(8, 5)))
        scripted.answer("GET", f"{UPLOAD}/parts", received_parts(b"first"))
        scripted.answer("POST", f"{UPLOAD}/parts", signed_parts(scripted, 2))
        scripted.answer("PUT", "/bucket/parts/2", Answer(headers={"ETag": etag_of(b"two")}))
        scripted.answer("POST", f"{UPLOAD}/complete", reply(asset()))
        yield scripted


@pytest.fixture
def file(tmp_path: Path) -> Path:
    named = tmp_path / "my film.bin"
    named.write_bytes(b"firsttwo")
    return named


def environment(server: ScriptedServer) -> dict[str, str]:
    return clean_environment(PENSTOCK_URL=server.url, PENSTOCK_API_KEY="sk_test")


def how_to_go_on(file: Path) -> str:
    return f"penstock: what has arrived is kept; go on with: penstock upload '{file}' --resume upload_1\n"


def test_a_resumed_upload_sends_what_is_missing(server: ScriptedServer, file: Path) -> None:
    done = run_penstock("upload", str(file), "--resume", "upload_1", environment=environment(server))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "asset_1"
    assert [seen.body for seen in server.seen if seen.method == "PUT"] == [b"two"]


def test_an_interrupted_upload_says_at_once_how_to_go_on(server: ScriptedServer, file: Path) -> None:
    underway, never = threading.Barrier(2), threading.Event()
    server.answer("PUT", "/bucket/parts/2", Answer(meets=underway, holds=never))
    command = subprocess.Popen(
        [*PENSTOCK, "upload", str(file), "--resume", "upload_1"],
        env=environment(server),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    underway.wait(30)

    command.send_signal(signal.SIGINT)
    printed, said = command.communicate(timeout=25)
    never.set()

    assert (command.returncode, printed, said) == (130, "", how_to_go_on(file))


def test_a_failed_upload_says_why_and_how_to_go_on(server: ScriptedServer, file: Path) -> None:
    server.answer("PUT", "/bucket/parts/2", s3_error(403, "SignatureDoesNotMatch", "no"))

    refused = run_penstock("upload", str(file), "--resume", "upload_1", environment=environment(server))

    assert refused.returncode == 1
    assert refused.stderr == f"penstock: no (SignatureDoesNotMatch, HTTP 403)\n{how_to_go_on(file)}"


def test_a_file_that_is_refused_for_good_is_not_to_be_gone_on_with(server: ScriptedServer, file: Path) -> None:
    refusal = {"code": "file_type_mismatch", "detail": "the bytes are no film", "request_id": "r"}
    server.answer("POST", "/v1/uploads/upload_1/complete", reply(refusal, 422))

    refused = run_penstock("upload", str(file), "--resume", "upload_1", environment=environment(server))

    assert refused.returncode == 1
    assert "what has arrived is kept" not in refused.stderr
    assert refused.stderr.splitlines()[-1].endswith("--content-type application/octet-stream lets the bytes decide")


def test_of_several_files_it_is_said_which_failed_and_what_was_not_sent(server: ScriptedServer, file: Path) -> None:
    other = file.with_name("other.bin")
    other.write_bytes(b"more")
    refusal = {"code": "quota_exceeded", "detail": "too much", "request_id": "r"}
    server.answer("POST", "/v1/uploads", reply(refusal, 403))

    refused = run_penstock("upload", str(file), str(other), environment=environment(server))

    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == f"penstock: that was {file}; not sent: {other}"


def test_after_a_crash_the_newest_upload_of_that_name_and_size_goes_on(server: ScriptedServer, file: Path) -> None:
    fits = {"method": "multipart", "filename": file.name, "size_bytes": 8}
    listed = [
        upload(None, "upload_9", **{**fits, "state": "ready"}),
        upload(None, "upload_8", **{**fits, "size_bytes": 9}),
        upload(None, "upload_7", **{**fits, "filename": "another.bin"}),
        upload(None, "upload_6", **{**fits, "method": "put"}),
        upload(None, "upload_1", **fits),
        upload(None, "upload_0", **fits),
    ]
    server.answer("GET", "/v1/uploads", reply({"data": listed, "next_cursor": None}))

    done = run_penstock("upload", str(file), "--resume", "latest", environment=environment(server))

    assert (done.returncode, done.stderr) == (0, "")
    assert [seen.body for seen in server.seen if seen.method == "PUT"] == [b"two"]


def test_where_none_broke_off_the_file_is_sent_anew(server: ScriptedServer, file: Path) -> None:
    server.answer("GET", "/v1/uploads", reply({"data": [], "next_cursor": None}))
    server.answer("POST", "/v1/uploads", reply(upload(f"{server.url}/bucket/key"), 201))
    server.answer("PUT", "/bucket/key", Answer())

    done = run_penstock("upload", str(file), "--resume", "latest", environment=environment(server))

    assert (done.returncode, done.stderr) == (0, "penstock: no upload of my film.bin broke off; it is sent anew\n")
    assert [seen.body for seen in server.seen if seen.method == "PUT"] == [b"firsttwo"]


def test_several_files_are_uploaded_one_after_the_other(server: ScriptedServer, file: Path) -> None:
    server.answer("POST", "/v1/uploads", reply(upload(f"{server.url}/bucket/key"), 201))
    server.answer("PUT", "/bucket/key", Answer())

    done = run_penstock("upload", str(file), str(file), "--json", environment=environment(server))

    assert done.stdout.count(NOW.partition("T")[0]) == 2
    assert len(server.requests("PUT", "/bucket/key")) == 2


def test_one_upload_is_resumed_with_one_file(server: ScriptedServer, file: Path) -> None:
    refused = run_penstock("upload", str(file), str(file), "--resume", "upload_1", environment=environment(server))

    assert refused.returncode == 2
    assert "one upload is resumed with one file" in refused.stderr
