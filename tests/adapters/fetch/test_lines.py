"""A connection that is read against the clock and against a bound, with a real socket at its other end."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.fetch.lines import Line, Pace
from penstock.domain.egress import parse_url
from penstock.ports.fetch import SourceRefusedError

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
