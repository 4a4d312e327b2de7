"""Runs as rows: one by one, in listings, and as a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from penstock.domain.ids import AccountId, RunId
    from penstock.domain.places import Running
    from penstock.domain.runs import Run, RunFilter, RunState, Standing
    from penstock.ports.positions import Position


class RunRepository(Protocol):
    """Runs."""

    def add(self, run: Run) -> None:
        """Keep a new run."""
        ...

    def get(self, account_id: AccountId, run_id: RunId) -> Run:
        """Raises `RunNotFound`. A run that its owner removed is found until it is swept: it may still go on."""
        ...

    def replace(self, run: Run, *, was: RunState) -> bool:
        """Write the run if its row's state is still `was`; False (and nothing written) otherwise.

        Its inputs, its progress and when it was removed are left as they are.
        """
        ...

    def clear(self, run: Run) -> None:
        """Write what `domain.runs.without_payloads` and `deleted` change."""
        ...

    def note_progress(self, run_id: RunId, fraction: float | None) -> None:
        """Write how far a run is, 0.0 to 1.0; None: nobody has said it."""
        ...

    def page(self, account_id: AccountId, *, below: Position | None, limit: int) -> Sequence[Run]:
        """Newest first, without those that their owner removed."""
        ...

    def counted(self, account_id: AccountId, *, since: datetime) -> Mapping[str, int]:
        """How many runs were added since a time, by `model`; those that their owner removed count."""
        ...

    def history(self, account_id: AccountId, wanted: RunFilter, *, skip: int, limit: int) -> Sequence[Run]:
        """Those that fit among the `HISTORY` newest that were not removed: newest first, the first `skip` left out."""
        ...

    def standings(self, account_id: AccountId, *, newest: int, beside: Collection[RunId]) -> Sequence[Standing]:
        """Where the `newest` so many runs stand and those `beside`, cheaply; newest first, without removed ones."""
        ...

    def queued_before(self, run: Run) -> int:
        """How many queued runs, of all accounts, were created before this one: its place in the queue."""
        ...

    def cancel_requested(self, run_id: RunId) -> bool:
        """The wish to cancel, cheaply; True for a run that is gone."""
        ...


class RunQueueRepository(Protocol):
    """Runs that wait, and those that go on."""

    def running_beside(self, run: Run, *, lock: bool) -> Running:
        """How many other runs are going on. With `lock`, nobody else counts so until our transaction ends."""
        ...

    def next_waiting(self, run: Run, *, limit: int) -> Sequence[RunId]:
        """Queued runs that may have waited for this one's place: of its account the oldest, of others one of each.

        Of other accounts only those of the same model.
        """
        ...

    def overdue(self, *, now: datetime, limit: int) -> Sequence[Run]:
        """Runs that have not ended and whose `deadline_at` has come."""
        ...

    def asked_since(
        self, account_id: AccountId, runner: str, runner_model: str, *, since: datetime, limit: int
    ) -> Sequence[datetime]:
        """When an account asked for runs of a model, removed ones included; the newest of them, up to `limit`.

        Nobody else counts so until our transaction, one that writes, ends.
        """
        ...
