"""A start on what a damaged disk has left: the files decide, damage stays with its object (P2, P12, F6, F16)."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from penstock.store.layout import Layout, entry_name
from tests.store.changes import COPIES, LARGE, OBJECTS, fill, state_of
from tests.store.support import BUCKET, store_in_thread
from tests.store.workload import listing, require_sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.store.changes import State
    from tests.store.support import Response, Store

PAGE = 4096
SIZES = {f"key {number:04}": number for number in range(300)}
WHOLE = {**OBJECTS, **{key: OBJECTS[source] for key, source in COPIES.items()}}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a store that has ended, to be copied: so many keys that the index has several pages."""
    place = tmp_path_factory.mktemp("many")
    with store_in_thread(place) as store:
        for key, size in SIZES.items():
            assert store.put(key, bytes(size)).status == 200
    return place


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The data directory of a store that has ended."""
    fill(tmp_path / "data")
    return tmp_path / "data"


def damaged_after(start: int) -> Callable[[Path], None]:
    """Noise from some byte of the index on."""

    def damage(index: Path) -> None:
        with index.open("r+b") as file:
            file.seek(start)
            file.write(os.urandom(max(0, index.stat().st_size - start)))

    return damage


def emptied(index: Path) -> None:
    with closing(sqlite3.connect(index)) as database:
        database.execute("DELETE FROM entry")
        database.commit()


def of_another_version(index: Path) -> None:
    with closing(sqlite3.connect(index)) as database:
        database.execute("PRAGMA user_version = 999")
        database.execute("ALTER TABLE entry RENAME COLUMN etag TO tag")
        database.commit()


def noise_as_log(index: Path) -> None:
    index.with_name(index.name + "-wal").write_bytes(os.urandom(5 * PAGE))


INDEX_DAMAGES: dict[str, Callable[[Path], None]] = {
    "gone": lambda index: index.unlink(),
    "empty": lambda index: os.truncate(index, 0),
    "half": lambda index: os.truncate(index, index.stat().st_size // 2),
    "noise": damaged_after(0),
    "noise behind the header": damaged_after(100),
    "noise behind the first page": damaged_after(PAGE),
    "noise behind the second page": damaged_after(2 * PAGE),
    "without entries": emptied,
    "of another version": of_another_version,
    "noise as its log": noise_as_log,
}


@pytest.mark.parametrize("name", INDEX_DAMAGES)
def test_whatever_became_of_the_index_the_next_start_lists_the_files(many: Path, tmp_path: Path, name: str) -> None:
    directory = tmp_path / "data"
    shutil.copytree(many, directory)

    INDEX_DAMAGES[name](directory / "index.sqlite3")

    with store_in_thread(directory) as store:
        assert listing(store) == SIZES
        assert store.put("another", b"").status == 200
        assert listing(store) == {**SIZES, "another": 0}
    assert require_sound(directory) == 0


def test_an_index_older_than_the_files_is_brought_up_to_date(directory: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for file in directory.glob("index.sqlite3*"):
        shutil.copy2(file, old)
    with store_in_thread(directory) as store:
        assert store.put("new", b"new").status == 200
        assert store.put("small", b"other").status == 200
        assert store.call("DELETE", "copy").status == 204
        expected = state_of(store)
    for file in directory.glob("index.sqlite3*"):
        file.unlink()
    shutil.copytree(old, directory, dirs_exist_ok=True)

    assert state_after_start(directory) == expected


def test_files_that_a_copy_of_the_directory_has_given_new_inodes_are_listed(directory: Path, tmp_path: Path) -> None:
    with store_in_thread(directory) as store:
        expected = state_of(store)

    shutil.copytree(directory, tmp_path / "restored")

    assert state_after_start(tmp_path / "restored") == expected


def state_after_start(directory: Path) -> State:
    with store_in_thread(directory) as store:
        state = state_of(store)
    assert require_sound(directory) == 0
    return state


def flipped(path: Path, position: int) -> None:
    """Change a bit where it stands, as a disk does; a negative position counts from the end."""
    with path.open("r+b") as file:
        file.seek(position, os.SEEK_END if position < 0 else os.SEEK_SET)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def entry(directory: Path, key: str) -> Path:
    return directory.joinpath(Layout(directory).entry(entry_name(BUCKET, key)))


def linked(directory: Path, key: str) -> Path:
    beside = entry(directory, key).parent.glob(f"{entry_name(BUCKET, key)}.*")
    (found,) = [path for path in beside if path.is_file()]  # an open upload of the key has a directory there
    return found


OBJECT_DAMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "flipped data": ("small", lambda directory: flipped(entry(directory, "small"), 3)),
    "flipped data of a copy": ("other copy", lambda directory: flipped(linked(directory, "other copy"), 3)),
    "flipped record": ("small", lambda directory: flipped(entry(directory, "small"), -40)),
    "flipped end": ("large", lambda directory: flipped(entry(directory, "large"), -1)),
    "without its end": ("small", lambda directory: os.truncate(entry(directory, "small"), 100)),
    "without its data": ("large", lambda directory: os.truncate(entry(directory, "large"), 1000)),
    "empty": ("large", lambda directory: os.truncate(entry(directory, "large"), 0)),
    "copy without its data": ("copy", lambda directory: linked(directory, "copy").unlink()),
    "copy with half its data": ("copy", lambda directory: os.truncate(linked(directory, "copy"), len(LARGE) // 2)),
}


@pytest.mark.parametrize("name", OBJECT_DAMAGES)
def test_a_damaged_object_is_never_served_and_leaves_the_others_alone(directory: Path, name: str) -> None:
    key, damage = OBJECT_DAMAGES[name]
    damage(directory)
    others = {one: body for one, body in WHOLE.items() if body != WHOLE[key]}  # a copy shares its source's bytes

    with store_in_thread(directory) as store:
        assert not is_served(store, key)
        assert {one: store.get(one).body for one in others} == others
        assert store.put(key, b"again").status == 200
        assert store.get(key).body == b"again"
        assert store.call("DELETE", key).status == 204
        assert key not in listing(store)


def is_served(store: Store, key: str) -> bool:
    """Whether a GET gets a whole answer with 200."""
    try:
        response: Response = store.get(key)
    except EOFError:
        return False  # the connection broke, so no client takes what came for all
    assert response.status in {200, 500}
    return response.status == 200
