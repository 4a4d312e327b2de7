"""`penstock serve` as an operator meets it: readiness, refusal, restart, stopping, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.client import Penstock
from tests.support.ports import held_port
from tests.support.server import (
    PENSTOCK,
    clean_environment,
    read_ready_line,
    run_penstock,
    running_server,
    stop,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
PARTS = ("api", "store", "worker")
PICTURE_SECONDS = 60.0


@pytest.fixture(scope="module")
def sturdy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose parts the tests kill."""
    with running_server(tmp_path_factory.mktemp("sturdy") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def client(sturdy: Server) -> Iterator[Penstock]:
    with Penstock(sturdy.url, sturdy.create_key(), retries=8) as opened:
        yield opened


def is_running(pid: int) -> bool:
    """Whether a process runs; one that is dead but not yet collected by the init process does not (proc(5), `stat`)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def kill(server: Server, part: str) -> int:
    pid = server.part_pid(part)
    os.kill(pid, signal.SIGKILL)
    return pid


def kill_and_await_restart(server: Server, part: str) -> None:
    pid = kill(server, part)
    wait_until(lambda: server.part_pid(part) != pid, f"{part} is started again")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_is_started_again_and_works(sturdy: Server, client: Penstock, part: str) -> None:
    kill_and_await_restart(sturdy, part)

    uploaded = client.upload_file(b"still at work", filename="note.txt")

    assert client.download(uploaded) == b"still at work"


@pytest.mark.parametrize("part", PARTS)
def test_a_run_survives_the_death_of_any_part(sturdy: Server, client: Penstock, part: str) -> None:
    begun = client.create_run("builtin/stylize", {"prompt": "an oil painting of hills", "width": 1600, "height": 1600})
    wait_until(lambda: client.get_run(begun.id).state != "queued", "the run has begun")

    kill_and_await_restart(sturdy, part)

    assert client.wait_run(begun.id, timeout=PICTURE_SECONDS).succeeded


def test_an_upload_survives_the_death_of_the_store(sturdy: Server, client: Penstock) -> None:
    size = 64 * 2**20
    killed: list[int] = []

    def strike_halfway(sent: int, total: int) -> None:
        if not killed and sent > total // 2:
            killed.append(kill(sturdy, "store"))

    uploaded = client.upload_file(bytes(size), filename="zeros.bin", on_progress=strike_halfway)

    assert killed
    assert client.download(uploaded) == bytes(size)


def test_a_second_server_on_the_same_data_is_refused_and_the_first_goes_on(sturdy: Server, client: Penstock) -> None:
    refused = run_penstock("serve", "--data", str(sturdy.data), "--port", "0", "--store-port", "0")

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == f"penstock: {sturdy.data} is already in use by pid {sturdy.process.pid} (serve)\n"
    assert client.account().name


def test_a_part_alone_on_the_same_data_is_refused_too(sturdy: Server) -> None:
    refused = run_penstock("serve", "--only", "worker", "--data", str(sturdy.data))

    assert refused.returncode == 1
    assert f"already in use by pid {sturdy.part_pid('worker')} (worker)" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_prints_one_line_and_stops_on_a_signal_leaving_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tmp_path / "data") as server:
        pids = [server.part_pid(part) for part in ("serve", *PARTS)]
        kill_and_await_restart(server, "worker")
        pids.append(server.part_pid("worker"))

        server.process.send_signal(number)
        server.process.wait(35)

        assert server.process.returncode == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == b""  # the readiness line has been read; there was no other
        assert [pid for pid in pids if is_running(pid)] == []


def test_a_killed_supervisor_leaves_no_part_behind_and_the_next_one_starts_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as server:
        pids = [server.part_pid(part) for part in PARTS]
        server.process.kill()
        server.process.wait()

        with running_server(tmp_path / "data") as second:
            assert [pid for pid in pids if is_running(pid)] == []
            with Penstock(second.url, second.create_key()) as client:
                assert client.upload_file(b"at work", filename="note.txt").size_bytes == 7


def test_dev_says_what_it_opens(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--dev") as server:
        assert "callbacks and downloads may reach 127.0.0.0/8,::1/128" in server.logged()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        refused = run_penstock("serve", "--data", str(tmp_path / "data"), "--port", str(port), "--store-port", "0")

    assert refused.returncode == 1
    assert refused.stderr == f"penstock: port {port} on 127.0.0.1 is in use\n"


def test_a_database_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    environment = clean_environment(DATABASE_URL=f"sqlite:///{tmp_path}/missing/penstock.db")

    refused = run_penstock(
        "serve", "--data", str(tmp_path / "data"), "--port", "0", "--store-port", "0", environment=environment
    )

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "the database could not be brought up to date" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    refused = run_penstock("serve", "--data", str(tmp_path / "file" / "data"), "--port", "0", "--store-port", "0")

    assert refused.returncode == 1
    assert "file/data" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_part_can_be_served_alone(tmp_path: Path) -> None:
    log = tmp_path / "store.log"
    with held_port() as port, log.open("wb") as stream:
        process = subprocess.Popen(
            [*PENSTOCK, "serve", "--only", "store", "--data", str(tmp_path / "data"), "--store-port", str(port)],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
        )
        with process:
            assert process.stdout is not None
            try:
                line = read_ready_line(process.stdout, log)
                with socket.create_connection(("127.0.0.1", port)):
                    pass
            finally:
                status = stop(process)

    assert line == f"Penstock is ready (store): http://127.0.0.1:{port}"
    assert status == 0
