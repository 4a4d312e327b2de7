from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from penstock.store.reactor import READABLE, Reactor, ready

if TYPE_CHECKING:
    from pathlib import Path


def test_a_coroutine_whose_file_cannot_be_waited_for_is_closed_and_told_of(tmp_path: Path) -> None:
    errors: list[Exception] = []
    closed: list[bool] = []
    reactor = Reactor(threads=1, on_error=errors.append)

    async def wait() -> None:
        try:
            await ready(READABLE, time.monotonic() + 60)
        finally:
            closed.append(True)

    reactor.start()
    with (tmp_path / "plain").open("w") as file:
        reactor.spawn(wait(), file.fileno())  # the kernel refuses: a plain file is always ready

    assert [type(error) for error in errors] == [PermissionError]
    assert closed == [True]
    assert reactor.live == 0
    reactor.close()


def test_others_run_on_after_one_that_failed(tmp_path: Path) -> None:
    errors: list[Exception] = []
    heard: list[bytes] = []
    reactor = Reactor(threads=1, on_error=errors.append)
    ours, theirs = socket.socketpair()

    async def fail() -> None:
        raise ValueError

    async def listen() -> None:
        await ready(READABLE, time.monotonic() + 60)
        heard.append(ours.recv(1))

    with ours, theirs:
        reactor.start()
        reactor.spawn(fail(), 0)
        reactor.spawn(listen(), ours.fileno())
        theirs.send(b"x")
        assert reactor.drain(seconds=20)
        reactor.close()

    assert heard == [b"x"]
    assert [type(error) for error in errors] == [ValueError]
