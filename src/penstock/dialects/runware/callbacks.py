"""Webhooks: one POST at the end of a task that named a `webhookURL`, unsigned, retried as it was (contract §6.4)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from penstock.dialects.runware import image_wire
from penstock.dialects.runware.errors import failure_out
from penstock.dialects.runware.media_wire import media_url
from penstock.dialects.runware.model_wire import TASK, failure_of, phase_item
from penstock.dialects.runware.wire import Named, envelope, item_out
from penstock.domain.media_types import Kind
from penstock.domain.model_uploads import Phase
from penstock.domain.runs import RunState
from penstock.domain.webhooks import CallbackPolicy, Moment, RetryPlan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from penstock.domain.model_uploads import ModelUpload
    from penstock.domain.runs import Run
    from penstock.domain.webhooks import Delivery, Notice, Secret

PLAN = RetryPlan(  # that a delivery is tried again is documented; when, how often and how long is inferred
    delays=(
        *(timedelta(seconds=30), timedelta(minutes=2), timedelta(minutes=6)),
        *(timedelta(minutes=15), timedelta(minutes=35), timedelta(minutes=60)),
    ),
    within=timedelta(seconds=10),
)


def policy(base_url: str) -> CallbackPolicy:
    """Receivers protect themselves, by tokens in their URL; https is advised, so that plain http is taken."""
    return CallbackPolicy(
        plan=PLAN,
        event=_event,
        body=partial(_pictured, base_url=base_url),
        headers=_headers,
        https_only=False,
        model_body=_told,
    )


def _told(upload: ModelUpload) -> bytes:
    """The answer of the completed task: the last phase, or the error (inferred: the product names no failures)."""
    name = Named(task_type=TASK, task_uuid=upload.client_ref)
    if upload.phase is Phase.READY:
        return envelope([item_out(name, phase_item(Phase.READY, air=upload.air))]).encode()
    failure = failure_of(upload.error_code, upload.error, upload.error_field)
    return envelope([failure_out(failure, name)]).encode()


def _event(_run: Run, moment: Moment) -> str | None:
    """A picture is told of when it is there, or will not be."""
    return image_wire.TASK if moment is Moment.ENDED else None


def _pictured(notice: Notice, *, base_url: str) -> bytes:
    """The answer of one picture's run; its bytes are always at its URL (inferred)."""
    run = notice.run
    name = Named(task_type=image_wire.TASK, task_uuid=run.client_ref)
    made = [asset for asset in notice.assets.values() if asset.kind is Kind.IMAGE]
    if run.state is not RunState.SUCCEEDED:
        return envelope([failure_out(image_wire.failure_of(run), name)]).encode()
    if not made:
        return envelope([failure_out(image_wire.NO_PICTURE, name)]).encode()
    items = [
        image_wire.image_item(run, asset, url=media_url(asset.media_key, base_url=base_url), data=None)
        for asset in made
    ]
    return envelope([item_out(name, item) for item in items]).encode()


def _headers(_delivery: Delivery, _body: bytes, _secrets: Sequence[Secret], _now: datetime) -> Mapping[str, str]:
    return {}
