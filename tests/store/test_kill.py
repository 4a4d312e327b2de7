"""kill -9 at random moments of mixed work: nothing acknowledged is lost, nothing partial shows (P1, P2, P12, F1)."""

from __future__ import annotations

import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.store.journal import Journal
from tests.store.support import PATIENCE_SECONDS, StoreProcess, new_key_file
from tests.store.workload import CLIENTS, MOST_AT_ONCE, clients_at_work, require_promises, require_sound, tidy_up

if TYPE_CHECKING:
    from pathlib import Path


def kill_again_and_again(
    directory: Path, *options: str, rounds: int, seed: int, key_file: Path | None = None
) -> Journal:
    """Every round looks at what the one before has left, works, and dies."""
    chance, journal = random.Random(seed), Journal()  # noqa: S311 - how long a round lasts
    if key_file:
        options = (*options, "--encryption-key-file", str(key_file))
    for number in range(rounds):
        with StoreProcess(directory, "--no-log", *options) as process:
            store = process.ready()
            require_promises(store, journal)
            with clients_at_work(store, journal, seed=seed + number) as dying:
                journal.wait_for(chance.randrange(1, 120), seconds=2 * PATIENCE_SECONDS)
                dying.set()
                process.kill_all()
        require_sound(directory, index_is_behind=True, key_file=key_file)
    require_end(directory, journal, *options, deaths=rounds, key_file=key_file)
    return journal


def require_end(directory: Path, journal: Journal, *options: str, deaths: int, key_file: Path | None = None) -> None:
    """After all, a store with every promise kept, which leaves nothing that the janitor will not find."""
    with StoreProcess(directory, "--no-log", *options) as process:
        require_promises(process.ready(), journal)
        process.end()
    # A death leaves at most what the requests of that moment were about to remove, or had not yet named.
    assert require_sound(directory, key_file=key_file) <= deaths * CLIENTS * MOST_AT_ONCE
    tidy_up(directory, key_file=key_file)
    assert require_sound(directory, key_file=key_file) == 0


def test_nothing_is_lost_when_the_store_is_killed(tmp_path: Path) -> None:
    journal = kill_again_and_again(tmp_path, rounds=5, seed=1)

    assert journal.acknowledged >= 5


def test_nothing_is_lost_when_an_encrypted_store_is_killed(tmp_path: Path) -> None:
    key_file = new_key_file(tmp_path / "key")

    journal = kill_again_and_again(tmp_path / "data", rounds=3, seed=10, key_file=key_file)

    assert journal.acknowledged >= 3


def test_nothing_is_lost_when_all_of_several_processes_are_killed(tmp_path: Path) -> None:
    journal = kill_again_and_again(tmp_path, "--processes", "2", rounds=3, seed=20)

    assert journal.acknowledged >= 3


def kill_one_of_two_again_and_again(directory: Path, *, rounds: int, seed: int) -> Journal:
    """While clients work, one process after the other dies and is replaced; at last all die."""
    chance, journal = random.Random(seed), Journal()  # noqa: S311 - which process, and when
    with StoreProcess(directory, "--no-log", "--processes", "2") as process:
        store = process.ready()
        with clients_at_work(store, journal, seed=seed, disturbed=True) as dying:
            for _ in range(rounds):
                journal.wait_for(chance.randrange(1, 60), seconds=2 * PATIENCE_SECONDS)
                os.kill(chance.choice(process.children()), signal.SIGKILL)
            journal.wait_for(20, seconds=2 * PATIENCE_SECONDS)
            dying.set()
            process.kill_all()
    require_end(directory, journal, "--processes", "2", deaths=rounds + 1)
    return journal


def test_nothing_is_lost_when_one_process_after_the_other_is_killed(tmp_path: Path) -> None:
    journal = kill_one_of_two_again_and_again(tmp_path, rounds=4, seed=30)

    assert journal.acknowledged >= 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_however_often_the_store_is_killed(tmp_path: Path) -> None:
    journal = kill_again_and_again(tmp_path, rounds=200, seed=1_000)

    assert journal.acknowledged >= 200


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_however_often_an_encrypted_store_of_several_processes_is_killed(tmp_path: Path) -> None:
    key_file = new_key_file(tmp_path / "key")

    journal = kill_again_and_again(tmp_path / "data", "--processes", "2", rounds=50, seed=2_000, key_file=key_file)

    assert journal.acknowledged >= 50


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_however_often_one_process_is_killed(tmp_path: Path) -> None:
    journal = kill_one_of_two_again_and_again(tmp_path, rounds=50, seed=3_000)

    assert journal.acknowledged >= 50
