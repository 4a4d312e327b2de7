"""The child's side: everything is loaded, then the doors are shut, then one file after the other is looked into.

Started as `python -I -m penstock.adapters.media.child SOCKET PARENT`. It opens nothing: files come as descriptors.
"""

from __future__ import annotations

import re
import resource
import socket
import sys
from typing import Any, BinaryIO

from penstock.adapters.confinement import Limits, confine_files, confine_process
from penstock.adapters.media import films, looking, wire
from penstock.adapters.media.faults import BREAKS, NO_MEMORY, UnreadableError
from penstock.adapters.media.found import Found
from penstock.adapters.seccomp import refuse_system_calls
from penstock.domain.media_facts import MediaFacts
from penstock.ports.media import Inspection

_MOST_RESIDENT_KIB = 384 << 10
_MOST_CPU_SECONDS = 300
"""After a file that brought it beyond these, a child makes room for a fresh one."""
_CPU_SECONDS = 600
_OPEN_FILES = 16
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")


def main(arguments: list[str]) -> int:
    """Serve until the parent hangs up."""
    descriptor, parent = map(int, arguments)
    with socket.socket(fileno=descriptor) as parents, open("/proc/self/status", "rb", buffering=0) as status:  # noqa: PTH123 - as bytes, unbuffered
        begin = wire.decode(_message(parents)[0])
        looking.prepare()
        look = looking.Looking(pixels=begin["pixels"])
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
        parents.sendall(wire.encode({**report, "films": films.version()}))
        while True:
            text, descriptors = _message(parents)
            if not text:
                return 0
            with open(descriptors[0], "rb") as file:  # noqa: PTH123 - a descriptor
                seen = _look(look, file, wire.decode(text))
            parents.sendall(wire.answer(seen, healthy=_healthy(status)))


def _look(look: looking.Looking, file: BinaryIO, request: dict[str, Any]) -> Inspection:
    found = Found()
    problem = None
    try:
        look(file, request["content_type"], found, complete=request["complete"], want_thumbnail=request["thumbnail"])
    except UnreadableError as error:
        problem = str(error)
    except MemoryError:
        problem = NO_MEMORY
    except Exception:  # noqa: BLE001 - parsers raise whatever they like for hostile files
        problem = BREAKS
    return Inspection(facts=MediaFacts(**found.facts), thumbnail=found.thumbnail, problem=problem)


def _healthy(status: BinaryIO) -> bool:
    """By what this program took; `getrusage` would count what its parent took before it became this one (proc(5))."""
    status.seek(0)
    peak = _PEAK.search(status.read(4096))
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(peak[1]) if peak is not None else 0
    return resident < _MOST_RESIDENT_KIB and used.ru_utime + used.ru_stime < _MOST_CPU_SECONDS


def _message(parents: socket.socket) -> tuple[bytes, list[int]]:
    """The JSON of a request and the descriptors that came with it; nothing when the parent has gone."""
    head, descriptors, _, _ = socket.recv_fds(parents, wire.HEAD.size, 1)
    if not head:
        return b"", []
    text, _ = wire.lengths(head)
    received = b""
    while len(received) < text:
        chunk = parents.recv(text - len(received))
        if not chunk:
            return b"", []
        received += chunk
    return received, descriptors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
