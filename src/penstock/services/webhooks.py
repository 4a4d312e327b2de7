"""What an account does about callbacks: its endpoints, its secrets, the log of deliveries, sending once more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.domain.errors import TooManyEndpoints
from penstock.domain.ids import DeliveryId, EndpointId
from penstock.domain.webhooks import (
    ALL_CALLBACKS,
    MOST_ENDPOINTS,
    MOST_SECRETS,
    Delivery,
    DeliveryState,
    Endpoint,
    Secret,
    check_headers,
    renewed,
)
from penstock.services.callback_secrets import current_secret, keep_secret, new_secret
from penstock.services.callbacks import enqueue_delivery, pending_delivery
from penstock.services.identity import new_id
from penstock.services.paging import Page, check_limit, decode_cursor, page_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.domain.ids import AccountId
    from penstock.domain.webhooks import Attempt, DeliveryFilter
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database
    from penstock.services.callbacks import Callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEndpoint:
    """What a caller asks. `events`: those it wants in the dialect's words, which has checked them; none for all."""

    url: str
    description: str | None = None
    events: tuple[str, ...] = ()
    headers: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChange:
    """What is to be different; None: as it was."""

    url: str | None = None
    description: str | None = None
    events: tuple[str, ...] | None = None
    headers: Mapping[str, object] | None = None
    active: bool | None = None


