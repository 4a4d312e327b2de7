"""The process: one per data directory, ends as it should, and keeps little memory."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from penstock.store.config import load_credentials, load_or_create_credentials
from penstock.store.server import DirectoryInUseError
from tests.store.support import StoreProcess, store_in_thread

MB = 1024 * 1024


def test_a_second_store_on_one_directory_is_refused_with_a_clear_message(tmp_path: Path) -> None:
    with StoreProcess(tmp_path) as first:
        store = first.ready()
        with StoreProcess(tmp_path) as second:
            _, errors = second.process.communicate(timeout=20)

        assert second.process.returncode == 1
        assert "another store process serves" in errors
        assert "Traceback" not in errors
        assert store.put("key", b"x").status == 200


def test_the_lock_ends_with_the_store(tmp_path: Path) -> None:
    with store_in_thread(tmp_path), pytest.raises(DirectoryInUseError), store_in_thread(tmp_path):
        pass

    with store_in_thread(tmp_path) as store:
        assert store.put("key", b"x").status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_an_upload_under_way_finish(tmp_path: Path, number: signal.Signals) -> None:
    with StoreProcess(tmp_path, "--no-log") as process:
        store = process.ready()
        with store.connect() as idle, store.connect() as busy:
            busy.send(store.plain_head("PUT", store.presign("PUT", "k"), {"content-length": "4"}) + b"1")
            busy.send(b"2")
            while not list((tmp_path / "tmp").iterdir()):
                pass
            process.process.send_signal(number)
            assert idle.is_closed()
            busy.send(b"34")
            response = busy.read_response()

        assert response.status == 200
        assert response.headers["connection"] == "close"
        assert process.process.wait(20) == 0

    with store_in_thread(tmp_path) as store:
        assert store.get("k").body == b"1234"


def test_the_store_ends_when_its_parents_pipe_closes(tmp_path: Path) -> None:
    with StoreProcess(tmp_path, "--no-log") as process:
        process.ready()
        assert process.process.stdin is not None

        process.process.stdin.close()

        assert process.process.wait(20) == 0


def test_the_request_log_has_paths_and_never_a_query_or_a_signature(tmp_path: Path) -> None:
    with StoreProcess(tmp_path) as process:
        store = process.ready()
        target = store.presign("PUT", "logged")
        store.exchange(store.plain_head("PUT", target, {"content-length": "1"}) + b"x")
        store.exchange(store.plain_head("PUT", target + "0", {"content-length": "1"}) + b"x")
        process.process.send_signal(signal.SIGTERM)
        _, log = process.process.communicate(timeout=20)

    events = [json.loads(line) for line in log.splitlines()]
    assert sorted((event["method"], event["path"], event["status"]) for event in events) == [
        ("PUT", "/penstock/logged", 200),
        ("PUT", "/penstock/logged", 403),
    ]
    assert "X-Amz" not in log
    assert "a secret" not in log


def test_memory_does_not_grow_with_the_size_of_an_upload(tmp_path: Path) -> None:
    with StoreProcess(tmp_path, "--no-log") as process:
        store = process.ready()
        with store.connect() as connection:
            head = store.plain_head("PUT", store.presign("PUT", "large"), {"content-length": str(200 * MB)})
            connection.send(head)
            piece = os.urandom(MB)
            for _ in range(200):
                connection.send(piece)
            assert connection.read_response().status == 200
        status = Path(f"/proc/{process.process.pid}/status").read_text()

    peak_kb = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kb < 80 * 1024


def test_credentials_are_created_once_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "credentials.json"

    first, second = load_or_create_credentials(path), load_or_create_credentials(path)

    assert first == second
    assert path.stat().st_mode & 0o777 == 0o600
    assert all(len(secret) >= 40 for secret in first.values())
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", ["[]", "{}", '{"key": 1}', '{"key": ""}'])
def test_credentials_of_another_form_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.touch(mode=0o600)
    path.write_text(content)

    with pytest.raises(ValueError, match="must hold"):
        load_credentials(path)


def test_credentials_that_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    path.write_text('{"key": "secret"}')
    path.chmod(0o644)

    with pytest.raises(ValueError, match="chmod 600"):
        load_credentials(path)
