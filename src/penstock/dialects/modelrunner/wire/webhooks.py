"""Webhooks: what a submission asks for, the secret, the log of deliveries (guides/webhooks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from penstock.dialects.modelrunner.wire.common import Camel, timestamp
from penstock.domain.errors import InvalidField
from penstock.domain.ids import format_short
from penstock.domain.webhooks import Callback, DeliveryState, Moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.domain.webhooks import Attempt, Delivery

_EVENTS = {"start": Moment.STARTED, "completed": Moment.ENDED}
WORDS = {moment: word for word, moment in _EVENTS.items()}


class SecretOut(BaseModel):
    """`GET /webhooks/default/secret`."""

    key: str


class DeliveryOut(Camel):
    """A delivery. Named are `status`, `attempts`, `lastResponseStatus` and `lastError`; the rest is inferred.

    The product's status `delivering` is not shown: an attempt under way is `pending`.
    """

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
    """The product's `delivering` is what is `pending` here, too. Raises `InvalidField`."""
    if text is None:
        return None
    try:
        return DeliveryState.PENDING if text == "delivering" else DeliveryState(text)
    except ValueError:
        raise InvalidField(("status",), "must be pending, delivering, delivered or failed") from None


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
