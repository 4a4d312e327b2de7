"""Retention: what was kept for its time alone is forgotten after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from penstock.ports.clock import Clock
    from penstock.ports.database import Database


class Retention:
    """Forgets, a batch per call and per transaction, so that nobody waits long for the database."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock,
        events: timedelta,
        idempotency: timedelta,
        deliveries: timedelta,
        model_uploads: timedelta,
    ) -> None:
        """How long each of them is kept.

        Events after their subject's last, deliveries after their last round, model uploads after their end.
        """
        self._database = database
        self._clock = clock
        self._events = events
        self._idempotency = idempotency
        self._deliveries = deliveries
        self._model_uploads = model_uploads

    def purge_events(self, *, limit: int) -> int:
        """Forget the events of up to `limit` uploads and runs that ended long ago. Returns of how many."""
        with self._database.write() as tx:
            return tx.events.purge(before=self._clock.now() - self._events, limit=limit)

    def purge_idempotency_keys(self, *, limit: int) -> int:
        """Forget up to `limit` old keys; a request with one of them is a new request then. Returns how many."""
        with self._database.write() as tx:
            return tx.idempotency.purge(before=self._clock.now() - self._idempotency, limit=limit)

    def purge_deliveries(self, *, limit: int) -> int:
        """Forget up to `limit` callbacks that ended long ago, with the log of their attempts. Returns how many."""
        with self._database.write() as tx:
            return tx.deliveries.purge(before=self._clock.now() - self._deliveries, limit=limit)

    def purge_model_uploads(self, *, limit: int) -> int:
        """Forget up to `limit` model uploads that ended long ago; the models stay. Returns how many."""
        with self._database.write() as tx:
            return tx.model_uploads.purge(before=self._clock.now() - self._model_uploads, limit=limit)
