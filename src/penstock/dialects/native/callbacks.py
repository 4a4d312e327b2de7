"""How the native API tells somebody's server what became of a run: Standard Webhooks, for a day."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.base.signatures import standard_webhooks
from penstock.dialects.native.wire.webhooks import delivery_body
from penstock.domain.webhooks import CallbackPolicy, Moment, RetryPlan

if TYPE_CHECKING:
    from penstock.domain.runs import Run
    from penstock.domain.webhooks import Notice

# The schedule that Standard Webhooks propose, which takes more than a day (F33).
_PLAN = RetryPlan(
    delays=(
        *(timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)),
        *(timedelta(hours=hours) for hours in (2, 5, 10, 14)),
    ),
    within=timedelta(seconds=15),
    final=frozenset({410}),
    patience=50,
)


def policy(base_url: str) -> CallbackPolicy:
    """Runs are told as the API at `base_url` shows them."""

    def event(run: Run, moment: Moment) -> str:
        return "run.started" if moment is Moment.STARTED else f"run.{run.state.value}"

    def body(notice: Notice) -> bytes:
        return delivery_body(notice, base_url=base_url)

    return CallbackPolicy(
        plan=_PLAN, event=event, body=body, headers=standard_webhooks, endpoints=True, signs_always=True
    )
