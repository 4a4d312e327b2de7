"""What a 2xx promises (P1, P2) when the process dies, the disk fails, or the disk is full."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from typing import TYPE_CHECKING

from penstock.store.config import Limits
from tests.store.support import Store, store_in_thread

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

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
