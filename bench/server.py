"""A real `penstock serve` in a scratch directory, with an account and a key."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_READY = re.compile(r"Penstock is ready.*API (\S+?),")
_READY_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server: its API address, a key, its processes by part, and the seconds from start to ready."""

    url: str
    key: str
    parts: dict[str, int]
    cold_start: float
    data: Path


@contextmanager
def running(*, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start, with these variables besides ours, yield, stop."""
    penstock = [sys.executable, "-m", "penstock"]
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as scratch:
        data = Path(scratch)
        begun = time.perf_counter()
        with (data / "log").open("wb") as log:
            command = [*penstock, "serve", "--data", scratch, "--port", "0", "--store-port", "0"]
            variables = {**os.environ, **(environment or {})}
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables)
        try:
            url = _wait_until_ready(server)
            cold_start = time.perf_counter() - begun
            _ask(*penstock, "accounts", "create", "bench", "--credits", "100", "--data", scratch)
            key = _ask(*penstock, "keys", "create", "--account", "bench", "--data", scratch)
            yield Running(url=url, key=key, parts=_parts(server.pid, data), cold_start=cold_start, data=data)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
            if server.stdout is not None:
                server.stdout.close()


def _ask(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _wait_until_ready(server: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + _READY_SECONDS
    assert server.stdout is not None
    while time.monotonic() < deadline:
        line = server.stdout.readline()
        found = _READY.match(line)
        if found:
            return found.group(1)
        if not line:
            break
    raise RuntimeError("the server did not become ready")


def _parts(supervisor: int, data: Path) -> dict[str, int]:
    """Each holds a lock on the data directory, and its file begins with who does."""
    parts = {name: int((data / f"{name}.lock").read_text().split()[0]) for name in ("store", "worker", "api")}
    return {"supervisor": supervisor, **parts}
