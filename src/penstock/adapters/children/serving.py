"""The child's side: everything is loaded, then the doors are shut, then one request after the other is answered.

It opens nothing: files come as descriptors.
"""

from __future__ import annotations

import re
import resource
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from penstock.adapters.children import messages
from penstock.adapters.confinement import Limits, confine_files, confine_process
from penstock.adapters.seccomp import refuse_system_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CPU_SECONDS = 600
_MOST_CPU_SECONDS = 300
"""After a request that brought it beyond these, a child makes room for a fresh one."""
_OPEN_FILES = 16
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`message` is JSON. `exhausted`: there was not enough memory, which in a fresh child there may be."""

    message: Mapping[str, object]
    data: bytes = b""
    exhausted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What answers, all that it needs being loaded; and what to report beside the walls."""

    answer: Callable[[BinaryIO, Mapping[str, Any]], Reply]
    report: Mapping[str, str] = field(default_factory=dict)


def serve(
    arguments: Sequence[str], prepare: Callable[[Mapping[str, Any]], Prepared], *, most_resident_bytes: int
) -> int:
    """Serve until the parent hangs up. `arguments` are the socket's descriptor and the parent's process id.

    A child that ever held more than `most_resident_bytes` says that it has had its day.
    """
    descriptor, parent = map(int, arguments)
    with socket.socket(fileno=descriptor) as parents, open("/proc/self/status", "rb", buffering=0) as status:  # noqa: PTH123 - as bytes, unbuffered
        begin = messages.decode(_message(parents)[0])
        prepared = prepare(begin)
        limits = Limits(
            memory_bytes=begin["memory_bytes"],
            cpu_seconds=_CPU_SECONDS,
            file_bytes=0,
            open_files=_OPEN_FILES,
            threads=0,
        )
        report = confine_process(limits, parent=parent)
        report["files"] = confine_files(None)
        report["calls"] = refuse_system_calls()
        parents.sendall(messages.encode({**report, **prepared.report}))
        while True:
            text, descriptors = _message(parents)
            if not text:
                return 0
            with open(descriptors[0], "rb") as file:  # noqa: PTH123 - a descriptor
                reply = prepared.answer(file, messages.decode(text))
            state = {"healthy": _healthy(status, most_resident_bytes), "exhausted": reply.exhausted}
            parents.sendall(messages.encode({**reply.message, **state}, reply.data))


def _healthy(status: BinaryIO, most_resident_bytes: int) -> bool:
    """By what this program took; `getrusage` would count what its parent took before it became this one (proc(5))."""
    status.seek(0)
    peak = _PEAK.search(status.read(4096))
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(peak[1]) << 10 if peak is not None else 0
    return resident < most_resident_bytes and used.ru_utime + used.ru_stime < _MOST_CPU_SECONDS


def _message(parents: socket.socket) -> tuple[bytes, list[int]]:
    """The JSON of a request and the descriptors that came with it; nothing when the parent has gone."""
    head, descriptors, _, _ = socket.recv_fds(parents, messages.HEAD.size, 1)
    if not head:
        return b"", []
    text, _ = messages.lengths(head)
    received = b""
    while len(received) < text:
        chunk = parents.recv(text - len(received))
        if not chunk:
            return b"", []
        received += chunk
    return received, descriptors
