"""Asking for deliveries, in the transaction of what they tell: nothing happens untold, nothing is told in vain."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.domain.egress import EgressRules
from penstock.domain.errors import InvalidField
from penstock.domain.ids import DeliveryId, JobId, uuid4_text
from penstock.domain.webhooks import Delivery, DeliveryState, Moment, check_receiver, wants

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.ids import AccountId, EndpointId
    from penstock.domain.model_uploads import ModelUpload
    from penstock.domain.runs import Run
    from penstock.domain.webhooks import Callback, CallbackPolicy
    from penstock.ports.database import Transaction

DELIVERY_JOB = "delivery"


class Callbacks:
    """The dialects' policies by name, and where callbacks may go."""

    def __init__(self, policies: Mapping[str, CallbackPolicy], rules: EgressRules) -> None:
        self._policies = policies
        self._rules = rules

    def policy(self, dialect: str) -> CallbackPolicy | None:
        """How a dialect tells; None: it does not."""
        return self._policies.get(dialect)

    def check(self, dialect: str, callback: Callback) -> str:
        """The URL that a caller named, as it will be posted to; nothing is connected to. Raises `InvalidField`."""
        path = (callback.field_name,)
        policy = self._policies.get(dialect)
        if policy is None:
            raise InvalidField(path, "callbacks are not available here")
        return check_receiver(callback.url, self._rules, https_only=policy.https_only, path=path)

    def check_endpoint(self, dialect: str, url: str) -> str:
        """The URL of an endpoint, likewise."""
        policy = self._policies.get(dialect)
        return check_receiver(url, self._rules, https_only=policy is None or policy.https_only, path=("url",))

    def refuses(self, url: str) -> bool:
        """Whether no attempt on a URL that was checked once can come through, by the rules of now."""
        try:
            check_receiver(url, self._rules, https_only=False, path=())
        except InvalidField:
            return True
        return False

    def tell(self, tx: Transaction, run: Run, moment: Moment, *, now: datetime) -> None:
        """A delivery, with its job, for the receiver that the run's caller named and for each endpoint that wants it.

        Whatever starts a run or ends it calls this in the same transaction; a repeat changes nothing.
        """
        policy = self._policies.get(run.dialect)
        event = policy.event(run, moment) if policy is not None else None
        if policy is None or event is None:
            return
        receivers: list[tuple[str, EndpointId | None]] = []
        if run.callback_url is not None and moment.value in run.callback_on:
            receivers.append((run.callback_url, None))
        if policy.endpoints:
            listening = tx.endpoints.all(run.account_id, dialect=run.dialect)
            receivers += [(endpoint.url, endpoint.id) for endpoint in listening if wants(endpoint, event)]
        for url, endpoint_id in receivers:
            delivery = pending_delivery(
                DeliveryId(_id_of(run.id, moment.value, url, endpoint_id or "")),
                run.account_id,
                run.dialect,
                url=url,
                event=event,
                now=now,
            )
            delivery = replace(delivery, run_id=run.id, endpoint_id=endpoint_id, moment=moment)
            tx.deliveries.add(delivery)
            enqueue_delivery(tx, delivery)

    def model_ended(self, tx: Transaction, upload: ModelUpload) -> None:
        """A delivery, with its job, for the receiver that the caller of a model upload named.

        Whatever ends one calls this in the same transaction, with the upload as it ended; a repeat changes nothing.
        """
        policy = self._policies.get(upload.dialect)
        if policy is None or policy.model_body is None or upload.callback_url is None or upload.finished_at is None:
            return
        delivery = pending_delivery(
            DeliveryId(_id_of(upload.id, Moment.ENDED.value, upload.callback_url, "")),
            upload.account_id,
            upload.dialect,
            url=upload.callback_url,
            event=f"model.{upload.phase.value}",
            now=upload.finished_at,
        )
        # Unlike a run's, this body needs no more than the row itself.
        tx.deliveries.add(replace(delivery, body=policy.model_body(upload).decode()))
        enqueue_delivery(tx, delivery)


SILENT = Callbacks({}, EgressRules())
"""Tells nobody."""


def pending_delivery(
    delivery_id: DeliveryId, account_id: AccountId, dialect: str, *, url: str, event: str, now: datetime
) -> Delivery:
    """One that is about nothing yet, for a receiver that is no endpoint."""
    return Delivery(
        id=delivery_id,
        account_id=account_id,
        dialect=dialect,
        run_id=None,
        endpoint_id=None,
        moment=None,
        url=url,
        event=event,
        body=None,
        state=DeliveryState.PENDING,
        tries=0,
        attempts=0,
        next_at=now,
        round_at=now,
        created_at=now,
    )


def enqueue_delivery(tx: Transaction, delivery: Delivery) -> None:
    """The job of a pending delivery's round, unless it has one."""
    tx.jobs.enqueue(
        DELIVERY_JOB,
        {"delivery_id": delivery.id},
        job_id=JobId(_id_of(delivery.id, delivery.round_at.isoformat())),
        now=delivery.round_at,
        dedupe_key=delivery.id,
        account_id=delivery.account_id,
    )


def _id_of(*parts: str) -> str:
    """Follows from what it is of, so that nobody is told the same thing twice."""
    return uuid4_text(hashlib.sha256("/".join(parts).encode()).digest()[:16])
