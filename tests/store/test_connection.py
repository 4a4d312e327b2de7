from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from penstock.store.config import Limits
from penstock.store.connection import Connection
from penstock.store.faults import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from penstock.store.reactor import Wait

LIMITS = Limits(rate_seconds=0.05, rate_bytes=1000)
DATA = bytes(3_000_000)


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and its client, between which little fits."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield Connection(ours, LIMITS), theirs


def run(coroutine: Coroutine[Wait, None, None], between: Callable[[], object]) -> None:
    """Drive a coroutine; each time it waits, do something and let its window pass."""
    with contextlib.suppress(StopIteration):
        while True:
            wait = coroutine.send(None)
            between()
            time.sleep(max(0.0, wait.deadline - time.monotonic()))


def test_a_client_that_takes_bytes_fast_enough_gets_all_of_them(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    received = bytearray()

    def take() -> None:
        while len(piece := client.recv(200_000)) == 200_000:
            received.extend(piece)
        received.extend(piece)

    run(connection.send(DATA), take)
    take()

    assert bytes(received) == DATA


def test_a_client_that_takes_a_byte_now_and_then_is_cut_off(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair

    with pytest.raises(Refused, match="too slowly"):
        run(connection.send(DATA), lambda: client.recv(1))


def test_a_client_that_sends_a_byte_now_and_then_is_cut_off(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair

    async def read() -> None:
        while await connection.receive(1000):
            pass

    with pytest.raises(Refused, match="too slowly"):
        run(read(), lambda: client.send(b"x"))


def test_a_client_that_sends_just_fast_enough_is_heard_to_its_end(pair: tuple[Connection, socket.socket]) -> None:
    connection, client = pair
    pieces = iter([bytes(1000)] * 5)
    received = bytearray()

    async def read() -> None:
        while piece := await connection.receive(4000):
            received.extend(piece)

    def speak() -> None:
        piece = next(pieces, b"")
        if piece:
            client.send(piece)
        else:
            client.shutdown(socket.SHUT_WR)

    run(read(), speak)

    assert len(received) == 5000
