"""Callbacks: telling somebody's server what happened, signed, retried, and kept as it was sent.

pending ──2xx──▶ delivered        (a redelivery makes either end pending once more, with the same body)
   └─plan used up, a final status, a place that is forbidden──▶ failed
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from penstock.domain.egress import EgressRules, UrlRefusedError, parse_url
from penstock.domain.errors import InvalidField
from penstock.domain.ids import AccountId, AssetId, DeliveryId, EndpointId, RunId, SecretId
from penstock.domain.runs import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.domain.assets import Asset
    from penstock.domain.events import Event
    from penstock.domain.model_uploads import ModelUpload
    from penstock.domain.runs import Run

LONGEST_REPLY = 4096
"""Bytes of a receiver's answer that are read and kept."""
MOST_ENDPOINTS = 20
"""Endpoints of one account in one dialect: each event is a delivery to all of them."""
MOST_SECRETS = 10
"""Secrets of one receiver that are kept: as long as they overlap, each of them signs every callback."""
ALL_CALLBACKS = EndpointId("")
"""In place of an endpoint: the account's own secret, for callbacks that name their receiver themselves."""
_SUCCESS = range(200, 300)
_MOST_HEADERS = 20
_LONGEST_HEADER = 1000
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_OUR_HEADERS = frozenset(
    {"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host"}
    | {"keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


class Moment(StrEnum):
    """What of a run can be told."""

    STARTED = "started"
    ENDED = "ended"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """`delays` between attempts, so one attempt more than these; each is answered `within` or has failed.

    A delay is lengthened by up to the share `jitter`, so that what failed together does not come back together. After
    `lifetime` since its creation (or its redelivery) a delivery is given up. A status in `final` ends it at once.
    `patience`: so many attempts on an endpoint that fail in a row turn it off.
    """

    delays: tuple[timedelta, ...]
    within: timedelta
    jitter: float = 0.1
    lifetime: timedelta | None = None
    final: frozenset[int] = frozenset()
    patience: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one receiver.

    `url` may hold the receiver's secrets in its query. `body` is what every attempt sends; None before the first.
    `tries` counts those of the current round, `attempts` all. `endpoint_id` is None when the run named its receiver.
    """

    id: DeliveryId
    account_id: AccountId
    dialect: str
    run_id: RunId | None
    endpoint_id: EndpointId | None
    moment: Moment | None
    url: str = field(repr=False)
    event: str
    body: str | None = field(repr=False)
    state: DeliveryState
    tries: int
    attempts: int
    next_at: datetime | None
    round_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One POST: the receiver's `status` and the beginning of its answer, or the `error` that there was no answer."""

    delivery_id: DeliveryId
    number: int
    at: datetime
    milliseconds: int
    status: int | None
    reply: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryFilter:
    """Which deliveries of a dialect to list; None: whatever it is."""

    dialect: str
    run_id: RunId | None = None
    state: DeliveryState | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A key for signatures, of one endpoint or of `ALL_CALLBACKS`. One that was replaced goes on until `retires_at`."""

    id: SecretId
    account_id: AccountId
    dialect: str
    endpoint_id: EndpointId
    label: str
    value: str = field(repr=False)
    created_at: datetime
    retires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A receiver of an account's events. `events`: the dialect's words for those it wants, none for all.

    `failures`: attempts that failed since the last success.
    """

    id: EndpointId
    account_id: AccountId
    dialect: str
    url: str = field(repr=False)
    description: str | None
    events: tuple[str, ...]
    headers: Mapping[str, str] = field(repr=False)
    active: bool
    failures: int
    succeeded_at: datetime | None
    created_at: datetime


class Link(Protocol):
    """Makes a URL of an asset."""

    def __call__(self, asset: Asset, *, life: timedelta = ...) -> str:
        """For an hour, where nothing is said."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a body is made from.

    `run` is as it was at the moment. `assets`: those that the output names and that can still be read; `link` makes a
    URL of one, for so long or what is left of the asset's life.
    """

    delivery_id: DeliveryId
    event: str
    moment: Moment
    run: Run
    assets: Mapping[AssetId, Asset]
    logs: Sequence[Event]
    link: Link
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackPolicy:
    """How a dialect tells.

    `event` names a moment of a run in the dialect's words; None: not told. `body` is called once for a delivery and
    kept. `headers` are made anew for each attempt: (delivery, body as sent, secrets in force newest first, now).
    `https_only`: a plain http receiver is refused unless the operator allows its place. `endpoints`: whether accounts
    have endpoints that hear of every run. `overlap`: how long a replaced secret goes on. `signs_always`: an account
    that has no secret yet gets one with its first callback; else it goes unsigned. `model_body`: what is told of a
    model upload that has ended; None: nothing.
    """

    plan: RetryPlan
    event: Callable[[Run, Moment], str | None]
    body: Callable[[Notice], bytes]
    headers: Callable[[Delivery, bytes, Sequence[Secret], datetime], Mapping[str, str]]
    https_only: bool = True
    endpoints: bool = False
    overlap: timedelta = timedelta(hours=24)
    signs_always: bool = False
    model_body: Callable[[ModelUpload], bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """The receiver that a run's caller named, in the field `field_name` of the request, and what it is told."""

    url: str = field(repr=False)
    moments: tuple[Moment, ...] = (Moment.ENDED,)
    field_name: str = "callback_url"


def check_receiver(url: str, rules: EgressRules, *, https_only: bool, path: tuple[str, ...]) -> str:
    """The URL as it will be posted to. Raises `InvalidField` for one that never will be."""
    try:
        place = parse_url(url)
    except UrlRefusedError as error:
        raise InvalidField(path, str(error), rule="url") from error
    if rules.refuses_at_sight(place):
        raise InvalidField(path, "its address or port is not one that callbacks are sent to", rule="url")
    # Where only the operator's permission leads, in a private network or on a port of its own, there is no TLS.
    if https_only and place.scheme != "https" and not EgressRules().refuses_at_sight(place):
        raise InvalidField(path, "must be an https:// URL", rule="url")
    return place.url


def check_headers(headers: Mapping[str, object]) -> dict[str, str]:
    """Headers that an endpoint wants to get. Raises `InvalidField`; its path begins with `headers`."""
    if len(headers) > _MOST_HEADERS:
        raise InvalidField(("headers",), f"at most {_MOST_HEADERS} headers", rule="too_long")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OUR_HEADERS:
            raise InvalidField(("headers", name), "is not a header that can be chosen")
        if not isinstance(value, str) or len(value) > _LONGEST_HEADER or not _HEADER_VALUE.fullmatch(value):
            raise InvalidField(("headers", name), f"must be printable ASCII, at most {_LONGEST_HEADER} characters")
        checked[name] = value.strip()
    return checked


def attempted(delivery: Delivery, attempt: Attempt, plan: RetryPlan, *, now: datetime, jitter: float) -> Delivery:
    """The delivery after an attempt; `jitter` in [0, 1)."""
    done = replace(delivery, tries=delivery.tries + 1, attempts=attempt.number, next_at=None)
    if is_success(attempt):
        return replace(done, state=DeliveryState.DELIVERED)
    if attempt.status in plan.final or done.tries > len(plan.delays):
        return replace(done, state=DeliveryState.FAILED)
    next_at = now + plan.delays[done.tries - 1] * (1 + plan.jitter * jitter)
    if plan.lifetime is not None and next_at > delivery.round_at + plan.lifetime:
        return replace(done, state=DeliveryState.FAILED)
    return replace(done, next_at=next_at)


def abandoned(delivery: Delivery) -> Delivery:
    """The delivery that no further attempt can help."""
    return replace(delivery, state=DeliveryState.FAILED, next_at=None)


def renewed(delivery: Delivery, *, now: datetime) -> Delivery:
    """The delivery in a new round of attempts, with the same body and id."""
    return replace(delivery, state=DeliveryState.PENDING, tries=0, next_at=now, round_at=now)


def answered(endpoint: Endpoint, attempt: Attempt, plan: RetryPlan) -> Endpoint:
    """The endpoint after an attempt on it."""
    if is_success(attempt):
        return replace(endpoint, failures=0, succeeded_at=attempt.at)
    failures = endpoint.failures + 1
    active = endpoint.active and (plan.patience is None or failures < plan.patience)
    return replace(endpoint, failures=failures, active=active)


def wants(endpoint: Endpoint, event: str) -> bool:
    """Whether the endpoint is told of such an event."""
    return endpoint.active and (not endpoint.events or event in endpoint.events)


def is_success(attempt: Attempt) -> bool:
    """Whether the receiver took it."""
    return attempt.status in _SUCCESS


def as_of(run: Run, moment: Moment) -> Run:
    """The run as it was at the moment, though it may have gone on since."""
    if moment is Moment.ENDED:
        return run
    return replace(
        run,
        state=RunState.RUNNING,
        output=None,
        error=None,
        fault=None,
        cost=None,
        cancel_requested=False,
        finished_at=None,
    )
