"""Callbacks as asked for and as answered: endpoints, secrets, deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from penstock.dialects.native.wire.common import Request, timestamp
from penstock.dialects.native.wire.runs import RunOut, run_out
from penstock.domain.egress import MAX_URL
from penstock.domain.ids import format_prefixed
from penstock.domain.webhooks import Attempt, Delivery, Endpoint, Notice, Secret

EventName = Literal["run.started", "run.succeeded", "run.failed", "run.cancelled"]
Url = Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)]
Text = Annotated[str, StringConstraints(max_length=255)]


class CreateEndpoint(Request):
    """A receiver of what becomes of all runs that are made through this API."""

    url: Url = Field(description="https; plain http only where the server's operator allows the place.")
    description: Text | None = None
    events: list[EventName] = Field(
        default_factory=list, max_length=20, description="What to be told of; none: everything."
    )
    headers: dict[str, str] = Field(
        default_factory=dict, description="Up to 20 headers that each delivery carries, beside its signature."
    )


class ChangeEndpoint(Request):
    """What is to be different; what is absent stays."""

    url: Url | None = None
    description: Text | None = None
    events: list[EventName] | None = Field(default=None, max_length=20)
    headers: dict[str, str] | None = None
    active: bool | None = Field(default=None, description="Turning an endpoint on forgets its failures.")


class EndpointOut(BaseModel):
    """An endpoint."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    url: str
    description: str | None
    events: list[str]
    headers: dict[str, str]
    active: bool = Field(description="false: turned off, by its owner or after 50 failed attempts in a row.")
    failures: int = Field(description="Attempts that failed since the last success.")
    succeeded_at: str | None = Field(description="When it last took a delivery.")
    created_at: str


class NewEndpointOut(EndpointOut):
    """An endpoint that was just made."""

    secret: str = Field(description="Signs what is sent there; told now and after a rotation only.")


class EndpointPage(BaseModel):
    """All endpoints, the oldest first."""

    data: list[EndpointOut]


class SecretOut(BaseModel):
    """A secret of Standard Webhooks."""

    object: Literal["webhook_secret"] = "webhook_secret"
    secret: str = Field(description="`whsec_` and the key in base64.")
    created_at: str


class AttemptOut(BaseModel):
    """One POST."""

    number: int
    at: str
    milliseconds: int
    status: int | None = Field(description="The receiver's; null when it gave none.")
    reply: str | None = Field(description="The beginning of what the receiver said.")
    error: str | None


class DeliveryOut(BaseModel):
    """One event for one receiver."""

    id: str
    object: Literal["webhook_delivery"] = "webhook_delivery"
    event: str
    run_id: str | None
    endpoint_id: str | None = Field(description="null: the run named its receiver.")
    url: str
    state: str = Field(description="pending, delivered or failed.")
    attempts: int
    next_attempt_at: str | None
    created_at: str


class FullDeliveryOut(DeliveryOut):
    """A delivery with what was sent and how it went."""

    body: str | None = Field(description="Exactly as sent; null before the first attempt.")
    log: list[AttemptOut]


class DeliveryPage(BaseModel):
    """Deliveries, newest first."""

    data: list[DeliveryOut]
    next_cursor: str | None


class RunEventOut(BaseModel):
    """What a receiver gets: the run as it was then."""

    id: str = Field(description="The delivery's, the same in each attempt.")
    event: str
    created_at: str
    run: RunOut


class TestEventOut(BaseModel):
    """What a receiver gets as a test."""

    id: str
    event: str
    created_at: str


def delivery_body(notice: Notice, *, base_url: str) -> bytes:
    """What a receiver is told of a run."""
    told = RunEventOut(
        id=format_prefixed("delivery", notice.delivery_id),
        event=notice.event,
        created_at=timestamp(notice.at),
        run=run_out(notice.run, assets=notice.assets, base_url=base_url, throttled=False),
    )
    return told.__pydantic_serializer__.to_json(told)


def test_body(delivery: Delivery) -> bytes:
    """What an endpoint is told as a test."""
    told = TestEventOut(
        id=format_prefixed("delivery", delivery.id), event=delivery.event, created_at=timestamp(delivery.created_at)
    )
    return told.__pydantic_serializer__.to_json(told)


def endpoint_out(endpoint: Endpoint) -> EndpointOut:
    """An endpoint as answered."""
    return EndpointOut(**_endpoint(endpoint))


def new_endpoint_out(endpoint: Endpoint, secret: Secret) -> NewEndpointOut:
    """An endpoint with its secret."""
    return NewEndpointOut(**_endpoint(endpoint), secret=secret.value)


def secret_out(secret: Secret) -> SecretOut:
    """A secret as answered."""
    return SecretOut(secret=secret.value, created_at=timestamp(secret.created_at))


def delivery_out(delivery: Delivery) -> DeliveryOut:
    """A delivery as listed."""
    return DeliveryOut(**_delivery(delivery))


def full_delivery_out(delivery: Delivery, attempts: Sequence[Attempt]) -> FullDeliveryOut:
    """A delivery with its log."""
    log = [
        AttemptOut(
            number=attempt.number,
            at=timestamp(attempt.at),
            milliseconds=attempt.milliseconds,
            status=attempt.status,
            reply=attempt.reply,
            error=attempt.error,
        )
        for attempt in attempts
    ]
    return FullDeliveryOut(**_delivery(delivery), body=delivery.body, log=log)


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": format_prefixed("endpoint", endpoint.id),
        "url": endpoint.url,
        "description": endpoint.description,
        "events": list(endpoint.events),
        "headers": dict(endpoint.headers),
        "active": endpoint.active,
        "failures": endpoint.failures,
        "succeeded_at": _time(endpoint.succeeded_at),
        "created_at": timestamp(endpoint.created_at),
    }


def _delivery(delivery: Delivery) -> dict[str, Any]:
    run_id, endpoint_id = delivery.run_id, delivery.endpoint_id
    return {
        "id": format_prefixed("delivery", delivery.id),
        "event": delivery.event,
        "run_id": format_prefixed("run", run_id) if run_id is not None else None,
        "endpoint_id": format_prefixed("endpoint", endpoint_id) if endpoint_id is not None else None,
        "url": delivery.url,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "next_attempt_at": _time(delivery.next_at),
        "created_at": timestamp(delivery.created_at),
    }


def _time(time: datetime | None) -> str | None:
    return timestamp(time) if time is not None else None
