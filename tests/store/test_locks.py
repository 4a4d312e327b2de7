"""One holder per shard, whoever else asks: a thread, or another process (two openings of the file act as two)."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from penstock.store.locks import ShardLocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

PATIENCE_SECONDS = 20.0
A_MOMENT_SECONDS = 0.1

HOLDER = """
import sys
from penstock.store.locks import ShardLocks
with ShardLocks(sys.argv[1])["ab"]:
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["threads", "processes"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ShardLocks, ShardLocks]]:
    """The locks as two threads of one process see them, and as two processes do."""
    path = str(tmp_path / "locks")
    one = ShardLocks(None if request.param == "threads" else path)
    other = one if request.param == "threads" else ShardLocks(path)
    yield one, other
    one.close()
    if other is not one:
        other.close()


def entering(lock: Callable[[], AbstractContextManager[object]]) -> threading.Event:
    """Set once a thread of its own has held a lock and given it back."""
    entered = threading.Event()

    def enter() -> None:
        with lock():
            pass
        entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered


def test_a_shard_has_one_holder_at_a_time(pair: tuple[ShardLocks, ShardLocks]) -> None:
    one, other = pair
    with one["ab"]:
        entered = entering(lambda: other["ab"])

        assert not entered.wait(A_MOMENT_SECONDS)

    assert entered.wait(PATIENCE_SECONDS)


def test_another_shard_is_free(pair: tuple[ShardLocks, ShardLocks]) -> None:
    one, other = pair
    with one["ab"]:
        assert entering(lambda: other["ac"]).wait(PATIENCE_SECONDS)


def test_all_shards_are_held_together(pair: tuple[ShardLocks, ShardLocks]) -> None:
    one, other = pair
    with one.all():
        entered = [entering(partial(other.__getitem__, shard)) for shard in ("00", "7f", "ff")]

        assert not any(event.wait(A_MOMENT_SECONDS) for event in entered)

    assert all(event.wait(PATIENCE_SECONDS) for event in entered)


def test_all_shards_wait_for_the_holder_of_one(pair: tuple[ShardLocks, ShardLocks]) -> None:
    one, other = pair
    with one["ff"]:
        entered = entering(other.all)

        assert not entered.wait(A_MOMENT_SECONDS)

    assert entered.wait(PATIENCE_SECONDS)


def test_two_processes_whose_threads_wait_crosswise_are_in_no_deadlock(tmp_path: Path) -> None:
    path = str(tmp_path / "locks")
    one, other = ShardLocks(path), ShardLocks(path)
    with one["01"], other["02"]:
        waiting = [entering(lambda: one["02"]), entering(lambda: other["01"])]

        assert not any(event.wait(A_MOMENT_SECONDS) for event in waiting)

    assert all(event.wait(PATIENCE_SECONDS) for event in waiting)
    one.close()
    other.close()


def test_the_lock_of_a_process_that_dies_is_free_again(tmp_path: Path) -> None:
    path = str(tmp_path / "locks")
    locks = ShardLocks(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        entered = entering(lambda: locks["ab"])
        assert not entered.wait(A_MOMENT_SECONDS)

        holder.kill()

        assert entered.wait(PATIENCE_SECONDS)
    locks.close()
