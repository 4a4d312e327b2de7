"""ModelRunner webhooks: what is told, how it is signed and retried (guides/webhooks)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.base.signatures import standard_webhooks
from penstock.dialects.modelrunner.wire.requests import result_out
from penstock.dialects.modelrunner.wire.webhooks import WORDS
from penstock.domain.webhooks import CallbackPolicy, Moment, RetryPlan

if TYPE_CHECKING:
    from penstock.domain.runs import Run
    from penstock.domain.webhooks import Notice

_LARGEST_INPUT = 64 * 1024
_PLAN = RetryPlan(
    delays=(
        *(timedelta(seconds=5), timedelta(seconds=30)),
        *(timedelta(minutes=minutes) for minutes in (2, 5, 10, 20, 30, 45, 60)),
    ),
    within=timedelta(seconds=15),
    final=frozenset({410}),
)


def policy(base_url: str) -> CallbackPolicy:
    """Standard Webhooks, ten attempts in two hours; a body is the result as it stands at `base_url`."""

    def event(_run: Run, moment: Moment) -> str:
        return WORDS[moment]

    def body(notice: Notice) -> bytes:
        result = result_out(notice.run, assets=notice.assets, base_url=base_url, lines=notice.logs)
        told = {"event": notice.event, **result.model_dump(mode="json", by_alias=True)}
        size = len(json.dumps(told["input"]))
        if size > _LARGEST_INPUT:  # the JS client's types; what stands in the member is inferred
            told["input"] = {"_elided": f"{size} bytes; see the request"}
        return json.dumps(told, separators=(",", ":")).encode()

    return CallbackPolicy(plan=_PLAN, event=event, body=body, headers=standard_webhooks, signs_always=True)
