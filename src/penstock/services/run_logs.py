"""A run's log: the lines among its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.events import Event
    from penstock.domain.ids import AccountId, RunId
    from penstock.ports.database import Transaction

_EVENT_BATCH = 1000


def log_lines(tx: Transaction, account_id: AccountId, run_id: RunId) -> Sequence[Event]:
    """The lines so far (`data`: message, level, source)."""
    lines: list[Event] = []
    batch = tx.events.after(account_id, run_id, 0, limit=_EVENT_BATCH)
    while batch:  # progress stands between the lines, and there may be much of it
        lines += [event for event in batch if event.kind is EventKind.RUN_LOG]
        batch = tx.events.after(account_id, run_id, batch[-1].number, limit=_EVENT_BATCH)
    return lines
