"""kill -9 at random moments of mixed work: nothing acknowledged is lost, nothing partial shows (P1, P2, P12, F1)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.store.journal import Journal
from tests.store.support import PATIENCE_SECONDS, StoreProcess, new_key_file
from tests.store.workload import CLIENTS, MOST_AT_ONCE, clients_at_work, require_promises, require_sound

if TYPE_CHECKING:
    from pathlib import Path


def kill_again_and_again(directory: Path, *, rounds: int, seed: int, key_file: Path | None = None) -> Journal:
    """Every round looks at what the one before has left, works, and dies. With a key file, the store is encrypted."""
    options = ("--encryption-key-file", str(key_file)) if key_file else ()
    chance, journal = random.Random(seed), Journal()  # noqa: S311 - how long a round lasts
    for number in range(rounds):
        with StoreProcess(directory, "--no-log", *options) as process:
            store = process.ready()
            require_promises(store, journal)
            with clients_at_work(store, journal, seed=seed + number) as dying:
                journal.wait_for(chance.randrange(1, 120), seconds=2 * PATIENCE_SECONDS)
                dying.set()
                process.kill()
        require_sound(directory, index_is_behind=True, key_file=key_file)
    with StoreProcess(directory, "--no-log", *options) as process:
        require_promises(process.ready(), journal)
        process.end()
    # A death leaves at most what the requests of that moment were about to remove, or had not yet named.
    assert require_sound(directory, key_file=key_file) <= rounds * CLIENTS * MOST_AT_ONCE
    return journal


def test_nothing_is_lost_when_the_store_is_killed(tmp_path: Path) -> None:
    journal = kill_again_and_again(tmp_path, rounds=8, seed=1)

    assert journal.acknowledged >= 8


def test_nothing_is_lost_when_an_encrypted_store_is_killed(tmp_path: Path) -> None:
    key_file = new_key_file(tmp_path / "store.key")

    journal = kill_again_and_again(tmp_path / "data", rounds=4, seed=2, key_file=key_file)

    assert journal.acknowledged >= 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_however_often_the_store_is_killed(tmp_path: Path) -> None:
    journal = kill_again_and_again(tmp_path, rounds=200, seed=1_000)

    assert journal.acknowledged >= 200
