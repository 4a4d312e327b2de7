"""Whether the disk can be trusted with a write: free space in reserve, and no error that was not survived (P9, P10)."""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING

from penstock.store.faults import INSUFFICIENT_STORAGE, INTERNAL_ERROR, SERVICE_UNAVAILABLE, SLOW_DOWN, Refused
from penstock.store.syncs import sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.telemetry import Meter

_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_LOOK_EVERY_SECONDS = 0.25


class Health:
    """Degraded after a failed write; a trial write, made again and again, ends that without a restart.

    `trial` is what else must succeed by then; it raises `OSError`. Requests never try: where the disk hangs, they would
    all hang with it, those that only read too.
    """

    def __init__(
        self,
        directory: Path,
        *,
        reserve_bytes: int,
        trial: Callable[[], None],
        log: Callable[..., None],
        meter: Meter,
    ) -> None:
        self._directory = directory
        self._reserve = reserve_bytes
        self._trial = trial
        self._log = log
        self._meter = meter
        self._lock = threading.Lock()
        self._reason = ""
        self._looked_at = 0.0
        self._free = 0

    @property
    def degraded(self) -> bool:
        return bool(self._reason)

    def require_space(self, size: int) -> None:
        """Raises `Refused` (507) when `size` more bytes would eat into the reserve."""
        now = time.monotonic()
        if now - self._looked_at > _LOOK_EVERY_SECONDS or self._free < 2 * (size + self._reserve):
            disk = os.statvfs(self._directory)
            self._free, self._looked_at = disk.f_bavail * disk.f_frsize, now
        if self._free < size + self._reserve:
            raise Refused(INSUFFICIENT_STORAGE)

    def require_writable(self) -> None:
        """Raises `Refused` (503) while the store is degraded."""
        if self._reason:
            raise Refused(SERVICE_UNAVAILABLE)

    def failed(self, error: OSError) -> Refused:
        """Note a disk error. The answer to it: 507 for a full disk, 503 for a busy process, 500 for all else."""
        if error.errno in _PASSING:
            return Refused(SLOW_DOWN)
        with self._lock:
            if not self._reason:
                self._reason = errno.errorcode.get(error.errno or 0, "unknown")
                self._log("store.degraded", reason=self._reason)
                self._meter.set(1, "penstock_store_degraded")
        return Refused(INSUFFICIENT_STORAGE if error.errno in _FULL else INTERNAL_ERROR)

    def unreadable(self, error: OSError) -> Refused:
        """The answer to an error while reading. One bad sector says nothing of the writes to come."""
        return Refused(SLOW_DOWN if error.errno in _PASSING else INTERNAL_ERROR)

    def look_again(self) -> None:
        """Try whether a degraded store can write again. To be called every second or so, by one thread."""
        if not self._reason:
            return
        try:
            self._probe()
            self._trial()
        except OSError:
            return
        with self._lock:
            self._reason = ""
            self._meter.set(0, "penstock_store_degraded")
            self._log("store.recovered")

    def _probe(self) -> None:
        """Write, sync and remove a file, through descriptors that have seen no error. Raises `OSError`."""
        path = self._directory / "tmp" / f"probe-{secrets.token_hex(8)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(4096))
            sync(descriptor, "file")
        finally:
            os.close(descriptor)
            path.unlink()
