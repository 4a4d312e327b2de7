"""ModelRoute webhooks: what is told, how it is signed and retried, and how endpoints are shown (webhooks/overview).

What the product's documents leave open is marked *inferred*.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

from penstock.dialects.base.signatures import hex_hmac
from penstock.dialects.modelroute.wire import (
    UUID,
    ExecutionOut,
    execution_out,
    format_execution,
    result_out,
    timestamp,
)
from penstock.domain.errors import EndpointNotFound
from penstock.domain.ids import EndpointId
from penstock.domain.runs import RunState
from penstock.domain.webhooks import Callback, CallbackPolicy, Moment, RetryPlan
from penstock.services.webhooks import EndpointChange, NewEndpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from penstock.domain.ids import AccountId
    from penstock.domain.runs import Run
    from penstock.domain.webhooks import Delivery, Endpoint, Notice, Secret

TEST_EVENT = "webhook.test"
"""Inferred: the product names the call alone."""

_ENDPOINT = re.compile(rf"wh_({UUID})\Z")
_ENDS: Mapping[RunState, str] = {
    RunState.SUCCEEDED: "execution.completed",
    RunState.FAILED: "execution.failed",
    RunState.CANCELLED: "execution.cancelled",
}
_PLAN = RetryPlan(
    delays=tuple(timedelta(minutes=minutes) for minutes in (2, 4, 8, 16, 30)),
    within=timedelta(seconds=30),
    lifetime=timedelta(hours=24),
    patience=10,
)

EventName = Literal["execution.started", "execution.completed", "execution.failed", "execution.cancelled"]
Description = Annotated[str, StringConstraints(max_length=1000)]


class AddEndpoint(BaseModel):
    """`POST /v1/webhooks/endpoints`. Members that are not listed are ignored (inferred)."""

    model_config = ConfigDict(strict=True)

    url: str
    description: Description | None = None
    events: list[EventName] | None = None
    headers: dict[str, str] | None = None

    def wanted(self) -> NewEndpoint:
        """What the services are asked."""
        return NewEndpoint(
            url=self.url, description=self.description, events=_once(self.events or ()), headers=self.headers
        )


class ChangeEndpoint(BaseModel):
    """`PATCH /v1/webhooks/endpoints/{id}`: what is not given stays (inferred)."""

    model_config = ConfigDict(strict=True)

    url: str | None = None
    description: Description | None = None
    events: list[EventName] | None = None
    headers: dict[str, str] | None = None
    is_active: bool | None = None

    def change(self) -> EndpointChange:
        """What the services are asked."""
        return EndpointChange(
            url=self.url,
            description=self.description,
            events=None if self.events is None else _once(self.events),
            headers=self.headers,
            active=self.is_active,
        )


class EndpointOut(BaseModel):
    """An endpoint; `last_success` is a time or null."""

    id: str
    url: str
    description: str | None
    events: list[str]
    headers: dict[str, str]
    is_active: bool
    created_at: str
    failure_count: int
    last_success: str | None


class NewEndpointOut(EndpointOut):
    """An endpoint that was just made: the one answer that tells its secret."""

    secret: str


class EndpointsOut(BaseModel):
    """All endpoints of the account, the oldest first."""

    endpoints: list[EndpointOut]


class SentOut(BaseModel):
    """`POST …/{id}/test` (inferred)."""

    event_id: str
    event_type: str


class SecretOut(BaseModel):
    """`GET /v1/webhooks/secret` (inferred: the product does not say what signs callbacks to a `webhook_url`)."""

    secret: str


def policy(_base_url: str) -> CallbackPolicy:
    """Six attempts in an hour; an endpoint is turned off after ten failures in a row."""
    return CallbackPolicy(plan=_PLAN, event=_event, body=_body, headers=_headers, endpoints=True)


def callback(url: str | None) -> Callback | None:
    """Whom an execution tells of its end; of its start endpoints alone are told (inferred)."""
    return Callback(url=url, moments=(Moment.ENDED,), field_name="webhook_url") if url is not None else None


def test_body(delivery: Delivery) -> bytes:
    """What an endpoint gets when it is tested."""
    data = {"endpoint_id": format_endpoint(delivery.endpoint_id or EndpointId(""))}
    return _told(delivery.id, TEST_EVENT, delivery.account_id, at=delivery.created_at, rest={"data": data})


def endpoint_out(endpoint: Endpoint) -> EndpointOut:
    """An endpoint, without its secret."""
    return EndpointOut(
        id=format_endpoint(endpoint.id),
        url=endpoint.url,
        description=endpoint.description,
        events=list(endpoint.events),
        headers=dict(endpoint.headers),
        is_active=endpoint.active,
        created_at=timestamp(endpoint.created_at),
        failure_count=endpoint.failures,
        last_success=timestamp(endpoint.succeeded_at) if endpoint.succeeded_at is not None else None,
    )


def new_endpoint_out(endpoint: Endpoint, secret: Secret) -> NewEndpointOut:
    """An endpoint with its secret."""
    return NewEndpointOut(**endpoint_out(endpoint).model_dump(), secret=secret.value)


def sent_out(delivery: Delivery) -> SentOut:
    """What was sent as a test."""
    return SentOut(event_id=_event_id(delivery.id), event_type=delivery.event)


def format_endpoint(endpoint_id: EndpointId) -> str:
    """`wh_` + UUID (what follows the prefix is inferred)."""
    return f"wh_{endpoint_id}"


def parse_endpoint(text: str) -> EndpointId:
    """Raises `EndpointNotFound`, for what cannot be an endpoint's id as well."""
    found = _ENDPOINT.match(text)
    if found is None:
        raise EndpointNotFound(text)
    return EndpointId(found[1])


