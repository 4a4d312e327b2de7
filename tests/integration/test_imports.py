"""kill -9 of the worker in the middle of an import: the next one goes on, and the file is whole (F24)."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support.native import Native
from tests.support.remote import Visit, remote_server, serving
from tests.support.server import clean_environment, running_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.server import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the supervisor finds its parts by Linux means")
PART = 16 * 2**20
DATA = bytes(range(251)) * 150_000  # two parts and a bit


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = clean_environment(PENSTOCK_ALLOW_PRIVATE_NETWORKS="127.0.0.0/8")
    with running_server(tmp_path_factory.mktemp("imports") / "data", environment=environment) as running:
        yield running


def test_an_import_whose_worker_is_killed_goes_on_with_another(server: Server) -> None:
    native = Native(url=server.url, key=server.create_key())

    def half(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(len(DATA)), ETag='"v1"')
        visit.send(DATA[: PART + 2**20])
        visit.stay_silent()

    with remote_server() as remote:
        remote.on("/file", half, serving(DATA))
        sha256 = hashlib.sha256(DATA).hexdigest()
        upload = native.post("/imports", {"source_url": remote.url(), "sha256": sha256}).must(201)
        wait_until(lambda: part_is_stored(server), "a part to be stored")
        worker = server.part_pid("worker")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.part_pid("worker") != worker, "the worker to be started again")

        native.get(f"/uploads/{upload['id']}/events")

        done = native.get(f"/uploads/{upload['id']}").must(200)
        assert (done["state"], done["failure"]) == ("ready", None)
        asset = native.get(f"/assets/{done['asset_id']}").must(200)
        assert (asset["sha256"], asset["size_bytes"]) == (sha256, len(DATA))
        assert [visit.headers.get("range") for visit in remote.visits] == [None, f"bytes={PART}-"]
    assert "127.0.0.0/8" in server.logged()


def test_a_run_whose_file_is_fetched_by_a_worker_that_is_killed_ends_all_the_same(server: Server) -> None:
    native = Native(url=server.url, key=server.create_key())
    photo = io.BytesIO()
    Image.effect_noise((60, 40), 80).convert("RGB").save(photo, "png")

    def half(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(len(photo.getvalue())))
        visit.send(photo.getvalue()[:500])
        visit.stay_silent()

    with remote_server() as remote:
        remote.on("/photo.png", half, serving(photo.getvalue()))
        run = native.start("builtin/remove-background", {"image": remote.url("/photo.png")})
        lost = native.start("builtin/remove-background", {"image": remote.url("/nothing.png")})
        wait_until(lambda: any(visit.target == "/photo.png" for visit in remote.visits), "the file to be asked for")
        worker = server.part_pid("worker")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.part_pid("worker") != worker, "the worker to be started again")

        assert native.finished(run["id"])["state"] == "succeeded"
        failed = native.finished(lost["id"])

    assert (failed["state"], failed["error"]["code"], failed["cost_usd"]) == ("failed", "input", None)
    assert failed["error"]["message"].endswith("answered 404 (Not Found)")


def part_is_stored(server: Server) -> bool:
    """Whether some file of the store has the size of a part."""
    files = (path for path in (server.data / "objects").rglob("*") if path.is_file())
    return any(size_of(path) >= PART for path in files)


def size_of(path: Path) -> int:
    """The size of a file that may just have been moved away."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
