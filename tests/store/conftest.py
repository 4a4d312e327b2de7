from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.support import Store, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for a module; each test uses keys of its own."""
    with store_in_thread(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with nothing in it."""
    with store_in_thread(tmp_path_factory.mktemp("store")) as store:
        yield store