def _event(run: Run, moment: Moment) -> str | None:
    return "execution.started" if moment is Moment.STARTED else _ENDS.get(run.state)


def _body(notice: Notice) -> bytes:
    run = notice.run
    happened = run.finished_at or run.started_at or notice.at
    rest = {"execution_id": format_execution(run.id), "data": _data(notice)}
    return _told(notice.delivery_id, notice.event, run.account_id, at=happened, rest=rest)


def _data(notice: Notice) -> dict[str, object]:
    execution: ExecutionOut = execution_out(notice.run, assets=notice.assets)
    kept = {"id", "status", "model", "cost", "result", "error", "created_at", "completed_at"}
    said = execution.model_dump(mode="json", include=kept, exclude_none=True)
    latency = result_out(notice.run, assets={}).latency_ms
    return said if latency is None else {**said, "latency_ms": latency}


def _told(delivery_id: str, event: str, account_id: AccountId, *, at: datetime, rest: Mapping[str, object]) -> bytes:
    told = {
        "id": _event_id(delivery_id),
        "event_type": event,
        "type": event,  # so one page calls the field
        "timestamp": timestamp(at),
        "version": "1.0",
        "organization_id": f"org_{account_id}",
        **rest,
    }
    return json.dumps(told, separators=(",", ":")).encode()


def _headers(_delivery: Delivery, body: bytes, secrets: Sequence[Secret], now: datetime) -> dict[str, str]:
    """Hex HMAC-SHA256 of `{timestamp}.{body}`; Unix seconds, and the secret as it was shown (both inferred)."""
    sent_at = str(int(now.timestamp()))
    signed = {"X-Signature": hex_hmac(secrets[0], b".".join((sent_at.encode(), body)))} if secrets else {}
    return {**signed, "X-Signature-Timestamp": sent_at, "User-Agent": "ModelRoute-Webhooks/1.0"}


def _event_id(delivery_id: str) -> str:
    return f"evt_{delivery_id}"


def _once(events: Sequence[EventName]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(events))
