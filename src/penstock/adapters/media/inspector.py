"""The parent's side: whatever a file does to its decoder, there is an answer. Imports no image library."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.adapters.children import ChildFailedError, ChildPool, ChildProgram, Failure, NoChildError, PoolOptions
from penstock.adapters.media import wire
from penstock.adapters.media.faults import BREAKS, NO_MEMORY, TOO_LONG
from penstock.ports.media import Inspection, InspectorUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.ports.media import MediaFile
    from penstock.telemetry import Log

_PROBLEMS = {Failure.TIME: TOO_LONG, Failure.KILLED: NO_MEMORY, Failure.BREAKS: BREAKS}


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorOptions(PoolOptions):
    """As for all children; and how many pixels a picture may have at most."""

    pixels: int = 100_000_000


class ChildInspector:
    """Implements `ports.media.MediaInspector`."""

    def __init__(self, log: Log, *, options: InspectorOptions | None = None, python: str = sys.executable) -> None:
        options = options or InspectorOptions()
        program = ChildProgram(
            name="media", module="penstock.adapters.media.child", begin={"pixels": options.pixels}, python=python
        )
        self._pool = ChildPool(program, log, options)

    def warm_up(self) -> None:
        """Have a first child started, which tells the log how it is confined. Does not wait."""
        self._pool.warm_up()

    def inspect(self, file: MediaFile, *, want_thumbnail: bool, cancelled: Callable[[], bool]) -> Inspection:
        """As the port says."""
        request = {
            "content_type": file.content_type,
            "size": file.size,
            "complete": file.complete,
            "thumbnail": want_thumbnail,
        }
        try:
            return self._pool.ask(request, file.bytes.fileno(), wire.parse_answer, cancelled=cancelled)
        except ChildFailedError as error:
            return Inspection(problem=_PROBLEMS[error.failure])
        except NoChildError as error:
            msg = "no decoder process could be started"
            raise InspectorUnavailableError(msg) from error

    def processes(self) -> list[int]:
        """The children that wait for a file, by their process ids."""
        return self._pool.processes()

    def close(self) -> None:
        """End all children. Files that are being looked into end as interrupted."""
        self._pool.close()
