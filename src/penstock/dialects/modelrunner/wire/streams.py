"""Server-sent events. The product says which there are and not what is in them, but for what its JS client reads."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.dialects.modelrunner.wire.requests import status_out
from penstock.domain.events import EventKind
from penstock.domain.runs import Run, RunState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.events import Event

HEARTBEAT_SECONDS = 25.0
"""guides/request-lifecycle."""
HEARTBEAT = b": hb\n\n"

_TELLING = {
    EventKind.RUN_QUEUED: RunState.QUEUED,
    EventKind.RUN_STARTED: RunState.RUNNING,
    EventKind.RUN_LOG: RunState.RUNNING,
}
"""How a run stands when one of its events happens; the others change nothing that the envelope says."""


def frame(data: object, *, event: str | None = None) -> bytes:
    """One server-sent event; without a name where the JS client reads the data of whatever comes."""
    head = f"event: {event}\n" if event is not None else ""
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def envelope(run: Run, *, base_url: str, lines: Sequence[Event] = ()) -> dict[str, object]:
    """The queue envelope as the data of an event."""
    told = status_out(run, base_url=base_url, place=0, lines=lines)
    return told.model_dump(by_alias=True, exclude_none=True)


def status_frame(run: Run, event: Event, *, base_url: str, logs: bool) -> bytes | None:
    """The envelope that an event before the end makes of a run; None when it says nothing new.

    It holds the new line of the log alone, for the JS client collects them itself.
    """
    is_line = event.kind is EventKind.RUN_LOG
    if event.kind not in _TELLING or (is_line and not logs):
        return None
    standing = replace(run, state=_TELLING[event.kind], fault=None, error=None, finished_at=None)
    return frame(envelope(standing, base_url=base_url, lines=[event] if is_line else []))
