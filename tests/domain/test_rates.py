"""Rates: what fits, what must wait, and that a wait that was named is enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.rates import Rate, Verdict, take

THREE_A_MINUTE = Rate(requests=3, seconds=60)


def test_the_whole_allowance_may_be_used_at_once_and_comes_back_evenly() -> None:
    whole_at, said = 0.0, []
    for now in (1000.0, 1000.0, 1000.0, 1000.0, 1019.0, 1020.0, 1020.0):
        whole_at, verdict = take(whole_at, THREE_A_MINUTE, now=now)
        said.append((verdict.fits, verdict.remaining, round(verdict.retry_after)))

    assert said == [
        (True, 2, 0),
        (True, 1, 0),
        (True, 0, 0),
        (False, 0, 20),
        (False, 0, 1),
        (True, 0, 0),
        (False, 0, 20),
    ]


def test_a_verdict_tells_the_limit_and_when_everything_is_back() -> None:
    _, verdict = take(1010.0, THREE_A_MINUTE, now=1000.0)

    assert verdict == Verdict(limit=3, remaining=1, reset_after=30.0)


def test_who_was_away_for_long_has_no_more_than_the_allowance() -> None:
    whole_at, first = take(5.0, THREE_A_MINUTE, now=1_000_000.0)

    assert first.remaining == 2
    assert whole_at == pytest.approx(1_000_020.0)


def test_a_clock_that_was_set_back_costs_one_period_at_most() -> None:
    whole_at, verdict = take(1_000_000.0, THREE_A_MINUTE, now=1000.0)

    assert not verdict.fits
    assert verdict.retry_after == pytest.approx(20.0)
    assert whole_at == pytest.approx(1060.0)


@given(
    requests=st.integers(1, 1000),
    pauses=st.lists(st.floats(0, 30), min_size=1, max_size=60),
)
def test_no_period_sees_more_than_the_allowance_and_what_came_back_in_it(requests: int, pauses: list[float]) -> None:
    rate, now, whole_at, admitted = Rate(requests=requests, seconds=60), 1_000_000.0, 0.0, []
    for pause in pauses:
        now += pause
        whole_at, verdict = take(whole_at, rate, now=now)
        if verdict.fits:
            admitted.append(now)

    for at in admitted:
        within = sum(1 for other in admitted if at <= other <= at + 60)
        assert within <= 2 * requests


@given(requests=st.integers(1, 100_000), used=st.floats(0, 60))
def test_who_waits_as_long_as_was_said_fits(requests: int, used: float) -> None:
    rate = Rate(requests=requests)
    whole_at, verdict = take(1000.0 + used, rate, now=1000.0)

    if not verdict.fits:
        _, again = take(whole_at, rate, now=1000.0 + verdict.retry_after)
        assert again.fits
