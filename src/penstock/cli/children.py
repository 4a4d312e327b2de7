"""A child process that lives by a pipe and reports on another.

It runs in a process group of its own, so that Ctrl-C on a terminal reaches only its parent. Its standard input is a
pipe whose other end is the parent's alone: when the parent dies, however it dies, the child reads the end of it and
stops.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHON = (sys.executable, "-P", "-m")  # -P: the working directory is no place to import from
_MOST_REPORT = 4096  # bytes; what a pipe takes in one piece (PIPE_BUF)
_STDERR = 2


@dataclass(slots=True)
class Child:
    """A child and our ends of its pipes. `started` is on the monotonic clock."""

    name: str
    process: subprocess.Popen[bytes]
    life_line: int
    report: int
    started: float = field(default_factory=time.monotonic)
    ready: bool = False

    def read_report(self) -> bytes:
        """The one line that the child reports; empty when it ended without. Waits for it; call it once."""
        line = os.read(self.report, _MOST_REPORT)
        os.close(self.report)
        self.report = -1
        return line

    def has_ended(self) -> bool:
        """Whether the child has ended. What it started itself and left behind is killed then."""
        if self.process.returncode is not None:
            return True
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: no looking without reaping
            return self.process.poll() is not None
        if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self.kill()  # not yet waited for, so its number and its group are still its own
        self.process.wait()
        return True

    def kill(self) -> None:
        """SIGKILL to the child and everything in its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close our ends of its pipes."""
        for descriptor in (self.life_line, self.report):
            if descriptor >= 0:
                os.close(descriptor)
        self.life_line = self.report = -1


def spawn(name: str, module: str, arguments: Sequence[str], *, reports: bool = False) -> Child:
    """Start the module with the arguments and, if it reports, with the descriptor to report on as the last of them.

    What it prints goes to our standard error: our own standard output is for the readiness line.
    """
    child_input, life_line = os.pipe()
    report, child_report = os.pipe()
    try:
        process = subprocess.Popen(
            [*PYTHON, module, *arguments, *([str(child_report)] if reports else [])],
            stdin=child_input,
            stdout=_STDERR,
            pass_fds=(child_report,),
            process_group=0,
        )
    except OSError:
        os.close(life_line)
        os.close(report)
        raise
    finally:
        os.close(child_input)
        os.close(child_report)
    return Child(name, process, life_line, report)
