"""Deliveries with their attempts, endpoints and secrets, as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Integer, bindparam, delete, insert, select, update

from penstock.adapters.db.columns import Instant
from penstock.adapters.db.paging import Listing
from penstock.adapters.db.rows import Rows, insert_missing, to_change
from penstock.adapters.db.tables import deliveries, delivery_attempts, webhook_endpoints, webhook_secrets
from penstock.domain.errors import DeliveryNotFound, EndpointNotFound
from penstock.domain.webhooks import Attempt, Delivery, DeliveryFilter, DeliveryState, Endpoint, Secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from penstock.domain.ids import AccountId, DeliveryId, EndpointId, RunId
    from penstock.ports.positions import Position

_ROWS = Rows(Delivery, deliveries)
_ADD = insert_missing(deliveries)
_ATTEMPTS = Rows(Attempt, delivery_attempts)
_ENDPOINTS = Rows(Endpoint, webhook_endpoints)
_SECRETS = Rows(Secret, webhook_secrets)

_GET = _ROWS.select().where(deliveries.c.id == bindparam("id"), deliveries.c.account_id == bindparam("account_id"))
_GET_TO_CHANGE = to_change(_GET)
_CHANGING = ("body", "state", "tries", "attempts", "next_at", "round_at")
_REPLACE = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("its_id"))
    .values({name: bindparam(name) for name in _CHANGING})
)
_LOGGED = (
    _ATTEMPTS.select()
    .where(delivery_attempts.c.delivery_id == bindparam("delivery_id"))
    .order_by(delivery_attempts.c.number)
)
_OVER = (
    select(deliveries.c.id)
    .where(deliveries.c.round_at < bindparam("before", type_=Instant), deliveries.c.state != DeliveryState.PENDING)
    .order_by(deliveries.c.round_at)
    .limit(bindparam("limit", type_=Integer))
)
_ABOUT = select(deliveries.c.id).where(
    deliveries.c.run_id == bindparam("its_run"), deliveries.c.account_id == bindparam("its_account")
)
_FORGET_ATTEMPTS = delete(delivery_attempts).where(
    delivery_attempts.c.delivery_id.in_(bindparam("ids", expanding=True))
)
_FORGET = delete(deliveries).where(deliveries.c.id.in_(bindparam("ids", expanding=True)))

_OF_ACCOUNT = (
    webhook_endpoints.c.account_id == bindparam("its_account"),
    webhook_endpoints.c.dialect == bindparam("its_dialect"),
)
_ENDPOINT = _ENDPOINTS.select().where(*_OF_ACCOUNT, webhook_endpoints.c.id == bindparam("its_id"))
_ENDPOINT_TO_CHANGE = to_change(_ENDPOINT)
_ALL_ENDPOINTS = (
    _ENDPOINTS.select().where(*_OF_ACCOUNT).order_by(webhook_endpoints.c.created_at, webhook_endpoints.c.id)
)
_ENDPOINT_CHANGING = ("url", "description", "events", "headers", "active", "failures", "succeeded_at")
_REPLACE_ENDPOINT = (
    update(webhook_endpoints)
    .where(webhook_endpoints.c.id == bindparam("its_id"))
    .values({name: bindparam(name) for name in _ENDPOINT_CHANGING})
)
_REMOVE_ENDPOINT = delete(webhook_endpoints).where(webhook_endpoints.c.id == bindparam("its_id"))
_ITS_SECRETS = (
    webhook_secrets.c.account_id == bindparam("its_account"),
    webhook_secrets.c.dialect == bindparam("its_dialect"),
    webhook_secrets.c.endpoint_id == bindparam("its_endpoint"),
)
_ADD_SECRET = insert_missing(webhook_secrets)
_RETIRE = update(webhook_secrets).where(*_ITS_SECRETS, webhook_secrets.c.retires_at.is_(None))
_REMOVE_SECRETS = delete(webhook_secrets).where(*_ITS_SECRETS)
_NEWEST_FIRST = (webhook_secrets.c.created_at.desc(), webhook_secrets.c.id.desc())
_SECRETS_OF = _SECRETS.select().where(*_ITS_SECRETS).order_by(*_NEWEST_FIRST)
_NEWEST_SECRETS = (
    select(webhook_secrets.c.id).where(*_ITS_SECRETS).order_by(*_NEWEST_FIRST).limit(bindparam("keep", type_=Integer))
)
_FORGET_SECRETS = delete(webhook_secrets).where(
    *_ITS_SECRETS, webhook_secrets.c.retires_at.is_not(None), webhook_secrets.c.id.not_in(_NEWEST_SECRETS)
)


class SqlDeliveries:
    """Implements `DeliveryRepository`."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._get = _GET_TO_CHANGE if writes else _GET

    def add(self, delivery: Delivery) -> None:
        """Keep a new delivery, unless there is one with its id."""
        self._connection.execute(_ADD, _ROWS.values(delivery))

    def get(self, account_id: AccountId, delivery_id: DeliveryId, *, dialect: str | None = None) -> Delivery:
        """Raises `DeliveryNotFound`; for another dialect's too, when `dialect` is given."""
        found = _ROWS.one(self._connection, self._get, {"id": delivery_id, "account_id": account_id})
        if found is None or dialect not in {None, found.dialect}:
            raise DeliveryNotFound(delivery_id)
        return found

    def replace(self, delivery: Delivery) -> None:
        """Write where it stands."""
        values = {name: getattr(delivery, name) for name in _CHANGING}
        self._connection.execute(_REPLACE, {**values, "its_id": delivery.id})

    def page(
        self, account_id: AccountId, wanted: DeliveryFilter, *, below: Position | None, limit: int
    ) -> Sequence[Delivery]:
        """Newest first."""
        query = _ROWS.select().where(deliveries.c.dialect == wanted.dialect)
        if wanted.run_id is not None:
            query = query.where(deliveries.c.run_id == wanted.run_id)
        if wanted.state is not None:
            query = query.where(deliveries.c.state == wanted.state)
        if wanted.event is not None:
            query = query.where(deliveries.c.event == wanted.event)
        listing = Listing(query, deliveries)
        return _ROWS.all(self._connection, *listing.page(account_id, below=below, limit=limit))

    def add_attempt(self, attempt: Attempt) -> None:
        """Log an attempt."""
        self._connection.execute(insert(delivery_attempts), _ATTEMPTS.values(attempt))

    def attempts(self, delivery_id: DeliveryId) -> Sequence[Attempt]:
        """In order."""
        return _ATTEMPTS.all(self._connection, _LOGGED, {"delivery_id": delivery_id})

    def forget_run(self, account_id: AccountId, run_id: RunId) -> None:
        """Forget all deliveries about a run."""
        its = {"its_account": account_id, "its_run": run_id}
        self._forget(list(self._connection.execute(_ABOUT, its).scalars()))

    def purge(self, *, before: datetime, limit: int) -> int:
        """Forget deliveries that are long over, with their attempts."""
        ids = list(self._connection.execute(_OVER, {"before": before, "limit": limit}).scalars())
        self._forget(ids)
        return len(ids)

    def _forget(self, ids: Sequence[str]) -> None:
        if ids:
            self._connection.execute(_FORGET_ATTEMPTS, {"ids": ids})
            self._connection.execute(_FORGET, {"ids": ids})


