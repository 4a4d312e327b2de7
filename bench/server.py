"""A real `penstock serve` in a scratch directory, with an account and a key; and what its processes cost."""

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
    from collections.abc import Iterator

_READY = re.compile(r"Penstock is ready.*API (\S+?),")
_READY_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server: its API address, a key, its processes by part, and the seconds from start to ready."""

    url: str
    key: str
    parts: dict[str, int]
    cold_start: float
    data: Path


@contextmanager
def running() -> Iterator[Running]:
    """Start, yield, stop."""
    penstock = [sys.executable, "-m", "penstock"]
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as scratch:
        data = Path(scratch)
        begun = time.perf_counter()
        with (data / "log").open("wb") as log:
            server = subprocess.Popen(
                [*penstock, "serve", "--data", scratch, "--port", "0", "--store-port", "0"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            url = _wait_until_ready(server)
            cold_start = time.perf_counter() - begun
            account = [*penstock, "accounts", "create", "bench", "--credits", "100", "--data", scratch]
            subprocess.run(account, check=True, stdout=subprocess.DEVNULL)
            key = [*penstock, "keys", "create", "--account", "bench", "--data", scratch]
            made = subprocess.run(key, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            yield Running(url=url, key=made, parts=_parts(server.pid), cold_start=cold_start, data=data)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", text)
    return int(found.group(1)) * 1024 / 1e6 if found else 0.0


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


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


def _parts(supervisor: int) -> dict[str, int]:
    parts = {"supervisor": supervisor}
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii").split()
    for child in children:
        arguments = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"--only" in arguments:
            parts[arguments[arguments.index(b"--only") + 1].decode()] = int(child)
    return parts
