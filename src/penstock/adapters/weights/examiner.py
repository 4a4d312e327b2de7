"""The parent's side of examining: headers that nobody trusts are read by sealed children."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.adapters.children import ChildFailedError, ChildPool, ChildProgram, Failure, NoChildError, PoolOptions
from penstock.adapters.weights import wire
from penstock.domain.errors import NotSafetensors, Unavailable
from penstock.weights.container import HEADER_CAP_BYTES, LENGTH_BYTES, header_length

if TYPE_CHECKING:
    from penstock.domain.weights import Declaration, Examination
    from penstock.telemetry import Log

_TOO_LONG = "reading the file's header takes longer than is allowed"
_NO_MEMORY = "reading the file's header takes more memory than is allowed"
_BREAKS = "the file's header is built in a way that breaks its reader"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminerOptions(PoolOptions):
    """As for all children; and how many bytes a header may have at most."""

    seconds: float = 60.0
    memory_bytes: int = 512 << 20
    header_bytes: int = HEADER_CAP_BYTES


class ChildExaminer:
    """Implements `ports.weights.Examiner`."""

    def __init__(self, log: Log, *, options: ExaminerOptions | None = None, python: str = sys.executable) -> None:
        options = options or ExaminerOptions()
        self._cap = options.header_bytes
        program = ChildProgram(name="weights", module="penstock.adapters.weights.child", python=python)
        self._pool = ChildPool(program, log, options)

    def warm_up(self) -> None:
        """Have a first child started, which tells the log how it is confined. Does not wait."""
        self._pool.warm_up()

    def header_end(self, prefix: bytes, *, size: int | None) -> int:
        """As the port says. The length is a number and the first bytes are only compared: no child is asked."""
        return LENGTH_BYTES + header_length(prefix, cap=self._cap, file_size=size)

    def examine(self, head: bytes, *, size: int | None, declared: Declaration | None) -> Examination:
        """As the port says."""
        request = wire.request(size=size, declared=declared, cap=self._cap)
        descriptor = os.memfd_create("head", os.MFD_CLOEXEC)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(head)
            seen = self._pool.ask(request, descriptor, wire.parse_answer, cancelled=lambda: False)
        except ChildFailedError as error:
            raise _fault(error.failure) from None
        except NoChildError as error:
            raise Unavailable("no process to examine model files in could be started") from error
        finally:
            os.close(descriptor)
        if seen is None:
            raise NotSafetensors(_NO_MEMORY)
        if isinstance(seen, NotSafetensors):
            raise seen
        return seen

    def processes(self) -> list[int]:
        """The children that wait for a file, by their process ids."""
        return self._pool.processes()

    def close(self) -> None:
        """As the port says."""
        self._pool.close()


def _fault(failure: Failure) -> Exception:
    """Who is killed twice may be killed for the machine's sake; who breaks twice is broken by the file."""
    if failure is Failure.KILLED:
        return Unavailable("the process that examined the model file was ended from outside")
    return NotSafetensors(_TOO_LONG if failure is Failure.TIME else _BREAKS)
