"""ModelRunner webhooks: what is told, how it is signed and retried, and how deliveries are shown (guides/webhooks)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from penstock.dialects.base.signatures import standard_webhooks
from penstock.dialects.modelrunner.wire import result_out, timestamp
from penstock.domain.errors import InvalidField
from penstock.domain.ids import format_short
from penstock.domain.webhooks import Callback, CallbackPolicy, DeliveryState, Moment, RetryPlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.runs import Run
    from penstock.domain.webhooks import Attempt, Delivery, Notice

_EVENTS = {"start": Moment.STARTED, "completed": Moment.ENDED}
_WORDS = {moment: word for word, moment in _EVENTS.items()}
_LARGEST_INPUT = 64 * 1024
_PLAN = RetryPlan(
    delays=(
        *(timedelta(seconds=5), timedelta(seconds=30)),
        *(timedelta(minutes=minutes) for minutes in (2, 5, 10, 20, 30, 45, 60)),
    ),
    within=timedelta(seconds=15),
    final=frozenset({410}),
)


class SecretOut(BaseModel):
    """`GET /webhooks/default/secret`."""

    key: str


class DeliveryOut(BaseModel):
    """A delivery. Named are `status`, `attempts`, `lastResponseStatus` and `lastError`; the rest is inferred.

    The product's status `delivering` is not shown: an attempt under way is `pending`.
    """

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True)

    id: str
    request_id: str | None
    event: str
    url: str
    status: str
    attempts: int
    last_response_status: int | None
    last_error: str | None
    next_attempt_at: str | None
    created_at: str


class DeliveriesOut(BaseModel):
    """`GET /webhooks/deliveries`, newest first (the envelope is inferred)."""

    deliveries: list[DeliveryOut]


def policy(base_url: str) -> CallbackPolicy:
    """Standard Webhooks, ten attempts in two hours; a body is the result as it stands at `base_url`."""

    def event(_run: Run, moment: Moment) -> str:
        return _WORDS[moment]

    def body(notice: Notice) -> bytes:
        result = result_out(notice.run, assets=notice.assets, base_url=base_url, lines=notice.logs)
        told = {"event": notice.event, **result.model_dump(mode="json", by_alias=True)}
        size = len(json.dumps(told["input"]))
        if size > _LARGEST_INPUT:  # the JS client's types; what stands in the member is inferred
            told["input"] = {"_elided": f"{size} bytes; see the request"}
        return json.dumps(told, separators=(",", ":")).encode()

    return CallbackPolicy(plan=_PLAN, event=event, body=body, headers=standard_webhooks)


def parse_callback(webhook: object, events: object) -> Callback | None:
    """What a submission's two reserved members ask for (MR-32). Raises `InvalidField`."""
    if events is not None:
        if webhook is None:
            raise InvalidField(("webhook_events_filter",), "needs a webhook")
        if not isinstance(events, list) or not events or not all(name in _EVENTS for name in map(_word, events)):
            raise InvalidField(("webhook_events_filter",), "must be a non-empty array of start and completed")
    if webhook is None:
        return None
    if not isinstance(webhook, str):
        raise InvalidField(("webhook",), "must be a URL", rule="type")
    names = dict.fromkeys(map(_word, events)) if isinstance(events, list) else {"completed": None}
    return Callback(url=webhook, moments=tuple(_EVENTS[name] for name in names), field_name="webhook")


def parse_status(text: str | None) -> DeliveryState | None:
    """Raises `InvalidField`."""
    try:
        return DeliveryState(text) if text is not None else None
    except ValueError:
        raise InvalidField(("status",), "must be pending, delivered or failed") from None


def delivery_out(delivery: Delivery, attempts: Sequence[Attempt]) -> DeliveryOut:
    """A delivery and how its attempts went."""
    last = attempts[-1] if attempts else None
    return DeliveryOut(
        id=delivery.id,
        request_id=format_short(delivery.run_id) if delivery.run_id is not None else None,
        event=delivery.event,
        url=delivery.url,
        status=delivery.state.value,
        attempts=delivery.attempts,
        last_response_status=last.status if last else None,
        last_error=last.error if last else None,
        next_attempt_at=timestamp(delivery.next_at) if delivery.next_at is not None else None,
        created_at=timestamp(delivery.created_at),
    )


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""
