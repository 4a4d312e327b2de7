"""Webhooks: one POST at the end of a task that named a `webhookURL`, unsigned, retried as it was (contract §6.4)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.runware.errors import failure_out
from penstock.dialects.runware.model_wire import TASK, failure_of, phase_item
from penstock.dialects.runware.wire import Named, envelope, item_out
from penstock.domain.model_uploads import Phase
from penstock.domain.webhooks import CallbackPolicy, RetryPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from penstock.domain.model_uploads import ModelUpload
    from penstock.domain.runs import Run
    from penstock.domain.webhooks import Delivery, Moment, Notice, Secret

PLAN = RetryPlan(  # that a delivery is tried again is documented; when, how often and how long is inferred
    delays=(
        *(timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=6)),
        *(timedelta(minutes=15), timedelta(minutes=35), timedelta(minutes=60)),
    ),
    within=timedelta(seconds=10),
)


def policy(_base_url: str) -> CallbackPolicy:
    """Receivers protect themselves, by tokens in their URL; https is advised, so that plain http is taken."""
    return CallbackPolicy(plan=PLAN, event=_event, body=_body, headers=_headers, https_only=False, model_body=_told)


def _told(upload: ModelUpload) -> bytes:
    """The answer of the completed task: the last phase, or the error (inferred: the product names no failures)."""
    name = Named(task_type=TASK, task_uuid=upload.client_ref)
    if upload.phase is Phase.READY:
        return envelope([item_out(name, phase_item(Phase.READY, air=upload.air))]).encode()
    failure = failure_of(upload.error_code, upload.error, upload.error_field)
    return envelope([failure_out(failure, name)]).encode()


def _event(_run: Run, _moment: Moment) -> str | None:
    """Runs are not told."""
    return None


def _body(_notice: Notice) -> bytes:
    return envelope([]).encode()


def _headers(_delivery: Delivery, _body: bytes, _secrets: Sequence[Secret], _now: datetime) -> Mapping[str, str]:
    return {}
