from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from penstock.adapters.db.line import Line
from tests.support.server import wait_until

LONG = 30.0


def test_one_is_served_at_a_time() -> None:
    line, inside, most = Line(), 0, 0

    def visit(_: int) -> None:
        nonlocal inside, most
        assert line.enter(timeout=LONG)
        inside += 1
        most = max(most, inside)
        inside -= 1
        line.leave()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(400)))

    assert most == 1
    assert line.enter(timeout=0)


def test_who_came_first_is_served_first() -> None:
    line = Line()
    served: list[int] = []
    line.enter(timeout=LONG)

    def visit(number: int) -> None:
        assert line.enter(timeout=LONG)
        served.append(number)
        line.leave()

    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(visit, number)
            wait_until(lambda: line.waiting() > number, "the visitor waits")  # noqa: B023 - asked at once
        line.leave()

    assert served == [0, 1, 2, 3, 4]


def test_who_waits_too_long_goes_away_and_is_not_served() -> None:
    line = Line()
    line.enter(timeout=LONG)

    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(line.enter, timeout=0.01).result()

    assert not line.pass_on()
    line.leave()
    assert line.enter(timeout=0)


def test_the_turn_is_passed_on_only_when_somebody_waits() -> None:
    line = Line()
    line.enter(timeout=LONG)
    assert not line.pass_on()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(line.enter, timeout=LONG)
        wait_until(lambda: line.waiting() == 1, "a visitor waits")
        assert line.pass_on()
        assert waiting.result()


def test_a_thread_does_not_wait_for_itself() -> None:
    line = Line()
    line.enter(timeout=LONG)

    with pytest.raises(RuntimeError):
        line.enter(timeout=LONG)


def test_no_turn_is_lost_when_waiting_ends_as_it_comes() -> None:
    line = Line()
    served = threading.Semaphore(0)

    def visit(_: int) -> None:
        if line.enter(timeout=0.0001):
            served.release()
            line.leave()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(2000)))

    assert served.acquire(timeout=0)
    assert line.enter(timeout=0)
