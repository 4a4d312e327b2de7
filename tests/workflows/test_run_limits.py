"""How many runs go on at a time, and how long each may take: whoever is over a limit waits, and every run ends."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from penstock.domain import runs as rules
from penstock.domain.catalog import Catalog
from penstock.domain.errors import ObjectStoreUnavailable, RateLimited
from penstock.domain.runs import RunFault, RunState
from penstock.ports.runners import RunCancelledError
from penstock.services.run_deadlines import OVERDUE_GRACE
from penstock.services.run_ends import RUN_JOB
from penstock.services.run_terms import RunTerms
from tests.support.core import HOUR, RUN_DEADLINE, at_once, open_core

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from penstock.domain.ids import AccountId
    from penstock.domain.jobs import Job
    from penstock.domain.runs import Run
    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.core import Behaviour, Core

DAY = timedelta(days=1)
SOON = timedelta(milliseconds=50)
_PATIENCE_SECONDS = 60.0
_MANY = 250
"""More attempts than an outage may last."""


def done(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    return "done"


@pytest.fixture
def core(core: Core) -> Core:
    core.models.behaviours |= {"model": done, "scarce": done}
    return core


def states(core: Core, *runs: Run) -> list[str]:
    return [core.runs.get(run.account_id, run.id).state.value for run in runs]


def waiting(core: Core, *runs: Run) -> list[bool]:
    return [core.runs.waits_for_place(core.runs.get(run.account_id, run.id)) for run in runs]


def while_running(core: Core, act: Behaviour) -> None:
    """Let the scarce model's first run do something of the test's, the others nothing."""
    left = [act]

    def first_or_other(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        model = left.pop() if left else done
        return model(inputs, context)

    core.models.behaviours["scarce"] = first_or_other


# --- places


def test_a_run_over_the_limit_waits_and_begins_when_a_place_is_free(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    first, second, other = (core.submit(who, "acme/scarce") for who in (acme, acme, zenith))
    free = core.submit(acme)
    seen: dict[str, object] = {}

    def look(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        core.worker.drain()
        seen["states"] = states(core, first, second, other, free)
        seen["waiting"] = waiting(core, first, second, other, free)
        seen["place"] = core.runs.place_in_queue(second)
        return "looked"

    while_running(core, look)
    assert waiting(core, first, second, other) == [False, False, False]

    core.worker.drain()

    assert seen == {
        "states": ["running", "queued", "succeeded", "succeeded"],
        "waiting": [False, True, False, False],
        "place": 0,
    }
    assert states(core, first, second) == ["succeeded", "succeeded"]
    assert core.events(acme, second.id) == ["run.queued", "run.started", "run.succeeded"]
    assert not core.has_jobs()


def test_the_limit_of_a_model_holds_for_everybody_together(core: Core) -> None:
    runs = [core.submit(core.open_account(name), "acme/scarce") for name in ("a", "b", "c")]
    seen: list[list[str]] = []

    def look_in_two(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        def look(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
            core.worker.drain()
            seen.append(states(core, *runs))
            return "looked"

        while_running(core, look)
        core.worker.drain(limit=1)
        return "looked"

    while_running(core, look_in_two)

    core.worker.drain()

    assert seen == [["running", "running", "queued"]]
    assert states(core, *runs) == ["succeeded"] * 3


def test_an_account_has_so_many_runs_of_all_models(sqlite_url: str, tmp_path: Path) -> None:
    with open_core(sqlite_url, tmp_path / "scratch", runs_per_account=1) as core:
        core.models.behaviours |= {"model": done, "scarce": done}
        acme, zenith = core.open_account("acme"), core.open_account("zenith")
        first, second, other = core.submit(acme, "acme/scarce"), core.submit(acme), core.submit(zenith)
        seen: list[list[str]] = []

        def look(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
            core.worker.drain()
            seen.append(states(core, first, second, other))
            return "looked"

        while_running(core, look)
        core.worker.drain()

        assert seen == [["running", "queued", "succeeded"]]
        assert states(core, first, second) == ["succeeded", "succeeded"]


def test_runs_that_begin_at_once_share_the_places(core_on_each_database: Core) -> None:
    core = core_on_each_database
    back: list[None] = []
    three_are_back = threading.Event()

    def stay(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        """Until the three that find no place are back."""
        return three_are_back.wait(_PATIENCE_SECONDS)

    def run() -> None:
        core.run_flow.run(jobs.pop())
        back.append(None)
        if len(back) == 3:
            three_are_back.set()

    core.models.behaviours["scarce"] = stay
    runs = [core.submit(core.open_account(f"a{n}"), "acme/scarce") for n in range(5)]
    jobs: list[Job] = [core.claim() for _ in runs]

    assert at_once(5, run) == [None] * 5

    assert Counter(states(core, *runs)) == {"succeeded": 2, "queued": 3}
    assert [core.runs.get(run.account_id, run.id).output for run in runs].count(True) == 2


def test_who_was_not_woken_looks_for_a_place_by_itself(core: Core) -> None:
    acme = core.open_account()
    first, second = core.submit(acme, "acme/scarce"), core.submit(acme, "acme/scarce")
    with core.database.write() as tx:
        tx.runs.replace(_running(core, first), was=RunState.QUEUED)
    jobs = {job.payload["run_id"]: job for job in (core.claim(), core.claim())}
    core.run_flow.run(jobs[second.id])
    with core.database.write() as tx:
        tx.runs.replace(rules.cancelled(_running(core, first), now=core.clock.now()), was=RunState.RUNNING)
    assert core.worker.drain() == 0
    assert waiting(core, second) == [False]

    core.clock.advance(timedelta(minutes=2))
    core.worker.drain()

    assert states(core, second) == ["succeeded"]


def test_a_place_is_offered_to_every_account_that_waits_for_the_model(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")

    def submit(account_id: AccountId, model: str = "acme/scarce") -> Run:
        core.clock.advance(SOON)
        return core.submit(account_id, model)

    first, *of_acme = (submit(acme) for _ in range(5))
    of_zenith = [submit(zenith) for _ in range(4)]
    unlike = submit(zenith, "acme/free")

    with core.database.read() as tx:
        turns = tx.run_queue.next_waiting(first, limit=4)
        all_turns = tx.run_queue.next_waiting(first, limit=50)

    assert turns == [first.id, of_zenith[0].id, of_acme[0].id, of_acme[1].id]
    assert set(all_turns) == {first.id, of_zenith[0].id, *(run.id for run in of_acme)}
    assert unlike.id not in all_turns


def test_waiting_for_a_place_is_no_outage(core: Core) -> None:
    acme = core.open_account()
    first, second = core.submit(acme, "acme/scarce"), core.submit(acme, "acme/scarce")
    with core.database.write() as tx:
        tx.runs.replace(_running(core, first), was=RunState.QUEUED)
    jobs = {job.payload["run_id"]: job for job in (core.claim(), core.claim())}
    core.run_flow.run(jobs[second.id])
    for _ in range(_MANY):
        with core.database.write() as tx:
            tx.jobs.wake(RUN_JOB, [second.id], now=core.clock.now())
        assert core.worker.drain() == 1
    with core.database.write() as tx:
        tx.runs.replace(rules.cancelled(_running(core, first), now=core.clock.now()), was=RunState.RUNNING)
        tx.jobs.wake(RUN_JOB, [second.id], now=core.clock.now())

    def unlucky(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        raise ObjectStoreUnavailable("away")

    while_running(core, unlucky)
    core.worker.drain()
    assert states(core, second) == ["running"]
    core.clock.advance(timedelta(minutes=2))
    core.worker.drain()

    assert states(core, second) == ["succeeded"]


def test_a_waiting_run_can_be_cancelled(core: Core) -> None:
    acme = core.open_account(credits_usd="1")
    core.submit(acme, "acme/scarce")
    second = core.submit(acme, "acme/scarce")

    def look(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        core.worker.drain()
        assert core.runs.cancel(acme, second.id).state is RunState.CANCELLED
        return "looked"

    while_running(core, look)
    core.worker.drain()
    core.clock.advance(HOUR)
    core.worker.drain()

    assert core.events(acme, second.id) == ["run.queued", "run.cancelled"]
    assert core.balance(acme) == Decimal("0.75")
    assert not core.has_jobs()


def test_an_account_asks_for_so_many_runs_of_a_model_in_a_day(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    core.submit(acme, "acme/scarce")
    core.clock.advance(HOUR)
    for _ in range(4):
        core.submit(acme, "acme/scarce")

    with pytest.raises(RateLimited) as refused:
        core.submit(acme, "acme/scarce")

    assert refused.value.retry_after == (DAY - HOUR).total_seconds()
    assert core.balance(acme) == Decimal("98.75")
    core.submit(acme)
    core.submit(zenith, "acme/scarce")
    core.clock.advance(DAY - HOUR)
    core.submit(acme, "acme/scarce")
    with pytest.raises(RateLimited):
        core.submit(acme, "acme/scarce")


def test_requests_that_come_at_once_share_the_day(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()

    answers = at_once(8, lambda: core.submit(acme, "acme/scarce"))

    assert Counter(type(answer).__name__ for answer in answers) == {"Run": 5, "RateLimited": 3}
    assert core.balance(acme) == Decimal("98.75")


# --- time


def assert_over_time(core: Core, run: Run) -> None:
    ended = core.runs.get(run.account_id, run.id)
    assert (ended.state, ended.fault) == (RunState.FAILED, RunFault.TIMEOUT)
    assert ended.error == f"the run did not end within {RUN_DEADLINE.total_seconds():.0f} s"
    assert core.balance(run.account_id) == Decimal(1)
    assert core.events(run.account_id, run.id)[-1] == "run.failed"


@pytest.fixture
def acme(core: Core) -> AccountId:
    return core.open_account(credits_usd="1")


def test_a_run_that_nobody_begins_in_time_fails(core: Core, acme: AccountId) -> None:
    run = core.submit(acme)
    assert run.deadline_at == core.clock.now() + RUN_DEADLINE

    core.clock.advance(RUN_DEADLINE)
    core.worker.drain()

    assert_over_time(core, run)
    assert not core.has_jobs()


def test_a_run_whose_worker_is_gone_is_ended_by_the_sweep(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account(credits_usd="1")
    queued, began = core.submit(acme), core.submit(acme, "acme/free")
    with core.database.write() as tx:
        tx.runs.replace(_running(core, began), was=RunState.QUEUED)
    core.clock.advance(RUN_DEADLINE)
    assert core.deadlines.expire(limit=10) == 0
    later = core.submit(acme, "acme/free")

    core.clock.advance(OVERDUE_GRACE)

    assert [core.deadlines.expire(limit=1) for _ in range(3)] == [1, 1, 0]
    assert_over_time(core, queued)
    assert_over_time(core, began)
    assert states(core, later) == ["queued"]
    core.models.behaviours["model"] = done
    core.worker.drain()
    assert states(core, queued, began, later) == ["failed", "failed", "succeeded"]


def test_a_model_that_does_not_listen_is_not_waited_for(core: Core, acme: AccountId) -> None:
    def deaf(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        core.clock.advance(RUN_DEADLINE + OVERDUE_GRACE)
        assert core.deadlines.expire(limit=10) == 1
        context.progress(0.9)
        return "too late"

    core.models.behaviours["model"] = deaf
    run = core.submit(acme)

    core.worker.drain()

    assert_over_time(core, run)
    assert core.runs.get(acme, run.id).output is None


def test_an_attempt_has_no_more_time_than_its_run(core: Core, acme: AccountId) -> None:
    def listening(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        while not context.cancelled():
            context.progress(0.5)
        raise RunCancelledError

    core.models.behaviours["model"] = listening
    run = core.submit(acme)
    core.clock.advance(RUN_DEADLINE - SOON)

    core.worker.drain()

    assert_over_time(core, run)
    assert not core.has_jobs()


def test_a_model_may_have_a_time_limit_of_its_own(core: Core, acme: AccountId) -> None:
    terms = RunTerms(core.catalog, timeout=HOUR, deadline=DAY)

    assert terms.timeout(core.submit(acme, "acme/scarce")) == timedelta(seconds=30)
    assert terms.timeout(core.submit(acme)) == HOUR


def test_a_run_of_a_model_that_left_the_catalog_has_the_usual_terms(core: Core, acme: AccountId) -> None:
    run = core.submit(acme, "acme/scarce")
    terms = RunTerms(Catalog(()), timeout=HOUR, deadline=DAY)

    assert terms.timeout(run) == HOUR
    with core.database.read() as tx:
        assert not terms.must_wait(tx, run)


def _running(core: Core, run: Run) -> Run:
    return rules.started(run, now=core.clock.now())
