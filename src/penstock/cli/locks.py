"""One holder per role on a data directory. The kernel lets go of a lock when its process dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SUPERVISED = "supervised"


class InUseError(Exception):
    """Another process holds the lock. `supervised`: it is a part that some supervisor started."""

    def __init__(self, data: Path, role: str, *, pid: str, supervised: bool) -> None:
        holder = f"pid {pid}" if pid else "another process"
        super().__init__(f"{data} is already in use by {holder} ({role})")
        self.supervised = supervised


def take_lock(data: Path, role: str, *, supervised: bool = False) -> int:
    """Lock `DATA/<role>.lock` for the life of this process (or until the descriptor returned is closed).

    Creates the data directory, for its owner alone. Raises `InUseError` at once when the lock is held, `OSError` when
    the directory cannot be written.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = data / f"{role}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _, manner = os.read(descriptor, 64).decode(errors="replace").partition("\n")[0].partition(" ")
        os.close(descriptor)
        raise InUseError(data, role, pid=pid, supervised=manner == _SUPERVISED) from None
    line = f"{os.getpid()} {_SUPERVISED if supervised else 'alone'}\n".encode()
    os.pwrite(descriptor, line, 0)  # before the rest is cut off, so that a reader always finds a holder
    os.ftruncate(descriptor, len(line))
    return descriptor
