"""Death at every step of every change, one after the other: before or after, never between; the retry succeeds (F3)."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.store.support import Response, Store, StoreProcess, store_in_thread
from tests.store.workload import copy_object, delete_objects, listing, post_form, require_sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGE = os.urandom(700_000)
OBJECTS = {"small": b"a small object", "large": LARGE}
COPIES = {"copy": "large", "other copy": "small"}
State = tuple[dict[str, bytes], frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One request that changes a store, and the statuses that its repetition may get."""

    ask: Callable[[Store], Response]
    repeated: frozenset[int]


def ask_for_bucket(store: Store, method: str, bucket: str) -> Response:
    return store.exchange(store.head_bytes(method, f"/{bucket}", headers={"content-length": "0"}))


CHANGES = {
    "put": Change(ask=lambda store: store.put("new", LARGE), repeated=frozenset({200})),
    "overwrite": Change(ask=lambda store: store.put("small", b"other bytes"), repeated=frozenset({200})),
    "overwrite a copy": Change(ask=lambda store: store.put("copy", b"other bytes"), repeated=frozenset({200})),
    "overwrite a source": Change(ask=lambda store: store.put("large", b"other bytes"), repeated=frozenset({200})),
    "post form": Change(ask=lambda store: post_form(store, "new", LARGE), repeated=frozenset({204})),
    "copy": Change(ask=lambda store: copy_object(store, "large", "new"), repeated=frozenset({200})),
    "copy a copy": Change(ask=lambda store: copy_object(store, "copy", "new"), repeated=frozenset({200})),
    "copy over a copy": Change(ask=lambda store: copy_object(store, "small", "copy"), repeated=frozenset({200})),
    "delete": Change(ask=lambda store: store.call("DELETE", "small"), repeated=frozenset({204})),
    "delete a copy": Change(ask=lambda store: store.call("DELETE", "copy"), repeated=frozenset({204})),
    "create a bucket": Change(ask=lambda store: ask_for_bucket(store, "PUT", "second"), repeated=frozenset({200})),
    # S3 has no other answer for a bucket that is gone.
    "delete a bucket": Change(
        ask=lambda store: ask_for_bucket(store, "DELETE", "spare"), repeated=frozenset({204, 404})
    ),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a store that has ended, with objects, copies of them, and an empty bucket."""
    place = tmp_path_factory.mktemp("filled")
    with store_in_thread(place) as store:
        for key, content in OBJECTS.items():
            assert store.put(key, content).status == 200
        for key, source in COPIES.items():
            assert copy_object(store, source, key).status == 200
        assert ask_for_bucket(store, "PUT", "spare").status == 200
    return place


@pytest.mark.parametrize("name", CHANGES)
def test_death_at_any_step_leaves_the_old_or_the_new_and_the_retry_succeeds(
    filled: Path, tmp_path: Path, name: str
) -> None:
    change, states, repeated = CHANGES[name], list[State](), list[State]()
    for step in count(1):
        directory = tmp_path / str(step)
        shutil.copytree(filled, directory)
        survived = dies_at(directory, step, change)
        with store_in_thread(directory) as store:
            states.append(state_of(store))
            assert change.ask(store).status in change.repeated
            repeated.append(state_of(store))
        assert require_sound(directory) <= 1
        shutil.rmtree(directory)
        if survived:
            break

    before, after = states[0], states[-1]  # the first step is one of the start: nothing was asked yet
    assert before != after
    assert repeated == [after] * len(repeated)
    assert states == [before] * states.count(before) + [after] * states.count(after)
    assert states.count(after) >= 2  # one that died after it, and the survivor


def test_deletions_of_one_request_that_dies_happen_one_by_one(filled: Path, tmp_path: Path) -> None:
    change = Change(ask=lambda store: delete_objects(store, ["copy", "small"]), repeated=frozenset({200}))
    for step in count(1):
        directory = tmp_path / str(step)
        shutil.copytree(filled, directory)
        survived = dies_at(directory, step, change)
        with store_in_thread(directory) as store:
            left, _ = state_of(store)
            assert left.items() >= {"large": LARGE, "other copy": OBJECTS["small"]}.items()
            assert change.ask(store).status == 200
            assert set(state_of(store)[0]) == {"large", "other copy"}
        assert require_sound(directory) <= 1
        if survived:
            assert len(left) == 2
            return


def dies_at(directory: Path, step: int, change: Change) -> bool:
    """Ask for a change of a store that dies at the given step, counted from its start. Whether it survived."""
    with StoreProcess(directory, "--no-log", failpoint=f"*:{step}") as process:
        try:
            response = change.ask(process.ready())
        except (OSError, EOFError):
            assert process.exit_status() == 9
            return False
        assert response.status in change.repeated
        process.kill()
        return True


def state_of(store: Store) -> State:
    """Every object whole, as the listing and each key show it, and the buckets."""
    shown = {key: store.get(key) for key in ("new", *OBJECTS, *COPIES)}
    assert {response.status for response in shown.values()} <= {200, 404}
    objects = {key: response.body for key, response in shown.items() if response.status == 200}
    assert listing(store) == {key: len(body) for key, body in objects.items()}
    assert not list((store.directory / "tmp").iterdir())
    buckets = store.exchange(store.head_bytes("GET", "/")).body.decode()
    return objects, frozenset(re.findall(r"<Name>(.*?)</Name>", buckets))
