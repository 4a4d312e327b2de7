"""One embedded store per module, as a process of its own, and every client on it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.stored import Stored
from tests.clients.tools import environment, library, program
from tests.support.stores import embedded_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.adapters.objects.s3 import Bucket
    from tests.clients.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Where a driver is, and the library that must be there to import it."""

    driver: str
    library: str = ""


CLIENTS = {
    "boto3": Make(driver="boto:Boto"),
    "minio-py": Make(driver="minio:MinioPy", library="minio"),
    "obstore": Make(driver="obstore:Obstore", library="obstore"),
    "aws": Make(driver="programs:AwsCli"),
    "s3cmd": Make(driver="programs:S3Cmd"),
    "rclone": Make(driver="programs:Rclone"),
    "curl": Make(driver="programs:Curl"),
    "node": Make(driver="node:Node"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need clients that `./dev setup integration` and CI bring."""
    for item in items:
        if "tests/clients/" in item.path.as_posix():
            item.add_marker("real_clients")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """The store's address, its bucket and its key pair."""
    with embedded_store(tmp_path_factory.mktemp("store")) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def stored(place: Bucket) -> Stored:
    """What is in the bucket, seen by none of the clients."""
    return Stored(place)


@pytest.fixture(scope="module")
def make_client(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Bucket], Client]:
    """Makes a client by name. Skips the test when the client is not installed."""

    def make(name: str, place: Bucket) -> Client:
        made = CLIENTS[name]
        if made.library:
            library(made.library)
        module, _, driver = made.driver.partition(":")
        maker = getattr(importlib.import_module(f"tests.clients.drivers.{module}"), driver)
        client: Client = maker(place, tmp_path_factory.mktemp(name))
        return client

    return make


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    library("playwright")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not in every set-up

    chromium = program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium,
            chromium_sandbox=False,  # which root cannot have; the pages are our own
            env=dict(environment(tmp_path_factory.mktemp("home"))),
        )
        yield started
        started.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:  # noqa: ANN401 - playwright is not in every set-up
    opened = browser.new_page()
    yield opened
    opened.close()
