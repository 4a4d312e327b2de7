"""Power loss on any file system: whatever POSIX allows to be left at any moment, nothing acknowledged is lost (P1, F2).

A store works under strace; the trace is followed in a model that forgets all that was not fsynced. This needs no root,
and finds an order that is wrong although ext4 and XFS forgive it.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.store.journal import Journal
from tests.store.support import StoreProcess, store_in_thread
from tests.store.workload import Client, require_promises, require_sound
from tests.support.posix import Tree
from tests.support.strace import ANSWERS, BYTES, NAMES, SYNCS, calls, needs_strace, traced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.strace import Call

pytestmark = needs_strace

REQUESTS = 60
SIZES = (0, 10, 5_000, 60_000)
ROUNDS_IN_CI = 2
MANY_ROUNDS = 40
LONGEST_WRITE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a store did, from a directory that held what `start` holds; one journal for each number of 2xx answers."""

    start: Path
    root: str
    calls: tuple[Call, ...]
    journals: tuple[Journal, ...]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """One client at work, one request after the other: no other fsync helps a forgotten one."""
    place, journal = tmp_path_factory.mktemp("recording"), Journal()
    directory, trace = place / "data", place / "trace"
    journals = [journal.frozen()]
    with StoreProcess(directory, "--no-log") as process:
        client = Client(process.ready(), journal, number=0, seed=7, sizes=SIZES, part_sizes=SIZES)
        process.freeze()
        shutil.copytree(directory, place / "start")
        process.thaw()
        with traced(process.process.pid, trace, NAMES, BYTES, SYNCS, ANSWERS, longest=LONGEST_WRITE):
            while journal.acknowledged < REQUESTS:
                client.change()
                journals += [journal.frozen() for _ in range(journal.acknowledged + 1 - len(journals))]
    return Recording(start=place / "start", root=str(directory), calls=tuple(calls(trace)), journals=tuple(journals))


def is_answer(call: Call) -> bool:
    return call.name.startswith("send") and call.data.startswith(b"HTTP/1.1 2")


def look_at_states(
    recording: Recording, place: Path, *, seed: int, forgotten: Callable[[Call], bool] = lambda _: False
) -> int:
    """Start a store on what may be left after some of the calls. Returns how many states it looked at."""
    chance, looked = random.Random(seed), 0  # noqa: S311 - which states, not secrets
    tree, answers = Tree(recording.start, seen_as=recording.root), 0
    for call in recording.calls:
        if not forgotten(call):
            tree.apply(call)
        answers += is_answer(call)
        if chance.random() < likelihood(call):
            tree.leave(place, chance)
            require_state(place, recording.journals[answers : answers + 2])
            shutil.rmtree(place)
            looked += 1
    return looked


def likelihood(call: Call) -> float:
    """How often to look after a call: most is at stake when a name has changed and nothing is promised yet."""
    if call.name.startswith(("rename", "link", "unlink")):
        return 0.5
    return 0.1 if is_answer(call) else 0.02


def require_state(directory: Path, journals: tuple[Journal, ...]) -> None:
    """All is as acknowledged, or as the request that was under way would have made it."""
    with store_in_thread(directory) as store:
        now, *next_one = journals
        require_promises(store, now.frozen(), *next_one)
    require_sound(directory)


def test_whatever_a_power_loss_leaves_nothing_acknowledged_is_lost(recording: Recording, memory: Path) -> None:
    assert sum(map(is_answer, recording.calls)) == len(recording.journals) - 1

    assert sum(look_at_states(recording, memory / "left", seed=seed) for seed in range(ROUNDS_IN_CI)) >= REQUESTS


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_acknowledged_is_lost_in_very_many_states(recording: Recording, memory: Path) -> None:
    looked = sum(look_at_states(recording, memory / "left", seed=seed) for seed in range(1_000, 1_000 + MANY_ROUNDS))

    assert looked >= MANY_ROUNDS * REQUESTS // 2


@pytest.mark.parametrize(
    "synced",
    ["tmp", "objects"],
    ids=["of files", "of directories"],
)
def test_a_missing_fsync_is_found(recording: Recording, memory: Path, synced: str) -> None:
    """The control: the same trace, as if a kind of fsync had not been in it."""

    def forgotten(call: Call) -> bool:
        return call.name == "fsync" and call.path.startswith(f"{recording.root}/{synced}/")

    with pytest.raises(AssertionError):
        look_at_states(recording, memory / "left", seed=1, forgotten=forgotten)
