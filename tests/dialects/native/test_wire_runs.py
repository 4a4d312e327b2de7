"""A run on the wire: where it stands, how far it is, and why it failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from penstock.dialects.native.wire.runs import run_out
from penstock.domain import runs as rules
from penstock.domain.ids import AccountId
from penstock.domain.runs import Run, RunFault
from tests.support.records import make_run
from tests.support.repeatable import NOON

BASE_URL = "http://api.test/v1"


def shown(run: Run, *, throttled: bool = False) -> dict[str, object]:
    return run_out(run, assets={}, base_url=BASE_URL, throttled=throttled).model_dump()


def test_a_run_tells_how_far_it_is_what_it_waits_for_and_when_it_must_have_ended() -> None:
    run = make_run(1, AccountId("acme"), error=None, progress=0.25, deadline_at=NOON + timedelta(hours=6))

    said = shown(run, throttled=True)

    assert (said["progress"], said["throttled"]) == (0.25, True)
    assert said["deadline_at"] == "2026-11-21T18:00:00.123Z"
    assert said["error"] is None
    assert shown(make_run(1, AccountId("acme")))["deadline_at"] is None


def test_a_run_that_succeeded_is_at_its_end_whatever_it_said_last_and_one_that_failed_is_not() -> None:
    for told in (None, 0.5):
        running = replace(rules.started(make_run(1, AccountId("acme")), now=NOON), progress=told)

        assert shown(rules.succeeded(running, output={}, cost=Decimal(0), now=NOON))["progress"] == 1.0
        assert shown(rules.failed(running, error="no luck", now=NOON))["progress"] == told


@pytest.mark.parametrize("fault", list(RunFault))
def test_a_failed_run_tells_the_fault_and_the_reason(fault: RunFault) -> None:
    running = rules.started(make_run(1, AccountId("acme")), now=NOON)

    said = shown(rules.failed(running, error="no luck", now=NOON, fault=fault))

    assert said["error"] == {"code": fault.value, "message": "no luck"}
