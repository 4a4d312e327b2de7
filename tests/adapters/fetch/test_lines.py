"""A connection that is read against the clock and against a bound, with a real socket at its other end."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.fetch.lines import Line, Pace
from penstock.domain.egress import parse_url
from penstock.ports.fetch import SourceFailedError, SourceRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_BYTES = 65536
ASKED = 65536


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    """Ours, with its request written, and the server's."""
    ours, theirs = socket.socketpair()
    place = parse_url("http://files.test/file")
    line = Line(ours, place, Pace(), deadline=time.monotonic() + 60, watch=lambda: None)
    with theirs:
        line.write(b"GET /file HTTP/1.1\r\n\r\n")
        yield line, theirs
        line.close()


def test_a_head_that_comes_in_pieces_is_read_up_to_its_bound_and_no_further(
    ends: tuple[Line, socket.socket],
) -> None:
    line, server = ends
    server.sendall(b"x" * 60_000)
    received = len(line.read(ASKED))
    server.sendall(b"x" * 60_000)
    while received < HEAD_BYTES:
        received += len(line.read(ASKED))

    assert received == HEAD_BYTES
    with pytest.raises(SourceRefusedError, match="headers"):
        line.read(ASKED)


def test_the_bound_on_the_head_does_not_bind_the_body(ends: tuple[Line, socket.socket]) -> None:
    line, server = ends
    server.sendall(b"x" * 60_000)
    head = len(line.read(ASKED))
    line.head_is_read()
    server.sendall(b"x" * 60_000)
    received = 0
    while received < 120_000 - head:
        received += len(line.read(ASKED))

    assert head + received == 120_000


def test_a_head_is_handed_out_up_to_its_end_and_the_body_comes_as_it_is(ends: tuple[Line, socket.socket]) -> None:
    line, server = ends
    server.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r")
    early, beginning = line.read(ASKED), line.read(ASKED)
    server.sendall(b"\n\r\n\r\nbo")
    end = line.read(ASKED)
    line.head_is_read()
    server.sendall(b"dy, and another answer")

    came = b"".join(line.body(8))

    assert early == b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert beginning + end == b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    assert came == b"\r\n\r\nbody"


def test_a_body_that_ends_before_its_size_is_a_failure(ends: tuple[Line, socket.socket]) -> None:
    line, server = ends
    line.head_is_read()
    server.sendall(b"half")
    server.shutdown(socket.SHUT_WR)

    body = line.body(8)

    assert next(body) == b"half"
    with pytest.raises(SourceFailedError, match="before the end"):
        next(body)
