"""Runflow callbacks: what is told of a run's end, how it is signed and retried, and how it is shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

from penstock.dialects.base.signatures import hex_hmac
from penstock.dialects.runflow.wire.assets import asset_type_of
from penstock.dialects.runflow.wire.common import REQUEST_ID_HEADER, timestamp
from penstock.dialects.runflow.wire.runs import STATUSES, URL_LIFE, failure_of, output_of
from penstock.domain.runs import Run, RunState
from penstock.domain.webhooks import CallbackPolicy, Moment, RetryPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.domain.webhooks import Attempt, Delivery, Notice, Secret

SIGNATURE_HEADER = "Runflow-Signature"
EVENTS: Mapping[RunState, str] = {
    RunState.SUCCEEDED: "run.completed",
    RunState.FAILED: "run.failed",
    RunState.CANCELLED: "run.cancelled",
}
PLAN = RetryPlan(  # "an exponential schedule", a few attempts: the numbers are inferred
    delays=(
        *(timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=5)),
        *(timedelta(minutes=30), timedelta(hours=2)),
    ),
    within=timedelta(seconds=15),
)
MOST_ATTEMPTS = len(PLAN.delays) + 1
_MAX_LABEL = 255
_PREFIX_LETTERS = 10


class CreateSecret(BaseModel):
    """`POST /v1/callback-secrets`."""

    model_config = ConfigDict(strict=True)

    label: Annotated[str, StringConstraints(max_length=_MAX_LABEL)] = ""


class SecretOut(BaseModel):
    """A secret as listed, without itself."""

    id: str
    org_id: str
    key_prefix: str
    is_current: bool
    label: str
    created_at: str


class NewSecretOut(SecretOut):
    """A secret as made: `plain_secret` is shown this once."""

    plain_secret: str


class AttemptOut(BaseModel):
    """One POST to the receiver."""

    attempt_number: int
    status_code: int | None
    response_body: str | None
    response_time_ms: int
    error_message: str | None


class DeliveryOut(BaseModel):
    """A callback and its attempts; `payload` is null until the first (api-reference/runs)."""

    id: str
    run_id: str | None
    callback_url: str
    payload: dict[str, Any] | None
    attempt_count: int
    max_attempts: int
    next_attempt_at: str | None
    attempts: list[AttemptOut]


def policy(_base_url: str) -> CallbackPolicy:
    """Ends alone are told. That plain http is taken is inferred: no document asks for https."""
    return CallbackPolicy(plan=PLAN, event=_event, body=_body, headers=_headers, https_only=False, signs_always=False)


def secret_out(secret: Secret) -> SecretOut:
    """A secret in a listing."""
    return SecretOut(
        id=secret.id,
        org_id=secret.account_id,
        key_prefix=secret.value[:_PREFIX_LETTERS],
        is_current=secret.retires_at is None,
        label=secret.label,
        created_at=timestamp(secret.created_at),
    )


def new_secret_out(secret: Secret) -> NewSecretOut:
    """A secret that was just made."""
    return NewSecretOut(**secret_out(secret).model_dump(), plain_secret=secret.value)


def delivery_out(delivery: Delivery, attempts: Sequence[Attempt]) -> DeliveryOut:
    """A callback and how its attempts went; those of a redelivery count on."""
    return DeliveryOut(
        id=delivery.id,
        run_id=delivery.run_id,
        callback_url=delivery.url,
        payload=json.loads(delivery.body) if delivery.body is not None else None,
        attempt_count=delivery.attempts,
        max_attempts=MOST_ATTEMPTS,
        next_attempt_at=timestamp(delivery.next_at) if delivery.next_at is not None else None,
        attempts=[
            AttemptOut(
                attempt_number=attempt.number,
                status_code=attempt.status,
                response_body=attempt.reply,
                response_time_ms=attempt.milliseconds,
                error_message=attempt.error,
            )
            for attempt in attempts
        ],
    )


def _event(run: Run, moment: Moment) -> str | None:
    return EVENTS.get(run.state) if moment is Moment.ENDED else None


def _body(notice: Notice) -> bytes:
    run = notice.run
    urls = {asset.id: (notice.link(asset, life=URL_LIFE), asset_type_of(asset)) for asset in notice.assets.values()}
    failure = failure_of(run)
    output = output_of(run.output, urls) if run.state is RunState.SUCCEEDED else None
    told = {
        "event": notice.event,
        "run_id": run.id,
        "status": STATUSES[run.state],
        "output": {"error": failure.model_dump()} if failure is not None else output,
        "duration_ms": (run.finished_at - run.created_at) // timedelta(milliseconds=1) if run.finished_at else None,
        "created_at": _instant(run.created_at),
        "completed_at": _instant(run.finished_at) if run.finished_at else None,
        "metadata": dict(run.metadata) or None,
    }
    return json.dumps(told).encode()


def _headers(delivery: Delivery, body: bytes, secrets: Sequence[Secret], _now: datetime) -> dict[str, str]:
    """Signed once there is a secret; of two in force by the newest (inferred)."""
    headers: dict[str, str] = {REQUEST_ID_HEADER: delivery.id}
    return {**headers, SIGNATURE_HEADER: hex_hmac(secrets[0], body)} if secrets else headers


def _instant(time: datetime) -> str:
    """With `+00:00`, not `Z` (concepts/callbacks)."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
