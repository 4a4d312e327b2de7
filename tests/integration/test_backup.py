"""The documented backup of a running server restores to a state in which every asset is there, byte for byte."""

from __future__ import annotations

import hashlib
import shutil
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.store.support import new_key_file
from tests.support import pages
from tests.support.exchange import fetch
from tests.support.native import Native
from tests.support.server import clean_environment, running_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = "howto/backup.md"


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the sqlite3 command is not installed")
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_backup_under_load_restores_every_asset(tmp_path: Path, encrypted: bool) -> None:
    named = {"PENSTOCK_STORE_ENCRYPTION_KEY_FILE": str(new_key_file(tmp_path / "store.key"))} if encrypted else {}
    environment = clean_environment(**named)
    pages.save_files(PAGE, tmp_path)
    back_up, restore = pages.commands(PAGE)
    with running_server(tmp_path / "penstock-data", environment=environment) as server:
        native = Native(url=server.url, key=server.create_key())
        with _load(native) as made:
            wait_until(lambda: len(made) >= 5, "some files are there before the backup")
            kept = list(made)
            pages.run(back_up, tmp_path, server.environment)
            wait_until(lambda: len(made) >= len(kept) + 5, "uploads go on after the backup")
        run = native.start("builtin/stylize", {"prompt": "ink", "width": 64, "height": 64})
        assert native.finished(run["id"])["state"] == "succeeded"
    pages.run(restore, tmp_path, server.environment)

    with running_server(tmp_path / "restored", environment=environment) as server:
        restored = _assets(Native(url=server.url, key=native.key))

        assert set(kept) <= set(restored)
        assert [said for said, found in restored.values()] == [found for said, found in restored.values()]


@contextmanager
def _load(native: Native) -> Iterator[list[str]]:
    """Files come, and every other one goes again, until the end of the block; the ids of those that stay."""
    stop, stay = threading.Event(), list[str]()

    def work() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            asset = native.upload(b"file %d " % number * 1000, f"{number}.txt", "text/plain")
            if number % 2:
                native.delete(f"/assets/{asset['id']}").must(204)
            else:
                stay.append(asset["id"])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield stay
    finally:
        stop.set()
        thread.join()


def _assets(native: Native) -> dict[str, tuple[str, str]]:
    """The SHA-256 that is said, and the one that the bytes have, of every asset that is listed."""
    return {
        asset["id"]: (asset["sha256"], hashlib.sha256(fetch(asset["url"]).body).hexdigest())
        for asset in native.all("/assets")
    }
