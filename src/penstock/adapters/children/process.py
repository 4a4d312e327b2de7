"""The parent's hold on one child."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.adapters.children import messages
from penstock.adapters.children.messages import NoMessageError
from penstock.ports.jobs import AttemptInterruptedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOOK_SECONDS = 0.05
_START_SECONDS = 60.0
_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildProgram:
    """What runs in a child. `name` begins its events in the log; `begin` is told to it first, with `memory_bytes`."""

    name: str
    module: str
    begin: Mapping[str, object] = field(default_factory=dict)
    python: str = sys.executable


class TooLongError(Exception):
    """The time for one file is over."""


class DiedError(Exception):
    """The child is gone, or talks nonsense."""


class Child:
    """One process. Used by one thread at a time."""

    def __init__(self, program: ChildProgram, *, memory_bytes: int) -> None:
        self.files = 0
        self.healthy = True
        self.exhausted = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = subprocess.Popen(
                [program.python, "-I", "-X", "utf8", "-m", program.module, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C at the terminal is for the server, which ends its work in order
            )
        self._socket.settimeout(_START_SECONDS)
        try:
            self._socket.sendall(messages.encode({**program.begin, "memory_bytes": memory_bytes}))
            message, _ = self._receive(time.monotonic() + _START_SECONDS, lambda: False)
            self.isolation = {name: messages.printable(str(word)) for name, word in message.items()}
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def ask(
        self, request: Mapping[str, object], descriptor: int, *, seconds: float, cancelled: Callable[[], bool]
    ) -> tuple[dict[str, Any], bytes]:
        """What it says. Raises `TooLongError`, `DiedError`, `AttemptInterruptedError`; it is of no use after that."""
        self.files += 1
        try:
            socket.send_fds(self._socket, [messages.encode(request)], [descriptor])
        except OSError as error:
            raise DiedError from error
        message, data = self._receive(time.monotonic() + seconds, cancelled)
        self.healthy = message.get("healthy") is True
        self.exhausted = message.get("exhausted") is True
        return message, data

    def end(self) -> int | None:
        """Kill and reap it. Returns the code with which it had ended by itself, None where it had not. Idempotent."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._socket.fileno() < 0 or self._has_hung_up():
                self._process.wait(1)  # it closed its end: it is on its way out, and how it goes is worth knowing
        self._socket.close()
        code = self._process.poll()
        self._process.kill()
        self._process.wait()
        return code

    def _has_hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return any(mask & select.POLLHUP for _, mask in poll.poll(0))

    def _receive(self, deadline: float, cancelled: Callable[[], bool]) -> tuple[dict[str, Any], bytes]:
        try:
            text, data = messages.lengths(self._exactly(messages.HEAD.size, deadline, cancelled))
            return messages.decode(self._exactly(text, deadline, cancelled)), self._exactly(data, deadline, cancelled)
        except (NoMessageError, OSError) as error:
            raise DiedError from error

    def _exactly(self, count: int, deadline: float, cancelled: Callable[[], bool]) -> bytes:
        poll = select.poll()  # not `select`: a busy server's descriptors have high numbers
        poll.register(self._socket, select.POLLIN)
        received = bytearray()
        while len(received) < count:
            comes = poll.poll(LOOK_SECONDS * 1000)
            if time.monotonic() > deadline:  # also when it only drips
                raise TooLongError
            if not comes:
                if cancelled():
                    raise AttemptInterruptedError
                continue
            chunk = self._socket.recv(min(_CHUNK_BYTES, count - len(received)))
            if not chunk:
                raise DiedError
            received += chunk
        return bytes(received)
