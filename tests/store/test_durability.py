"""What a 2xx promises (P1, P2) when the process dies, the disk fails, or the disk is full."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from penstock.store.config import Limits
from tests.store.support import BUCKET, Store, StoreProcess, store_in_thread

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = b"old version", b"new version"


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_a_full_disk_is_507_before_the_body_and_the_old_object_stays(tmp_path: Path) -> None:
    with store_in_thread(tmp_path) as store:
        assert store.put("key", OLD).status == 200
    with store_in_thread(tmp_path, limits=Limits(reserve_bytes=1 << 60)) as store, store.connect() as connection:
        target = store.presign("PUT", "key")
        connection.send(store.plain_head("PUT", target, {"content-length": "1000000", "expect": "100-continue"}))
        response = connection.read_response()

        assert (response.status, response.code) == (507, "InsufficientStorage")
        assert store.get("key").body == OLD
        assert len(store.stored_files()) == 1


def test_a_disk_that_fills_up_is_507_and_writing_goes_on_when_there_is_room(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("key", OLD)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(errno.ENOSPC))
        response = store.put("key", NEW)

    assert (response.status, response.code) == (507, "InsufficientStorage")
    assert store.get("key").body == OLD
    assert len(store.stored_files()) == 1
    wait_until_writable(store)
    assert store.put("key", NEW).status == 200


def test_a_failed_fsync_is_never_acknowledged_and_turns_the_store_read_only_for_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("other", OLD)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(errno.EIO))
        response = store.put("key", NEW)
        refused = store.put("key", NEW)

        assert (response.status, response.code) == (500, "InternalError")
        assert (refused.status, refused.code) == (503, "ServiceUnavailable")
        assert store.exchange(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").status == 503
        assert store.get("key").status == 404
        assert store.get("other").body == OLD
        assert len(store.stored_files()) == 1

    wait_until_writable(store)
    assert store.put("key", NEW).status == 200
    assert store.exchange(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").status == 200


def test_a_failed_fsync_of_the_directory_takes_the_new_object_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    calls: list[int] = []

    def fails_second(fd: int) -> None:
        calls.append(fd)
        if len(calls) == 2:
            raise OSError(errno.EIO, "injected")
        real(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails_second)
        response = store.put("key", NEW)

    assert response.status == 500
    assert store.get("key").status == 404
    assert store.stored_files() == []


def failing(number: int) -> object:
    def fail(*_: object) -> int:
        raise OSError(number, "injected")

    return fail


def wait_until_writable(store: Store) -> None:
    deadline = time.monotonic() + 10
    while store.put("probe", b"").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    store.call("DELETE", "probe")


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to see the order of system calls")
def test_the_file_is_synced_before_the_rename_and_the_directory_before_the_answer(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with StoreProcess(tmp_path / "data", "--no-log") as process:
        store = process.ready()
        tracer = subprocess.Popen(
            [
                *("strace", "-f", "-y", "-o", str(trace), "-p", str(process.process.pid)),
                *("-e", "trace=fsync,fdatasync,/rename,/link,sendto"),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()

        assert store.put("key", NEW).status == 200
        assert store.call("PUT", "copy", headers={"x-amz-copy-source": f"{BUCKET}/key"}).status == 200
        tracer.terminate()
        tracer.communicate(timeout=10)

    steps = [step for line in trace.read_text().splitlines() if (step := durable_step(line))]
    assert steps == [
        *("sync file", "rename", "sync directory", "answer"),
        *("link", "sync file", "sync directory", "rename", "sync directory", "answer"),
    ]


def durable_step(line: str) -> str | None:
    """The step that a traced system call is, if it is one that durability rests on; `-y` shows descriptors' paths."""
    if "sync(" in line:
        return "sync file" if "/data/tmp" in line else "sync directory"
    for call, step in (("rename", "rename"), ("link(", "link"), ("HTTP/1.1 200", "answer")):
        if call in line:
            return step
    return None
