"""What the operator's catalog and settings allow a run: how long it may take, and how many may go on at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.errors import RateLimited
from penstock.domain.places import Places
from penstock.domain.runs import RunState

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.catalog import Catalog, Model
    from penstock.domain.runs import Run
    from penstock.ports.database import Transaction

_DAY = timedelta(days=1)


class RunTerms:
    """Read from the catalog as it is now, for runs that were asked for under another one as well."""

    def __init__(
        self, catalog: Catalog, *, timeout: timedelta, deadline: timedelta, per_account: int | None = None
    ) -> None:
        """`timeout` is that of an attempt, `deadline` that of a run from when it was asked for, its waiting included.

        `per_account`: how many runs of one account may go on at a time.
        """
        self._catalog = catalog
        self._timeout = timeout
        self._deadline = deadline
        self._per_account = per_account

    def timeout(self, run: Run) -> timedelta:
        """How long one attempt may take."""
        model = self._model(run)
        if model is None or model.timeout_seconds is None:
            return self._timeout
        return timedelta(seconds=model.timeout_seconds)

    def deadline(self, now: datetime) -> datetime:
        """When a run that is asked for now must have ended."""
        return now + self._deadline

    def may_wait(self, run: Run) -> bool:
        """Whether there is any limit for which the run may have to wait: only then is counting worth while."""
        return run.state is RunState.QUEUED and self._places(run).are_limited

    def must_wait(self, tx: Transaction, run: Run, *, lock: bool = False) -> bool:
        """Whether as many runs as may are going on. With `lock` nobody else looks meanwhile."""
        return self.may_wait(run) and self._places(run).are_taken(tx.run_queue.running_beside(run, lock=lock))

    def require_day(self, tx: Transaction, run: Run, *, now: datetime) -> None:
        """Raises `RateLimited` when the account has asked for as many runs of the model as it may in 24 hours."""
        model = self._model(run)
        most = model.max_daily_per_account if model is not None else None
        if most is None:
            return
        times = tx.run_queue.asked_since(run.account_id, run.runner, run.runner_model, since=now - _DAY, limit=most)
        if len(times) == most:
            raise RateLimited(retry_after=(min(times) + _DAY - now).total_seconds())

    def _places(self, run: Run) -> Places:
        model = self._model(run)
        return Places(
            model=model.max_running if model is not None else None,
            account=self._per_account,
            model_of_account=model.max_running_per_account if model is not None else None,
        )

    def _model(self, run: Run) -> Model | None:
        return self._catalog.terms_of(run.model, runner=run.runner, runner_model=run.runner_model)