class SqlEndpoints:
    """Implements `EndpointRepository`."""

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self._connection = connection
        self._get = _ENDPOINT_TO_CHANGE if writes else _ENDPOINT

    def add(self, endpoint: Endpoint) -> None:
        """Keep a new endpoint."""
        self._connection.execute(insert(webhook_endpoints), _ENDPOINTS.values(endpoint))

    def get(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str) -> Endpoint:
        """Raises `EndpointNotFound`."""
        its = {"its_account": account_id, "its_dialect": dialect, "its_id": endpoint_id}
        found = _ENDPOINTS.one(self._connection, self._get, its)
        if found is None:
            raise EndpointNotFound(endpoint_id)
        return found

    def all(self, account_id: AccountId, *, dialect: str) -> Sequence[Endpoint]:
        """Oldest first."""
        its = {"its_account": account_id, "its_dialect": dialect}
        return _ENDPOINTS.all(self._connection, _ALL_ENDPOINTS, its)

    def replace(self, endpoint: Endpoint) -> None:
        """Write what can change."""
        values = {name: getattr(endpoint, name) for name in _ENDPOINT_CHANGING}
        self._connection.execute(_REPLACE_ENDPOINT, {**values, "its_id": endpoint.id})

    def remove(self, endpoint: Endpoint) -> None:
        """Remove it, with its secrets."""
        self._connection.execute(_REMOVE_SECRETS, _its(endpoint.account_id, endpoint.id, endpoint.dialect))
        self._connection.execute(_REMOVE_ENDPOINT, {"its_id": endpoint.id})

    def add_secret(self, secret: Secret) -> bool:
        """Keep a new secret; False when there is one without an end already."""
        return self._connection.execute(_ADD_SECRET, _SECRETS.values(secret)).first() is not None

    def retire_secret(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str, at: datetime) -> None:
        """The one without an end."""
        self._connection.execute(_RETIRE.values(retires_at=at), _its(account_id, endpoint_id, dialect))

    def forget_secrets(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str, keep: int) -> None:
        """All but the newest."""
        self._connection.execute(_FORGET_SECRETS, {**_its(account_id, endpoint_id, dialect), "keep": keep})

    def secrets(self, account_id: AccountId, endpoint_id: EndpointId, *, dialect: str) -> Sequence[Secret]:
        """Newest first."""
        return _SECRETS.all(self._connection, _SECRETS_OF, _its(account_id, endpoint_id, dialect))


def _its(account_id: AccountId, endpoint_id: EndpointId, dialect: str) -> dict[str, object]:
    return {"its_account": account_id, "its_dialect": dialect, "its_endpoint": endpoint_id}
