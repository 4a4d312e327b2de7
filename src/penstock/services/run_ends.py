"""How a run ends, in whatever way: row, money, leases, event and callbacks, in one place and one transaction."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.domain import ledger
from penstock.domain.errors import UploadNotFound
from penstock.domain.events import EventKind
from penstock.domain.ids import UploadId
from penstock.domain.runs import Run, RunState, without_payloads
from penstock.domain.uploads import UploadMethod, UploadState, aborted
from penstock.domain.webhooks import Moment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.ports.database import Transaction
    from penstock.services.callbacks import Callbacks

RUN_JOB = "run"
_WOKEN = 8
"""So many that may have waited for the place of a run are told that it is free: the first may wait for another."""


def end_run(
    tx: Transaction,
    ended: Run,
    kind: EventKind,
    data: Mapping[str, object],
    *,
    was: RunState,
    callbacks: Callbacks,
) -> bool:
    """Write the end of a run that `was` in that state; False, and nothing written, when it no longer is.

    Of one that its owner removed meanwhile the payloads go with it, and nobody is told. Raises `RunNotFound`.
    """
    if ended.finished_at is None:
        msg = f"run {ended.id} is written as ended without a time"
        raise AssertionError(msg)
    removed_at = tx.runs.get(ended.account_id, ended.id).deleted_at
    if not tx.runs.replace(ended, was=was):
        return False
    if was is RunState.QUEUED:
        _give_up_files(tx, ended, now=ended.finished_at)
    if was is RunState.RUNNING:
        tx.jobs.wake(RUN_JOB, tx.run_queue.next_waiting(ended, limit=_WOKEN), now=ended.finished_at)
    end_money_and_leases(tx, ended, now=ended.finished_at)
    tx.events.add(ended.account_id, ended.id, kind, data, now=ended.finished_at)
    if removed_at is not None:
        tx.runs.clear(replace(without_payloads(ended, now=removed_at), deleted_at=removed_at))
        return True
    callbacks.tell(tx, ended, Moment.ENDED, now=ended.finished_at)
    return True


def _give_up_files(tx: Transaction, run: Run, *, now: datetime) -> None:
    """End the uploads by which files were still to come for a run that did not begin."""
    leased = {asset.id for asset in tx.assets.leased_by(run.id)}
    for asset_id in sorted(set(run.files.values()) - leased):
        with contextlib.suppress(UploadNotFound):
            upload = tx.uploads.get(run.account_id, UploadId(asset_id))
            if upload.method is UploadMethod.FETCH and upload.state is UploadState.PENDING:
                tx.uploads.replace(aborted(upload), was=upload.state)
                tx.events.add(upload.account_id, upload.id, EventKind.UPLOAD_ABORTED, {}, now=now)


def end_money_and_leases(tx: Transaction, run: Run, *, now: datetime) -> None:
    """Settle (succeeded) or refund (otherwise) the run's hold, once, and end its leases."""
    tx.assets.release(run.id)
    tx.model_leases.release(run.id)
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
