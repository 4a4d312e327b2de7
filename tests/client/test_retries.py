from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.client import ConnectionFailedError, PenstockApiError, PenstockClientError
from penstock.client.retries import Retries


def refused(status: int, retry_after: float | None = None) -> PenstockApiError:
    return PenstockApiError(status=status, code="code", detail="detail", retry_after=retry_after)


def test_pauses_double_up_to_a_bound() -> None:
    retries = Retries(10, chance=lambda: 1.0)

    pauses = [retries.after(ConnectionFailedError("reset"), attempt) for attempt in range(1, 9)]

    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 8, 8]


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 10))
def test_chance_takes_at_most_half_of_a_pause(chance: float, attempt: int) -> None:
    error = ConnectionFailedError("reset")
    full = Retries(10, chance=lambda: 1.0).after(error, attempt)

    assert full / 2 <= Retries(10, chance=lambda: chance).after(error, attempt) <= full


def test_the_error_is_raised_when_the_attempts_are_used_up() -> None:
    error = ConnectionFailedError("reset")

    with pytest.raises(ConnectionFailedError) as caught:
        Retries(2).after(error, 3)

    assert caught.value is error


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 422, 501, 507])
def test_what_would_fail_again_is_not_repeated(status: int) -> None:
    with pytest.raises(PenstockApiError):
        Retries(4).after(refused(status), 1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_repeated(status: int) -> None:
    assert Retries(4).after(refused(status), 1) > 0


def test_a_connection_that_cannot_work_is_not_tried_again() -> None:
    with pytest.raises(ConnectionFailedError):
        Retries(4).after(ConnectionFailedError("no such scheme", passing=False), 1)


def test_the_server_can_ask_for_a_longer_pause() -> None:
    assert Retries(4).after(refused(503, retry_after=7), 1) == 7


def test_the_server_cannot_ask_for_a_shorter_one() -> None:
    assert Retries(4, chance=lambda: 1.0).after(refused(503, retry_after=0), 1) == 0.25


def test_each_failure_that_is_not_the_last_word_is_told() -> None:
    told: list[tuple[PenstockClientError, float]] = []
    retries = Retries(2, chance=lambda: 1.0, on_retry=lambda error, pause: told.append((error, pause)))
    error = ConnectionFailedError("reset")

    retries.after(error, 1)
    retries.after(refused(429, 3), 2)
    for hopeless, attempt in ((refused(404), 1), (error, 3)):
        with pytest.raises((PenstockApiError, ConnectionFailedError)):
            retries.after(hopeless, attempt)

    assert [pause for _, pause in told] == [0.25, 3]
    assert told[0][0] is error
