"""Delivering a callback: render its body once → post → write down what came of it, and when to try again.

What the receiver does is the delivery's own affair, after the dialect's plan; what goes wrong on our side is the
worker's. An attempt whose worker died may be made twice, with the same bytes under the same id.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.egress import parse_url
from penstock.domain.errors import DeliveryNotFound, EndpointNotFound, RunNotFound, Unavailable
from penstock.domain.ids import AssetId, DeliveryId
from penstock.domain.runs import output_assets, require_there
from penstock.domain.webhooks import (
    ALL_CALLBACKS,
    LONGEST_REPLY,
    Attempt,
    Delivery,
    DeliveryState,
    Notice,
    abandoned,
    answered,
    as_of,
    attempted,
    is_success,
)
from penstock.ports.fetch import Posting, SourceError
from penstock.ports.jobs import AttemptInterruptedError
from penstock.services.callback_secrets import keep_secret, new_secret
from penstock.services.run_logs import log_lines

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from penstock.domain.ids import AccountId, RunId
    from penstock.domain.jobs import Job
    from penstock.domain.runs import Run
    from penstock.domain.webhooks import CallbackPolicy, Endpoint, Secret
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction
    from penstock.ports.fetch import Poster
    from penstock.services.assets import Assets
    from penstock.services.callbacks import Callbacks
    from penstock.telemetry import Log
    from penstock.workflows.places import Places


_OUTAGE_PAUSE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How many deliveries may be under way at a time to one host, and for one account."""

    host: int
    account: int


class _HopelessError(Exception):
    """No attempt can help; the message is for the delivery's log."""


