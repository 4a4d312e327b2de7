"""How a run ends, in whatever way: its row, its money, its leases and its event, in one place and one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.domain import ledger
from penstock.domain.runs import Run, RunState, without_payloads

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.events import EventKind
    from penstock.ports.database import Transaction


def end_run(tx: Transaction, ended: Run, kind: EventKind, data: Mapping[str, object], *, was: RunState) -> bool:
    """Write the end of a run that `was` in that state; False, and nothing written, when it no longer is.

    Of one that its owner removed meanwhile the payloads go with it. Raises `RunNotFound`.
    """
    if ended.finished_at is None:
        msg = f"run {ended.id} is written as ended without a time"
        raise AssertionError(msg)
    removed_at = tx.runs.get(ended.account_id, ended.id).deleted_at
    if not tx.runs.replace(ended, was=was):
        return False
    end_money_and_leases(tx, ended, now=ended.finished_at)
    tx.events.add(ended.account_id, ended.id, kind, data, now=ended.finished_at)
    if removed_at is not None:
        tx.runs.clear(replace(without_payloads(ended, now=removed_at), deleted_at=removed_at))
    return True


def end_money_and_leases(tx: Transaction, run: Run, *, now: datetime) -> None:
    """Settle (succeeded) or refund (otherwise) the run's hold, once, and end its leases."""
    tx.assets.release(run.id)
    if run.held <= 0 or tx.ledger.ended(run.id):
        return
    last = tx.ledger.last(run.account_id, lock=True)
    if last is None:
        msg = f"run {run.id} holds money of an account without entries"
        raise AssertionError(msg)
    if run.state is RunState.SUCCEEDED:
        tx.ledger.add(ledger.settle(last, held=run.held, cost=run.cost or ledger.ZERO, run_id=run.id, now=now))
    else:
        tx.ledger.add(ledger.refund(last, held=run.held, run_id=run.id, now=now))
