"""Death at every step of every change, one after the other: before or after, never between; the retry succeeds (F3)."""

from __future__ import annotations

import shutil
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.store.changes import CHANGES, DELETE_MANY, LARGE, OBJECTS, PARTS, Change, State, state_of
from tests.store.support import StoreProcess, store_in_thread
from tests.store.workload import require_sound

if TYPE_CHECKING:
    from pathlib import Path

MOST_STRAYS = 2  # what the key held before, and a part that was not listed
KEPT = {"large": LARGE, "other copy": OBJECTS["small"], "joined": b"".join(PARTS.values())}


@pytest.mark.parametrize("name", CHANGES)
def test_death_at_any_step_leaves_the_old_or_the_new_and_the_retry_succeeds(
    filled: Path, memory: Path, name: str
) -> None:
    change, states, repeated = CHANGES[name], list[State](), list[State]()

    for step in count(1):
        directory = memory / str(step)
        shutil.copytree(filled, directory)
        survived = survives(directory, step, change)
        with store_in_thread(directory) as store:
            states.append(state_of(store))
            assert change.ask(store).status in change.answers
            repeated.append(state_of(store))
        assert require_sound(directory) <= MOST_STRAYS
        shutil.rmtree(directory)
        if survived:
            break

    before, after = states[0], states[-1]  # the first step is one of the start: nothing was asked yet
    assert before != after
    assert repeated == [after] * len(repeated)
    assert states == [before] * states.count(before) + [after] * states.count(after)
    assert states.count(after) >= 2  # one that died after it, and the survivor


def test_deletions_of_one_request_that_dies_happen_one_by_one(filled: Path, memory: Path) -> None:
    for step in count(1):
        directory = memory / str(step)
        shutil.copytree(filled, directory)
        survived = survives(directory, step, DELETE_MANY)
        with store_in_thread(directory) as store:
            left, *_ = state_of(store)
            assert left.items() >= KEPT.items()
            assert DELETE_MANY.ask(store).status in DELETE_MANY.answers
            assert state_of(store)[0] == KEPT
        assert require_sound(directory) <= MOST_STRAYS
        if survived:
            assert left == KEPT
            return


def survives(directory: Path, step: int, change: Change) -> bool:
    """Ask for a change of a store that dies at the given step, counted from its start. Whether it had not so many."""
    with StoreProcess(directory, "--no-log", failpoint=f"*:{step}") as process:
        try:
            response = change.ask(process.ready())
        except (OSError, EOFError):
            assert process.exit_status() == 9
            return False
        assert response.status in change.answers
        process.kill()
        return True