class DeliveryFlow:
    """The flow of kind `delivery`; payload `{delivery_id}`."""

    def __init__(  # noqa: PLR0913 - the parts it works with
        self,
        database: Database,
        assets: Assets,
        callbacks: Callbacks,
        poster: Poster,
        places: Places,
        *,
        shares: Shares,
        clock: Clock,
        entropy: Entropy,
        log: Log,
        interrupt: threading.Event,
    ) -> None:
        self._database = database
        self._assets = assets
        self._callbacks = callbacks
        self._poster = poster
        self._places = places
        self._shares = shares
        self._clock = clock
        self._entropy = entropy
        self._log = log
        self._interrupt = interrupt

    def run(self, job: Job) -> None:
        """One attempt when there is a place for it; else, and after an attempt that failed, the job comes back."""
        with self._database.read() as tx:
            delivery = self._wanted(tx, job)
        if delivery is None:
            with self._database.write() as tx:
                tx.fenced.finish(job)
            return
        places = self._places_of(delivery)
        wait = self._places.enter(places, spread=self._random())
        if wait:
            self._put_off(job, timedelta(seconds=wait), error="waits for its turn")
            return
        begun = time.monotonic()
        try:
            self._attempt(job, delivery)
        except (AttemptInterruptedError, Unavailable) as error:
            # Not left to the worker, which counts the turns that a job waited for as outages, and gives up in the end.
            self._put_off(job, _OUTAGE_PAUSE if isinstance(error, Unavailable) else timedelta(0), error="interrupted")
        finally:
            self._places.leave(places, seconds=time.monotonic() - begun)

    def give_up(self, job: Job, reason: str) -> None:
        """The delivery fails."""
        with self._database.write() as tx:
            delivery = self._wanted(tx, job)
            if delivery is not None:
                attempt = self._note(delivery, error="the callback could not be made", milliseconds=0)
                tx.deliveries.add_attempt(attempt)
                tx.deliveries.replace(replace(abandoned(delivery), attempts=attempt.number))
            tx.fenced.bury(job, error=reason)

    def _put_off(self, job: Job, pause: timedelta, *, error: str) -> None:
        with self._database.write() as tx:
            tx.fenced.postpone(job, run_at=self._clock.now() + pause, error=error)

    def _wanted(self, tx: Transaction, job: Job) -> Delivery | None:
        """The delivery, while it is to be made."""
        if job.account_id is None:
            return None
        try:
            delivery = tx.deliveries.get(job.account_id, DeliveryId(str(job.payload["delivery_id"])))
        except DeliveryNotFound:
            return None
        return delivery if delivery.state is DeliveryState.PENDING else None

    def _attempt(self, job: Job, delivery: Delivery) -> None:
        try:
            policy = self._policy(delivery)
            endpoint = self._endpoint(delivery)
            url = self._allowed(endpoint.url if endpoint is not None else delivery.url)
            delivery = self._with_body(job, delivery, policy)
        except _HopelessError as error:
            self._abandon(job, delivery, str(error))
            return
        attempt = self._post(delivery, policy, url=url, extra=endpoint.headers if endpoint is not None else {})
        after = attempted(delivery, attempt, policy.plan, now=self._clock.now(), jitter=self._random())
        self._write(job, after, attempt, policy)

    def _allowed(self, url: str) -> str:
        if self._callbacks.refuses(url):
            msg = "its address or port is not one that callbacks are sent to"
            raise _HopelessError(msg)
        return url

    def _policy(self, delivery: Delivery) -> CallbackPolicy:
        policy = self._callbacks.policy(delivery.dialect)
        if policy is None:
            msg = "callbacks are not available any more"
            raise _HopelessError(msg)
        return policy

    def _endpoint(self, delivery: Delivery) -> Endpoint | None:
        """The endpoint as it is now; one that was turned off only gets what is no run's."""
        if delivery.endpoint_id is None:
            return None
        try:
            with self._database.read() as tx:
                endpoint = tx.endpoints.get(delivery.account_id, delivery.endpoint_id, dialect=delivery.dialect)
        except EndpointNotFound:
            msg = "the endpoint was removed"
            raise _HopelessError(msg) from None
        if not endpoint.active and delivery.run_id is not None:
            msg = "the endpoint is turned off"
            raise _HopelessError(msg)
        return endpoint

    def _with_body(self, job: Job, delivery: Delivery, policy: CallbackPolicy) -> Delivery:
        """The delivery with the body that every attempt sends: in its row before anybody gets to see it."""
        if delivery.body is not None:
            return delivery
        rendered = replace(delivery, body=policy.body(self._notice(delivery)).decode())
        with self._database.write() as tx:
            tx.fenced.checkpoint(job, job.step, job.state)
            tx.deliveries.replace(rendered)
        return rendered

    def _notice(self, delivery: Delivery) -> Notice:
        if delivery.run_id is None or delivery.moment is None:
            msg = "there is nothing to tell"
            raise _HopelessError(msg)
        run = as_of(self._run(delivery.account_id, delivery.run_id), delivery.moment)
        made = tuple(AssetId(asset_id) for asset_id in output_assets(run.output))
        with self._database.read() as tx:
            logs = log_lines(tx, run.account_id, run.id)
        return Notice(
            delivery_id=delivery.id,
            event=delivery.event,
            moment=delivery.moment,
            run=run,
            assets=self._assets.many(run.account_id, made) if made else {},
            logs=logs,
            link=self._assets.signed_get,
            at=self._clock.now(),
        )

    def _run(self, account_id: AccountId, run_id: RunId) -> Run:
        try:
            with self._database.read() as tx:
                run = tx.runs.get(account_id, run_id)
            require_there(run)
        except RunNotFound:
            msg = "the run was removed"
            raise _HopelessError(msg) from None
        return run

    def _post(self, delivery: Delivery, policy: CallbackPolicy, *, url: str, extra: Mapping[str, str]) -> Attempt:
        body = (delivery.body or "").encode()
        now = self._clock.now()
        signed = policy.headers(delivery, body, self._secrets(delivery, policy), now)
        ours = {name.lower() for name in signed}
        posting = Posting(
            url=url,
            body=body,
            headers={**{name: value for name, value in extra.items() if name.lower() not in ours}, **signed},
            within=policy.plan.within,
            max_reply=LONGEST_REPLY,
            watch=self._watch,
        )
        begun = time.monotonic()
        try:
            reply = self._poster.post(posting)
        except SourceError as error:
            return self._note(delivery, error=error.reason, milliseconds=_since(begun))
        return replace(
            self._note(delivery, error=None, milliseconds=_since(begun)),
            status=reply.status,
            reply=reply.body.decode(errors="replace"),
        )

    def _secrets(self, delivery: Delivery, policy: CallbackPolicy) -> list[Secret]:
        """Those that sign now, newest first."""
        now = self._clock.now()
        endpoint_id = delivery.endpoint_id or ALL_CALLBACKS
        with self._database.read() as tx:
            known = tx.endpoints.secrets(delivery.account_id, endpoint_id, dialect=delivery.dialect)
        if known or delivery.endpoint_id is not None or not policy.signs_always:
            return [secret for secret in known if secret.retires_at is None or secret.retires_at > now]
        made = new_secret(delivery.account_id, endpoint_id, dialect=delivery.dialect, entropy=self._entropy, now=now)
        with self._database.write() as tx:
            return [keep_secret(tx, made)]

    def _write(self, job: Job, after: Delivery, attempt: Attempt, policy: CallbackPolicy) -> None:
        """What came of it, in one transaction: the log, the delivery, its endpoint, and the job."""
        with self._database.write() as tx:
            kept = self._keep(tx, after, attempt)
            self._count(tx, after, attempt, policy)
            if not kept or after.next_at is None:
                tx.fenced.finish(job)
            else:
                tx.fenced.postpone(job, run_at=after.next_at, error=_told(attempt))
        self._log(
            "callback.attempted",
            delivery_id=after.id,
            dialect=after.dialect,
            attempt=attempt.number,
            status=attempt.status,
            ms=attempt.milliseconds,
            state=after.state.value,
        )

    def _count(self, tx: Transaction, after: Delivery, attempt: Attempt, policy: CallbackPolicy) -> None:
        if after.endpoint_id is None:
            return
        try:
            endpoint = tx.endpoints.get(after.account_id, after.endpoint_id, dialect=after.dialect)
        except EndpointNotFound:
            return
        counted = answered(endpoint, attempt, policy.plan)
        tx.endpoints.replace(counted)
        if endpoint.active and not counted.active:
            self._log("callback.endpoint_off", endpoint_id=endpoint.id, failures=counted.failures)

    def _abandon(self, job: Job, delivery: Delivery, reason: str) -> None:
        attempt = self._note(delivery, error=reason, milliseconds=0)
        with self._database.write() as tx:
            self._keep(tx, replace(abandoned(delivery), attempts=attempt.number), attempt)
            tx.fenced.finish(job)
        self._log("callback.abandoned", delivery_id=delivery.id, dialect=delivery.dialect, error=reason)

    def _keep(self, tx: Transaction, after: Delivery, attempt: Attempt) -> bool:
        """Write where the delivery stands, and its log; False, and nothing written, when it was forgotten meanwhile.

        Its run's owner removed the payloads then: an answer that came all the same must not stay behind.
        """
        try:
            tx.deliveries.get(after.account_id, after.id)
        except DeliveryNotFound:
            return False
        tx.deliveries.add_attempt(attempt)
        tx.deliveries.replace(after)
        return True

    def _note(self, delivery: Delivery, *, error: str | None, milliseconds: int) -> Attempt:
        return Attempt(
            delivery_id=delivery.id,
            number=delivery.attempts + 1,
            at=self._clock.now(),
            milliseconds=milliseconds,
            status=None,
            reply=None,
            error=error,
        )

    def _places_of(self, delivery: Delivery) -> dict[str, int]:
        host = parse_url(delivery.url).host
        return {f"host {host}": self._shares.host, f"account {delivery.account_id}": self._shares.account}

    def _watch(self) -> None:
        if self._interrupt.is_set():
            raise AttemptInterruptedError

    def _random(self) -> float:
        return self._entropy.random_bytes(1)[0] / 256


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)


def _told(attempt: Attempt) -> str:
    return attempt.error or ("answered" if is_success(attempt) else f"answered {attempt.status}")
