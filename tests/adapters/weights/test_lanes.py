from __future__ import annotations

import threading
from functools import partial

import pytest

from penstock.adapters.weights.lanes import Lane


def test_a_lane_does_its_calls_in_order_in_a_thread_of_its_own() -> None:
    done: list[tuple[int, int]] = []
    lane = Lane("test")

    def note(number: int) -> None:
        done.append((number, threading.get_ident()))

    for number in range(50):
        lane.do(partial(note, number))
    lane.drain()
    lane.close()

    assert [number for number, _ in done] == list(range(50))
    assert {thread for _, thread in done} != {threading.get_ident()}


def fail() -> None:
    raise ZeroDivisionError


def test_a_failure_ends_the_work_and_is_told_to_whoever_asks_next() -> None:
    done: list[str] = []
    lane = Lane("test")
    lane.do(fail)
    with pytest.raises(ZeroDivisionError):
        lane.drain()

    with pytest.raises(ZeroDivisionError):
        lane.do(lambda: done.append("more"))
    lane.close()
    lane.close()

    assert done == []


def test_a_lane_that_is_full_lets_whoever_brings_work_wait_and_fails_nobody() -> None:
    gate, done = threading.Event(), list[int]()

    def bring() -> None:
        for number in range(20):
            lane.do(partial(done.append, number))

    lane = Lane("test")
    lane.do(gate.wait)  # type: ignore[arg-type]  # what it gives is of no interest
    bringing = threading.Thread(target=bring)
    bringing.start()
    bringing.join(0.05)

    assert bringing.is_alive()
    gate.set()
    bringing.join(30)
    lane.drain()
    lane.close()
    assert len(done) == 20