class Webhooks:
    """Use cases on endpoints, secrets and deliveries. Another account's, or another dialect's, is unknown (P11)."""

    def __init__(self, database: Database, callbacks: Callbacks, *, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._callbacks = callbacks
        self._clock = clock
        self._entropy = entropy

    def add_endpoint(self, account_id: AccountId, wanted: NewEndpoint, *, dialect: str) -> tuple[Endpoint, Secret]:
        """A new endpoint and its secret. Raises `InvalidField` (`url`, `headers`), `TooManyEndpoints`."""
        endpoint = Endpoint(
            id=EndpointId(new_id(self._entropy)),
            account_id=account_id,
            dialect=dialect,
            url=self._callbacks.check_endpoint(dialect, wanted.url),
            description=wanted.description,
            events=wanted.events,
            headers=check_headers(wanted.headers or {}),
            active=True,
            failures=0,
            succeeded_at=None,
            created_at=self._clock.now(),
        )
        secret = new_secret(account_id, endpoint.id, dialect=dialect, entropy=self._entropy, now=endpoint.created_at)
        with self._database.write() as tx:
            if len(tx.endpoints.all(account_id, dialect=dialect)) >= MOST_ENDPOINTS:
                raise TooManyEndpoints(limit=MOST_ENDPOINTS)
            tx.endpoints.add(endpoint)
            tx.endpoints.add_secret(secret)
        return endpoint, secret

    def endpoints(self, account_id: AccountId, *, dialect: str) -> Sequence[Endpoint]:
        """Oldest first."""
        with self._database.read() as tx:
            return tx.endpoints.all(account_id, dialect=dialect)

    def endpoint(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str) -> Endpoint:
        """Raises `EndpointNotFound`."""
        with self._database.read() as tx:
            return tx.endpoints.get(account_id, endpoint_id, dialect=dialect)

    def change_endpoint(
        self, account_id: AccountId, endpoint_id: EndpointId, change: EndpointChange, *, dialect: str
    ) -> Endpoint:
        """Turning it on counts its failures anew. Raises `EndpointNotFound`, `InvalidField` (`url`, `headers`)."""
        given: dict[str, object] = {
            name: value for name in ("description", "events", "active") if (value := getattr(change, name)) is not None
        }
        if change.url is not None:
            given["url"] = self._callbacks.check_endpoint(dialect, change.url)
        if change.headers is not None:
            given["headers"] = check_headers(change.headers)
        if change.active:
            given["failures"] = 0
        with self._database.write() as tx:
            changed = replace(tx.endpoints.get(account_id, endpoint_id, dialect=dialect), **given)  # type: ignore[arg-type]  # the fields' own values
            tx.endpoints.replace(changed)
        return changed

    def remove_endpoint(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str) -> None:
        """What is still to be delivered there fails. Raises `EndpointNotFound`."""
        with self._database.write() as tx:
            tx.endpoints.remove(tx.endpoints.get(account_id, endpoint_id, dialect=dialect))

    def send(
        self,
        account_id: AccountId,
        endpoint_id: EndpointId,
        *,
        dialect: str,
        event: str,
        body: Callable[[Delivery], bytes],
    ) -> Delivery:
        """Send something that is no run's to an endpoint, active or not (a test); its body may tell the delivery's id.

        Raises `EndpointNotFound`.
        """
        now = self._clock.now()
        with self._database.write() as tx:
            endpoint = tx.endpoints.get(account_id, endpoint_id, dialect=dialect)
            delivery_id = DeliveryId(new_id(self._entropy))
            delivery = pending_delivery(delivery_id, account_id, dialect, url=endpoint.url, event=event, now=now)
            delivery = replace(delivery, endpoint_id=endpoint.id)
            delivery = replace(delivery, body=body(delivery).decode())
            tx.deliveries.add(delivery)
            enqueue_delivery(tx, delivery)
        return delivery

    def secret(self, account_id: AccountId, *, dialect: str, endpoint_id: EndpointId = ALL_CALLBACKS) -> Secret:
        """The one that signs, made at the first call."""
        with self._database.read() as tx:
            found = current_secret(tx, account_id, endpoint_id, dialect=dialect)
        if found is not None:
            return found
        made = new_secret(account_id, endpoint_id, dialect=dialect, entropy=self._entropy, now=self._clock.now())
        with self._database.write() as tx:
            return keep_secret(tx, made)

    def rotate_secret(
        self, account_id: AccountId, *, dialect: str, endpoint_id: EndpointId = ALL_CALLBACKS, label: str = ""
    ) -> Secret:
        """A new secret; the one before goes on beside it for as long as the dialect lets it. Two at once get one.

        The oldest of more than `MOST_SECRETS` is forgotten, and signs no longer.
        """
        now = self._clock.now()
        policy = self._callbacks.policy(dialect)
        made = new_secret(account_id, endpoint_id, dialect=dialect, label=label, entropy=self._entropy, now=now)
        with self._database.write() as tx:
            retires_at = now + policy.overlap if policy is not None else now
            tx.endpoints.retire_secret(account_id, endpoint_id, dialect=dialect, at=retires_at)
            kept = keep_secret(tx, made)
            tx.endpoints.forget_secrets(account_id, endpoint_id, dialect=dialect, keep=MOST_SECRETS)
        return kept

    def secrets(
        self, account_id: AccountId, *, dialect: str, endpoint_id: EndpointId = ALL_CALLBACKS
    ) -> Sequence[Secret]:
        """The newest `MOST_SECRETS`, newest first; one without `retires_at` signs."""
        with self._database.read() as tx:
            return tx.endpoints.secrets(account_id, endpoint_id, dialect=dialect)

    def delivery(
        self, account_id: AccountId, delivery_id: DeliveryId, *, dialect: str
    ) -> tuple[Delivery, Sequence[Attempt]]:
        """A delivery and its log. Raises `DeliveryNotFound`."""
        with self._database.read() as tx:
            found = tx.deliveries.get(account_id, delivery_id, dialect=dialect)
            return found, tx.deliveries.attempts(found.id)

    def logs(self, deliveries: Sequence[Delivery]) -> dict[DeliveryId, Sequence[Attempt]]:
        """The attempts of each, in order."""
        with self._database.read() as tx:
            return {delivery.id: tx.deliveries.attempts(delivery.id) for delivery in deliveries}

    def page(self, account_id: AccountId, wanted: DeliveryFilter, *, cursor: str | None, limit: int) -> Page[Delivery]:
        """Newest first. Raises `InvalidCursor`, `InvalidField`."""
        check_limit(limit)
        with self._database.read() as tx:
            found = tx.deliveries.page(account_id, wanted, below=decode_cursor(cursor), limit=limit + 1)
        return page_of(found, limit, lambda delivery: (delivery.created_at, delivery.id))

    def redeliver(self, account_id: AccountId, delivery_id: DeliveryId, *, dialect: str) -> Delivery:
        """Send once more, the same bytes under the same id; one that is still being tried is left alone.

        Raises `DeliveryNotFound`.
        """
        now = self._clock.now()
        with self._database.write() as tx:
            delivery = tx.deliveries.get(account_id, delivery_id, dialect=dialect)
            if delivery.state is DeliveryState.PENDING:
                return delivery
            again = renewed(delivery, now=now)
            tx.deliveries.replace(again)
            enqueue_delivery(tx, again)
        return again
