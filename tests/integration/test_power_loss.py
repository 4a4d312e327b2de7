"""Power loss of the whole server: uploads, assets, runs and money are as they were acknowledged (P1, P5, F2)."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.disk import make_image, mounted, why_no_disk
from tests.support.load import Promises, load_on, require_kept, require_settled
from tests.support.native import Native
from tests.support.server import PARTS, running_server, wait_until

if TYPE_CHECKING:
    from tests.support.server import Server

FILE_SYSTEM = "ext4"
MANY_CUTS = 5

pytestmark = pytest.mark.skipif(bool(why_no_disk(FILE_SYSTEM)), reason=why_no_disk(FILE_SYSTEM) or "never")


def freeze(server: Server) -> list[int]:
    """Let no process of a server do anything more; returns them when they do nothing."""
    pids = [server.process.pid, *map(server.part_pid, PARTS)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(stopped(pid) for pid in pids), "the server to stand still")
    return pids


def stopped(pid: int) -> bool:
    """Whether all threads of a process are stopped, also those that were in the kernel."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return all(task.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


def cut_again_and_again(image: Path, photo: bytes, *, cuts: int) -> None:
    key, promises = "", Promises()
    for number in range(cuts):
        cut, log = image.with_name(f"cut-{number}"), image.with_name(f"{number}.log")
        with mounted(image, FILE_SYSTEM) as disk, running_server(disk.root / "data", log=log) as server:
            key = key or server.create_key()
            with load_on(Native(url=server.url, key=key), photo, promises) as load:
                load.require_progress(10)
                pids = freeze(server)
                promises = load.frozen()
                disk.after_power_loss(cut)
                load.server_is_gone = True
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
        image.unlink()
        image = cut
    with mounted(image, FILE_SYSTEM) as disk, running_server(disk.root / "data", log=image.with_name("log")) as server:
        require_kept(Native(url=server.url, key=key), promises)
        require_settled(server)
    image.unlink()


def test_nothing_is_lost_when_the_power_fails(tmp_path: Path, photo: bytes) -> None:
    cut_again_and_again(make_image(tmp_path / "image", FILE_SYSTEM), photo, cuts=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nothing_is_lost_however_often_the_power_fails(tmp_path: Path, photo: bytes) -> None:
    cut_again_and_again(make_image(tmp_path / "image", FILE_SYSTEM), photo, cuts=MANY_CUTS)
