"""Disks that fail, for real: errors put into the store's own system calls, and a file system that is full (F4–F6)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from penstock.store.fsck import Check, exclusive
from penstock.store.layout import Layout, entry_name
from tests.store.support import BUCKET, PATIENCE_SECONDS, Store, StoreProcess, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = b"old version", b"new version"
LARGE = bytes(1_000_000)
HUGE = 30_000_000
"""More than the buffers of two sockets hold."""
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to put errors into system calls")


@contextmanager
def injected(process: StoreProcess, call: str, error: str, *, trace: Path, path: Path | None = None) -> Iterator[None]:
    """While inside, these system calls of the process fail; with `path`, only those on this file."""
    tracer = subprocess.Popen(
        [
            *("strace", "-f", "-y", "-o", str(trace), "-p", str(process.process.pid)),
            *("-e", f"trace={call},/rename,/unlink,sendto", "-e", f"inject={call}:error={error}"),
            *(("-P", str(path)) if path else ()),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    try:
        if "attached" not in line:
            pytest.skip(f"strace may not attach to a process here: {line.strip()}")
        yield
    finally:
        tracer.terminate()
        tracer.communicate(timeout=PATIENCE_SECONDS)


def health(store: Store) -> int:
    return store.exchange(HEALTH).status


def wait_until_healthy(store: Store) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while health(store) != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def listed(store: Store) -> list[str]:
    return re.findall(r"<Key>(.*?)</Key>", store.call("GET", "", query={"list-type": "2"}).body.decode())


def object_file(directory: Path, key: str) -> Path:
    layout = Layout(directory)
    return directory / layout.entry(entry_name(BUCKET, key))


# --- clients that cannot be taken


@needs_strace
@pytest.mark.parametrize(
    ("call", "error"), [("accept4", "EPROTO"), ("accept4", "ENOMEM"), ("accept4", "EMFILE"), ("setsockopt", "EINVAL")]
)
def test_a_client_that_cannot_be_taken_does_not_keep_the_next_ones_out(tmp_path: Path, call: str, error: str) -> None:
    trace = tmp_path / "trace"
    with StoreProcess(tmp_path / "data", "--no-log") as process:
        store = process.ready()

        with injected(process, call, error, trace=trace), store.connect():
            deadline = time.monotonic() + PATIENCE_SECONDS
            while "INJECTED" not in trace.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.05)

        assert health(store) == 200
        assert store.put("key", NEW).status == 200


# --- F4, F5: writes that fail


@needs_strace
@pytest.mark.parametrize("body", [NEW, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("call", ["write", "fsync", "/^rename"])
@pytest.mark.parametrize(
    ("error", "status", "code"), [("ENOSPC", 507, "InsufficientStorage"), ("EIO", 500, "InternalError")]
)
def test_a_write_that_fails_is_refused_and_changes_nothing_until_the_disk_is_well(
    tmp_path: Path, body: bytes, call: str, error: str, status: int, code: str
) -> None:
    with StoreProcess(tmp_path / "data") as process:
        store = process.ready()
        assert store.put("key", OLD).status == 200
        files = store.stored_files()

        with injected(process, call, error, trace=tmp_path / "trace"):
            response = store.put("key", body)
            assert (response.status, response.code) == (status, code)
            assert store.put("new", body).code in {code, "ServiceUnavailable"}
            assert store.get("key").body == OLD
            assert store.get("new").status == 404
            assert listed(store) == ["key"]
            assert store.stored_files() == files

        wait_until_healthy(store)
        assert store.put("key", body).status == 200
        assert store.get("key").body == body


@needs_strace
def test_a_disk_that_cannot_sync_makes_the_store_unhealthy_and_no_file_is_synced_again(tmp_path: Path) -> None:
    with StoreProcess(tmp_path / "data", "--no-log") as process:
        store = process.ready()
        assert store.put("other", OLD).status == 200

        with injected(process, "fsync", "EIO", trace=tmp_path / "trace"):
            assert store.put("key", NEW).status == 500
            assert health(store) == 503
            assert (refused := store.put("key", NEW)).status == 503
            assert refused.code == "ServiceUnavailable"
            assert store.get("other").body == OLD

        wait_until_healthy(store)
        assert store.get("key").status == 404

    failed = re.findall(r"fsync\(\d+<(.*?)(?: \(deleted\))?>\) = -1 EIO", (tmp_path / "trace").read_text())
    assert failed
    assert len(failed) == len(set(failed))
    assert not [line for line in (tmp_path / "trace").read_text().splitlines() if "rename(" in line]


@needs_strace
def test_a_directory_that_cannot_be_synced_takes_the_new_object_back(tmp_path: Path) -> None:
    with StoreProcess(tmp_path / "data", "--no-log") as process:
        store = process.ready()
        shard = object_file(tmp_path / "data", "key").parent

        with injected(process, "fsync", "EIO", trace=tmp_path / "trace", path=shard):
            assert store.put("key", NEW).status == 500

        assert store.get("key").status == 404
        assert store.stored_files() == []
        wait_until_healthy(store)
        assert store.put("key", NEW).status == 200


@needs_strace
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_an_index_that_cannot_be_written_fails_no_object_and_is_made_up_for(tmp_path: Path, error: str) -> None:
    with StoreProcess(tmp_path / "data", "--no-log") as process:
        store = process.ready()
        assert store.put("older", OLD).status == 200
        assert listed(store) == ["older"]

        with injected(process, "pwrite64", error, trace=tmp_path / "trace"):
            assert store.put("key", NEW).status == 200
            assert store.get("key").body == NEW
            assert listed(store) == ["key", "older"]
            assert store.call("DELETE", "older").status == 204
            assert listed(store) == ["key"]
            deadline = time.monotonic() + PATIENCE_SECONDS
            while health(store) != 503:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert store.get("key").body == NEW

        wait_until_healthy(store)
        assert listed(store) == ["key"]


@needs_strace
def test_a_deletion_that_could_not_be_made_durable_is_not_acknowledged(tmp_path: Path) -> None:
    with StoreProcess(tmp_path / "data", "--no-log") as process:
        store = process.ready()
        assert store.put("key", OLD).status == 200

        with injected(process, "fsync", "EIO", trace=tmp_path / "trace"):
            assert store.call("DELETE", "key").status == 500

        wait_until_healthy(store)
        assert store.call("DELETE", "key").status == 204


# --- F4: a file system that is full


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[Path]:
    """A file system in memory with so much room."""
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", place], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def chunked_put(store: Store, key: str, pieces: int) -> int:
    """PUT so many pieces of 64 KiB without saying how many. The status of the answer."""
    with store.connect() as connection:
        connection.send(store.plain_head("PUT", store.presign("PUT", key), {"transfer-encoding": "chunked"}))
        try:
            for _ in range(pieces):
                connection.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            connection.send(b"0\r\n\r\n")
        except OSError:
            pass  # the refusal came first
        return connection.read_response().status


def test_a_disk_that_is_full_refuses_what_does_not_fit_and_takes_what_fits_again_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=4m") as disk, store_in_thread(disk) as store:
        assert store.put("key", bytes(1_000_000)).status == 200
        declared = store.plain_head("PUT", store.presign("PUT", "key"), {"content-length": "8000000"})
        assert store.exchange(declared).status == 507

        assert chunked_put(store, "key", 60) == 507
        assert len(store.get("key").body) == 1_000_000
        assert len(store.stored_files()) == 1

        wait_until_healthy(store)
        assert store.call("DELETE", "key").status == 204
        assert store.put("fits", bytes(2_000_000)).status == 200


def test_a_file_system_without_room_for_another_name_is_507_too(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=64m,nr_inodes=300") as disk, store_in_thread(disk) as store:
        statuses = {store.put(f"key-{number}", NEW).status for number in range(60)}
        assert 200 in statuses
        assert 507 in statuses
        assert statuses <= {200, 503, 507}

        for number in range(60):
            assert store.call("DELETE", f"key-{number}").status == 204
        wait_until_healthy(store)
        assert store.put("key", NEW).status == 200


# --- F6: reads that fail


def read_to_the_end(store: Store, key: str) -> int:
    """GET, without a look at its length. How many bytes came, head included."""
    with store.connect() as connection:
        connection.send(store.head_bytes("GET", f"/{BUCKET}/{key}"))
        received = 0
        while data := connection.receive():
            received += len(data)
        return received


@needs_strace
@pytest.mark.parametrize(("body", "call"), [(NEW, "pread64"), (LARGE, "sendfile")])
def test_an_object_that_cannot_be_read_is_never_a_whole_answer_and_harms_no_other(
    tmp_path: Path, body: bytes, call: str
) -> None:
    with StoreProcess(tmp_path / "data") as process:
        store = process.ready()
        assert store.put("key", body).status == 200
        assert store.put("other", body).status == 200

        with injected(process, call, "EIO", trace=tmp_path / "trace", path=object_file(tmp_path / "data", "key")):
            if body is NEW:
                assert store.get("key").status == 500
            else:
                assert read_to_the_end(store, "key") < len(LARGE)
            assert store.get("other").body == body
            assert health(store) == 200
            assert store.put("another", NEW).status == 200

        assert store.get("key").body == body
        process.process.terminate()
        _, log = process.process.communicate(timeout=PATIENCE_SECONDS)

    assert log.count('"store.unreadable"') == 1


def test_a_large_object_that_lost_its_end_breaks_the_connection_and_fsck_finds_it(tmp_path: Path) -> None:
    events: list[str] = []
    with store_in_thread(tmp_path, log=lambda event, **_: events.append(event)) as store:
        assert store.put("key", bytes(HUGE)).status == 200
        with store.connect() as connection:
            connection.send(store.head_bytes("GET", f"/{BUCKET}/key"))
            received = len(connection.receive())
            os.truncate(object_file(tmp_path, "key"), 1000)
            while data := connection.receive():
                received += len(data)
        assert received < HUGE
        assert events.count("store.unreadable") == 1

        assert store.get("key").status == 500

    assert "truncated" in findings(tmp_path)


def test_a_flipped_byte_of_a_small_object_is_500_and_fsck_finds_it(tmp_path: Path) -> None:
    events: list[str] = []
    with store_in_thread(tmp_path, log=lambda event, **_: events.append(event)) as store:
        assert store.put("key", NEW).status == 200
        file = object_file(tmp_path, "key")
        content = bytearray(file.read_bytes())
        content[3] ^= 1
        file.write_bytes(content)

        response = store.get("key")

    assert (response.status, response.code) == (500, "InternalError")
    assert "store.unreadable" in events
    assert "flipped" in findings(tmp_path)


def findings(directory: Path) -> list[str]:
    """What fsck says."""
    with exclusive(directory):
        return [finding.kind.value for finding in Check(directory, progress=lambda _: None).findings()]
