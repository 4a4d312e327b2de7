"""Bodies that the kernel moves into their file: the same bytes, the same hashes, the same refusals."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from penstock.store.digests import Digests, HashThreads
from penstock.store.splicing import Pipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.store.support import Store

BODY = bytes(range(256)) * 16 * 1024


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
    yield fd
    os.close(fd)


def test_bytes_of_a_socket_come_into_the_file_in_their_order(target: int) -> None:
    sender, receiver = socket.socketpair()
    pipe = Pipe()

    with sender, receiver:
        receiver.setblocking(False)
        for piece in (b"first ", b"second"):
            sender.sendall(piece)
            pipe.empty(target, pipe.fill(receiver.fileno(), 100))
        sender.close()
        at_the_end = pipe.fill(receiver.fileno(), 100)

    assert (os.pread(target, 100, 0), at_the_end) == (b"first second", 0)


def test_what_a_file_did_not_take_never_comes_into_another(target: int) -> None:
    sender, receiver = socket.socketpair()
    pipe = Pipe()

    with sender, receiver:
        sender.sendall(b"lost")
        count = pipe.fill(receiver.fileno(), 100)
        with pytest.raises(OSError, match="Bad file descriptor"):
            pipe.empty(-1, count)
        sender.sendall(b"kept")
        pipe.empty(target, pipe.fill(receiver.fileno(), 100))

    assert os.pread(target, 100, 0) == b"kept"


def test_hashes_of_moved_and_of_written_bytes_are_of_all_in_their_order(target: int) -> None:
    threads = HashThreads(1)
    digests = Digests({"sha256", "md5"}, fd=target, threads=threads)

    os.write(target, b"moved ")
    digests.advance(6)
    os.write(target, b"written")
    digests.update(b"written")
    found = digests.finish()
    threads.close()

    assert found["sha256"] == hashlib.sha256(b"moved written").digest()


def test_a_large_body_is_followed_by_the_next_request_on_its_connection(store: Store) -> None:
    head = store.plain_head("PUT", store.presign("PUT", "large"), {"content-length": str(len(BODY))})
    following = store.plain_head("GET", store.presign("GET", "large"))

    with store.connect() as connection:
        connection.send(head + BODY + following)
        stored, read = connection.read_response(), connection.read_response()

    assert stored.headers["etag"] == f'"sha256-{hashlib.sha256(BODY).hexdigest()}"'
    assert read.body == BODY


def test_a_large_body_that_ends_early_leaves_nothing(store: Store) -> None:
    head = store.plain_head("PUT", store.presign("PUT", "large"), {"content-length": str(len(BODY))})

    with store.connect() as connection:
        connection.send(head + BODY[:-1])
        connection.socket.shutdown(socket.SHUT_WR)
        response = connection.read_response()

    assert (response.status, response.code) == (400, "IncompleteBody")
    assert store.stored_files() == []


def test_a_disk_that_fills_up_under_a_large_body_is_507(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.splice

    def full(src: int, dst: int, count: int, *, flags: int) -> int:
        if stat.S_ISFIFO(os.fstat(dst).st_mode):
            return real(src, dst, count, flags=flags)
        raise OSError(errno.ENOSPC, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(os, "splice", full)
        response = store.put("key", BODY)

    assert (response.status, response.code) == (507, "InsufficientStorage")
    assert store.stored_files() == []
