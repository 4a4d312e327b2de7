"""Payloads that shall not be kept: removed once their time after the run's end is over, however often that is tried."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.ports.jobs import LeaseLostError
from penstock.services.runs import PAYLOAD_JOB, NewRun
from penstock.workflows.payload_removal import PayloadRemoval

if TYPE_CHECKING:
    from tests.support.core import Core

MINUTE = timedelta(minutes=1)


def test_a_removal_taken_over_by_another_worker_removes_nothing(core: Core) -> None:
    account_id = core.open_account()
    core.models.behaviours["model"] = lambda _inputs, _context: {"seen": True}
    asked = NewRun(dialect="native", model="acme/model", inputs={"text": "a"}, payload_lifetime=MINUTE)
    run = core.runs.submit(account_id, asked)
    core.worker.drain()
    core.clock.advance(2 * MINUTE)
    late = core.claim(PAYLOAD_JOB)
    core.clock.advance(timedelta(hours=1))
    current = core.claim(PAYLOAD_JOB)
    removal = PayloadRemoval(core.database, clock=core.clock)

    with pytest.raises(LeaseLostError):
        removal.run(late)
    assert core.runs.get(account_id, run.id).output == {"seen": True}

    removal.run(current)
    left = core.runs.get(account_id, run.id)
    assert (left.inputs, left.output, left.payloads_deleted_at is None) == ({}, None, False)
    assert not core.has_jobs(PAYLOAD_JOB)


def test_a_removal_waits_for_the_end_of_its_run_and_for_its_time_after_it(core: Core) -> None:
    account_id = core.open_account()
    core.models.behaviours["model"] = lambda _inputs, _context: {}
    asked = NewRun(dialect="native", model="acme/model", inputs={}, payload_lifetime=MINUTE)
    run = core.runs.submit(account_id, asked)
    removal = PayloadRemoval(core.database, clock=core.clock)
    core.clock.advance(MINUTE)

    removal.run(core.claim(PAYLOAD_JOB))
    assert core.runs.get(account_id, run.id).payloads_deleted_at is None
    core.worker.drain()
    core.clock.advance(MINUTE)
    core.worker.drain()

    assert core.runs.get(account_id, run.id).payloads_deleted_at is not None
