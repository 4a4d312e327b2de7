"""Runs: the life cycle, cancellation, metadata, and the files that an output names."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from penstock.domain import runs
from penstock.domain.errors import IllegalTransition, InvalidField, RunNotFinished
from penstock.domain.ids import AccountId
from penstock.domain.runs import Run, RunEvent, RunState
from tests.support.records import NOW, make_run

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS: dict[RunEvent, Callable[[Run], Run]] = {
    RunEvent.START: lambda run: runs.started(run, now=NOW),
    RunEvent.SUCCEED: lambda run: runs.succeeded(run, output={"n": 1}, cost=Decimal(1), now=NOW),
    RunEvent.FAIL: lambda run: runs.failed(run, error="no", now=NOW),
    RunEvent.CANCEL: lambda run: runs.cancelled(run, now=NOW),
}
LEGAL = {
    ("queued", "start"): "running",
    ("queued", "fail"): "failed",
    ("queued", "cancel"): "cancelled",
    ("running", "start"): "running",
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "cancel"): "cancelled",
}


def a_run(**changes: object) -> Run:
    fresh = {"output": None, "error": None, "cost": None, "started_at": None, "finished_at": None}
    return make_run(1, AccountId("acme"), **{**fresh, **changes})


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("event", RunEvent)
def test_every_event_in_every_state_leads_where_the_table_says_or_raises(state: RunState, event: RunEvent) -> None:
    run = a_run(state=state)
    following = LEGAL.get((state.value, event.value))

    if following is not None:
        assert EVENTS[event](run).state.value == following
    else:
        with pytest.raises(IllegalTransition):
            EVENTS[event](run)

    assert run == a_run(state=state)


def test_the_table_has_no_pair_beyond_those() -> None:
    assert {(s.value, e.value): to.value for (s, e), to in runs.RUN_TABLE.items()} == LEGAL


def test_the_first_start_counts() -> None:
    first = runs.started(a_run(), now=NOW)
    again = runs.started(first, now=NOW + timedelta(minutes=5))

    assert first.started_at == again.started_at == NOW


def test_an_end_records_what_it_was() -> None:
    running = a_run(state=RunState.RUNNING)

    succeeded = runs.succeeded(running, output=[1], cost=Decimal("0.5"), now=NOW)
    failed = runs.failed(running, error="no subject found", now=NOW)
    cancelled = runs.cancelled(running, now=NOW)

    assert (succeeded.output, succeeded.cost, succeeded.finished_at) == ([1], Decimal("0.5"), NOW)
    assert (failed.error, failed.cost, failed.finished_at) == ("no subject found", None, NOW)
    assert (cancelled.error, cancelled.cost, cancelled.finished_at) == (None, None, NOW)


# --- cancellation


def test_a_queued_run_is_cancelled_at_once() -> None:
    assert runs.cancel_wanted(a_run(), now=NOW) == runs.cancelled(a_run(), now=NOW)


def test_a_running_run_is_only_marked() -> None:
    marked = runs.cancel_wanted(a_run(state=RunState.RUNNING), now=NOW)

    assert (marked.state, marked.cancel_requested, marked.finished_at) == (RunState.RUNNING, True, None)
    assert runs.cancel_wanted(marked, now=NOW) == marked


@pytest.mark.parametrize("state", [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED])
def test_a_finished_run_stays_as_it_is(state: RunState) -> None:
    assert runs.cancel_wanted(a_run(state=state), now=NOW) == a_run(state=state)


@pytest.mark.parametrize("state", RunState)
def test_a_result_is_there_only_at_the_end(state: RunState) -> None:
    if state in {RunState.QUEUED, RunState.RUNNING}:
        with pytest.raises(RunNotFinished) as caught:
            runs.require_finished(a_run(state=state))
        assert caught.value.state == state.value
    else:
        runs.require_finished(a_run(state=state))
        assert runs.is_finished(a_run(state=state))


# --- metadata


def test_metadata_within_the_limits_is_given_back() -> None:
    largest: dict[str, object] = {f"{n:064}": "é" * 512 for n in range(16)}

    assert runs.check_metadata({}) == {}
    assert runs.check_metadata({"k": ""}) == {"k": ""}
    assert runs.check_metadata(largest) == largest


@pytest.mark.parametrize(
    "metadata",
    [
        {str(n): "" for n in range(17)},
        {"": "x"},
        {"k" * 65: "x"},
        {"k": "x" * 513},
        {"k": 1},
        {"k": None},
        {"k": True},
        {"k": ["x"]},
        {"k": {"nested": "x"}},
    ],
)
def test_metadata_beyond_the_limits_is_refused(metadata: dict[str, object]) -> None:
    with pytest.raises(InvalidField) as caught:
        runs.check_metadata(metadata)

    assert caught.value.path[0] == "metadata"


# --- output


def test_the_assets_of_an_output_are_found_in_document_order_at_any_depth() -> None:
    output = {
        "image": {"$asset": "a"},
        "more": [{"$asset": "b"}, [{"deep": {"$asset": "c"}}]],
        "text": "$asset",
        "both": {"$asset": "no mark", "other": 1},
        "number": 7,
    }

    assert runs.output_assets(output) == ("a", "b", "c")
    assert runs.output_assets(None) == runs.output_assets("x") == runs.output_assets({}) == ()


def test_each_file_of_an_output_can_be_shown_in_another_way_and_the_rest_stays() -> None:
    output = {"image": {"$asset": "a"}, "list": [1, {"$asset": "b"}], "plain": {"x": None}}

    shown = runs.with_assets(output, lambda asset_id: f"<{asset_id}>")

    assert shown == {"image": "<a>", "list": [1, "<b>"], "plain": {"x": None}}
    assert output == {"image": {"$asset": "a"}, "list": [1, {"$asset": "b"}], "plain": {"x": None}}


def test_metadata_of_any_shape_may_take_so_many_bytes() -> None:
    nested = {"a": [1, None, {"b": "é"}]}

    assert runs.check_metadata(nested, limit=64) == nested
    with pytest.raises(InvalidField, match="at most 64 bytes"):
        runs.check_metadata({"a": "é" * 20}, limit=64)
