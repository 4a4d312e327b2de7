from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.store.changes import fill
from tests.store.support import Store, new_key_file, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABOUT_WHAT_IS_STORED = ("awschunked", "clients", "forms", "multipart_routes", "object_routes", "presigned")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is said of stored objects must hold in an encrypted store too."""
    module = metafunc.module.__name__.rpartition(".test_")[2]
    if "encryption_key_file" in metafunc.fixturenames and module in _ABOUT_WHAT_IS_STORED:
        metafunc.parametrize("encryption_key_file", ["plain", "encrypted"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def encryption_key_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The master key of the test's store; None when the store is not encrypted."""
    if getattr(request, "param", "plain") == "plain":
        return None
    return new_key_file(tmp_path_factory.mktemp("key") / "master.key")


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory, encryption_key_file: Path | None) -> Iterator[Store]:
    """One store for a module; each test uses keys of its own."""
    with store_in_thread(tmp_path_factory.mktemp("store"), encryption_key_file=encryption_key_file) as store:
        yield store


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory, encryption_key_file: Path | None) -> Iterator[Store]:
    """A store with nothing in it."""
    with store_in_thread(tmp_path_factory.mktemp("store"), encryption_key_file=encryption_key_file) as store:
        yield store


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory if possible: for tests of many stores whose disk has no part in the matter."""
    shared = Path("/dev/shm")  # noqa: S108 - a directory of our own is made in it
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, prefix="penstock-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a store that has ended, with what `changes` change; to be copied."""
    place = tmp_path_factory.mktemp("filled")
    fill(place)
    return place
