"""Callbacks as rows: what was sent to whom, and who wants to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from penstock.domain.ids import AccountId, DeliveryId, EndpointId, RunId
    from penstock.domain.webhooks import Attempt, Delivery, DeliveryFilter, Endpoint, Secret
    from penstock.ports.positions import Position


class DeliveryRepository(Protocol):
    """Deliveries and their attempts."""

    def add(self, delivery: Delivery) -> None:
        """Keep a new delivery, unless there is one with its id."""
        ...

    def get(self, account_id: AccountId, delivery_id: DeliveryId, *, dialect: str | None = None) -> Delivery:
        """Raises `DeliveryNotFound`; for another dialect's too, when `dialect` is given."""
        ...

    def replace(self, delivery: Delivery) -> None:
        """Write where it stands."""
        ...

    def page(
        self, account_id: AccountId, wanted: DeliveryFilter, *, below: Position | None, limit: int
    ) -> Sequence[Delivery]:
        """Newest first."""
        ...

    def add_attempt(self, attempt: Attempt) -> None:
        """Log an attempt."""
        ...

    def attempts(self, delivery_id: DeliveryId) -> Sequence[Attempt]:
        """In order."""
        ...

    def forget_run(self, account_id: AccountId, run_id: RunId) -> None:
        """Forget all deliveries about a run, those that are still to be made included."""
        ...

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget deliveries that ended and whose last round began before then, with their log; returns how many."""
        ...


class EndpointRepository(Protocol):
    """Endpoints, and the secrets that sign what is sent to them or to receivers that runs name."""

    def add(self, endpoint: Endpoint) -> None:
        """Keep a new endpoint."""
        ...

    def get(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str) -> Endpoint:
        """Raises `EndpointNotFound`."""
        ...

    def all(self, account_id: AccountId, *, dialect: str) -> Sequence[Endpoint]:
        """Oldest first."""
        ...

    def replace(self, endpoint: Endpoint) -> None:
        """Write what can change."""
        ...

    def remove(self, endpoint: Endpoint) -> None:
        """Remove it, with its secrets."""
        ...

    def add_secret(self, secret: Secret) -> bool:
        """Keep a new secret; False when there is one without an end already."""
        ...

    def retire_secret(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str, at: datetime) -> None:
        """The one without an end goes on no longer than until then."""
        ...

    def forget_secrets(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str, keep: int) -> None:
        """All but the newest `keep`, and the one without an end."""
        ...

    def secrets(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str) -> Sequence[Secret]:
        """Newest first, those that are over included."""
        ...
