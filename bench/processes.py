"""Server processes: started, stopped by pid, and what they cost (Linux, /proc)."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 60.0
_STOP_SECONDS = 40.0
_FORGET_PEAK = "5"  # Linux, Documentation/filesystems/proc.rst: clear_refs


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes)."""
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """The most resident memory that a process ever had, in MB (10^6 bytes)."""
    return _status_mb(pid, "VmHWM")


def pss_mb(pid: int) -> float:
    """Resident memory of a process in MB (10^6 bytes), where each page counts by how many processes share it."""
    return _mb(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def cpu_seconds(pid: int) -> float:
    """User and system CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children(pid: int) -> list[int]:
    """The processes that a process has started, of any of its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return found


def family(roots: Iterable[int]) -> list[int]:
    """Processes and all their descendants."""
    found: list[int] = []
    for root in roots:
        found += [root, *family(children(root))]
    return found


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds, and resident memory in MB (10^6 bytes) at its peak, summed over the processes of a server."""

    cpu: float
    peak_mb: float


class Meter:
    """What a server costs from now on."""

    def __init__(self, roots: Iterable[int]) -> None:
        self._pids = family(roots)
        for pid in self._pids:
            with contextlib.suppress(OSError):  # without it the peak is that since the start
                Path(f"/proc/{pid}/clear_refs").write_text(_FORGET_PEAK, encoding="ascii")
        self._before = self._cpu()

    def read(self) -> Cost:
        return Cost(self._cpu() - self._before, sum(_status_mb(pid, "VmHWM") for pid in self._pids))

    def _cpu(self) -> float:
        return sum(cpu_seconds(pid) for pid in self._pids)


@contextlib.contextmanager
def process(command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """The id of a process that writes into a file and whose standard input ends with ours; stopped at the end."""
    with (
        log.open("ab") as output,
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output) as started,
    ):
        try:
            yield started.pid
        finally:
            started.terminate()
            try:
                started.wait(timeout=_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                started.kill()


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(succeeds: Callable[[], bool], what: str) -> None:
    """Try until it does; an `OSError` is a no. Raises RuntimeError after a minute."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if succeeds():
                return
        time.sleep(0.05)
    raise RuntimeError(f"{what} did not become ready")


def _status_mb(pid: int, name: str) -> float:
    return _mb(Path(f"/proc/{pid}/status"), name)


def _mb(table: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", table.read_text(encoding="ascii"), re.MULTILINE)
    return int(found.group(1)) * 1024 / 1e6 if found else 0.0
