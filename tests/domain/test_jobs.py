"""Jobs: how long to wait before the next attempt."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.jobs import HEARTBEAT, LEASE, retry_delay

JITTER = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 1), (1, 1), (2, 2), (3, 4), (7, 64), (10, 512), (11, 600), (50, 600)]
)
def test_the_delay_doubles_from_one_second_to_ten_minutes(failures: int, seconds: int) -> None:
    assert retry_delay(failures, jitter=0.5) == timedelta(seconds=seconds)


@given(st.integers(min_value=0, max_value=100_000), JITTER)
def test_jitter_takes_half_or_adds_half_whatever_the_number_of_failures(failures: int, jitter: float) -> None:
    middle = retry_delay(failures, jitter=0.5)

    assert middle / 2 <= retry_delay(failures, jitter=jitter) <= middle * 1.5
    assert retry_delay(failures, jitter=0) == middle / 2


def test_a_lease_outlasts_several_heartbeats() -> None:
    assert LEASE >= 3 * HEARTBEAT
