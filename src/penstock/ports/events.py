"""What happened, and which requests were answered already, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from penstock.domain.events import Event, EventData, EventKind
    from penstock.domain.ids import AccountId


class EventRepository(Protocol):
    """Events, numbered per subject."""

    def add(self, account_id: AccountId, subject: str, kind: EventKind, data: EventData, *, now: datetime) -> Event:
        """Append with the subject's next number."""
        ...

    def after(self, account_id: AccountId, subject: str, number: int, *, limit: int) -> Sequence[Event]:
        """Events of a subject above `number`, ascending."""
        ...

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget all events of up to `limit` subjects whose last one came before that moment; how many subjects."""
        ...

    def last_above(self, known: Mapping[str, int]) -> Mapping[str, int]:
        """Of many subjects, whoever's they are, those with events above the number given, and their last number."""
        ...


class IdempotencyRepository(Protocol):
    """Which request an idempotency key stood for. Written in the transaction of the effect, so it cannot lie."""

    def find(self, account_id: AccountId, verb: str, key: str) -> tuple[str, str] | None:
        """(fingerprint of the request, id of what it made), or None."""
        ...

    def add(self, account_id: AccountId, verb: str, key: str, *, fingerprint: str, subject: str, now: datetime) -> None:
        """Fails with `IdempotencyRaceError` when a concurrent request with the same key won."""
        ...

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget up to `limit` keys that were used before that moment; how many."""
        ...


class IdempotencyRaceError(Exception):
    """A concurrent request with the same key committed first; look it up again."""
