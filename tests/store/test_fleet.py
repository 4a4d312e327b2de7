"""Several processes on one directory: together they keep every promise that one keeps."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import signal
import threading
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.store.support import BUCKET, Response, StoreProcess, new_key_file, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.store.support import RawConnection, Store

PATIENCE_SECONDS = 20.0


@pytest.fixture
def process(tmp_path: Path) -> Iterator[StoreProcess]:
    with StoreProcess(tmp_path, "--no-log", "--processes", "2") as process:
        yield process


def server_of(connection: RawConnection, children: list[int]) -> int:
    """The process that has the other end of a connection."""
    ends = [f"0100007F:{port:04X}" for _, port in (connection.socket.getpeername(), connection.socket.getsockname())]
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    inode = next(fields[9] for fields in table if fields[1:3] == ends)
    for child in children:
        for descriptor in Path(f"/proc/{child}/fd").iterdir():
            try:
                if os.readlink(descriptor) == f"socket:[{inode}]":  # noqa: PTH115 - what it names is no path
                    return child
            except FileNotFoundError:
                continue
    raise AssertionError(ends)


class Lanes:
    """Connections to chosen processes, closed at the end."""

    def __init__(self, process: StoreProcess, stack: ExitStack) -> None:
        self._process = process
        self._stack = stack

    def to(self, store: Store, child: int) -> RawConnection:
        """A connection that this process serves: the kernel chooses, so it takes a few."""
        children = self._process.children()
        for _ in range(200):
            connection = self._stack.enter_context(store.connect())
            connection.send(store.plain_head("GET", "/healthz"))
            connection.read_response()
            if server_of(connection, children) == child:
                return connection
            connection.socket.close()
        raise AssertionError("no connection came to this process")

    def to_each(self, store: Store) -> list[RawConnection]:
        """One connection to every process."""
        return [self.to(store, child) for child in self._process.children()]


@pytest.fixture
def lanes(process: StoreProcess) -> Iterator[Lanes]:
    with ExitStack() as stack:
        yield Lanes(process, stack)


def call(connection: RawConnection, store: Store, method: str, key: str, body: bytes = b"") -> Response:
    headers = {"content-length": str(len(body))} if method == "PUT" else {}
    connection.send(store.head_bytes(method, f"/{BUCKET}/{key}", headers=headers) + body)
    return connection.read_response()


def listed(connection: RawConnection, store: Store) -> list[str]:
    """All keys, as the process at the other end lists them."""
    connection.send(store.head_bytes("GET", f"/{BUCKET}", query={"list-type": "2"}))
    return re.findall("<Key>(.*?)</Key>", connection.read_response().body.decode())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_listing_by_one_process_shows_what_the_other_acknowledged(process: StoreProcess, lanes: Lanes) -> None:
    store = process.ready()
    one, other = lanes.to_each(store)

    for number in range(20):
        key = f"k{number:02}"
        assert call(one, store, "PUT", key, b"x").status == 200
        assert listed(other, store)[-1] == key
    assert call(other, store, "DELETE", "k19").status == 204

    assert listed(one, store) == [f"k{number:02}" for number in range(19)]


def test_what_one_process_encrypted_the_other_reads_and_lists(tmp_path: Path) -> None:
    key_file = new_key_file(tmp_path / "store.key")
    options = ("--no-log", "--processes", "2", "--encryption-key-file", str(key_file))
    with StoreProcess(tmp_path / "data", *options) as process, ExitStack() as stack:
        store = process.ready()
        one, other = Lanes(process, stack).to_each(store)

        assert call(one, store, "PUT", "key", b"secret" * 1000).status == 200

        assert call(other, store, "GET", "key").body == b"secret" * 1000
        assert listed(other, store) == ["key"]


def test_of_conditional_writes_to_all_processes_one_wins(process: StoreProcess) -> None:
    store = process.ready()
    start, statuses = threading.Barrier(16), []

    def write(number: int) -> None:
        with store.connect() as connection:
            headers = {"content-length": "1", "if-none-match": "*"}
            head = store.head_bytes("PUT", f"/{BUCKET}/once", headers=headers)
            start.wait()
            connection.send(head + str(number % 10).encode())
            statuses.append(connection.read_response().status)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert sorted(statuses) == [200] + [412] * 15


def test_a_bucket_is_created_and_deleted_for_all_processes(process: StoreProcess, lanes: Lanes) -> None:
    store = process.ready()
    one, other = lanes.to_each(store)

    def bucket(connection: RawConnection, method: str, path: str = "/second", body: bytes = b"") -> int:
        connection.send(store.head_bytes(method, path, headers={"content-length": str(len(body))}) + body)
        return connection.read_response(bodiless=method == "HEAD").status

    assert bucket(one, "PUT") == 200
    assert bucket(other, "PUT", "/second/key", b"x") == 200
    assert bucket(one, "DELETE") == 409
    assert bucket(one, "DELETE", "/second/key") == 204
    assert bucket(other, "DELETE") == 204

    assert bucket(one, "HEAD") == 404
    assert bucket(one, "PUT", "/second/key", b"x") == 404


def test_no_name_that_is_no_bucket_is_taken_for_one(process: StoreProcess) -> None:
    store = process.ready()

    statuses = [store.exchange(store.head_bytes("HEAD", path), bodiless=True).status for path in ("/%2E", "/%2E%2E")]

    assert statuses == [404, 404]


def test_when_one_process_is_killed_the_others_go_on_and_it_comes_back(process: StoreProcess, lanes: Lanes) -> None:
    store = process.ready()
    children = process.children()
    one, other = lanes.to_each(store)
    acknowledged = {f"before-{number}": os.urandom(100) for number in range(10)}
    for key, body in acknowledged.items():
        assert call(one, store, "PUT", key, body).status == 200
    target = store.presign("PUT", "half")
    one.send(store.plain_head("PUT", target, {"content-length": "1000000"}) + b"x" * 500_000)
    until(lambda: bool(list((process.directory / "tmp").iterdir())))

    os.kill(children[0], signal.SIGKILL)

    assert call(other, store, "PUT", "after", b"y").status == 200
    until(lambda: len(process.children()) == 2 and children[0] not in process.children())
    heir = lanes.to(store, next(iter(set(process.children()) - set(children))))
    assert all(call(heir, store, "GET", key).body == body for key, body in acknowledged.items())
    assert listed(heir, store) == sorted([*acknowledged, "after"])
    assert not list((process.directory / "tmp").iterdir())


def test_what_a_killed_process_published_without_a_word_is_listed_by_its_heir(tmp_path: Path) -> None:
    """It dies between the rename and the line that tells the index: nobody was answered, but a GET shows the object."""
    with StoreProcess(tmp_path, "--no-log", "--processes", "2", failpoint="publish.renamed") as process:
        store = process.ready()
        children = set(process.children())
        with store.connect() as connection, pytest.raises(EOFError):
            call(connection, store, "PUT", "key", b"x")
        until(lambda: len(process.children()) == 2 and set(process.children()) != children)

        assert store.get("key").body == b"x"
        with store.connect() as connection:
            until(lambda: listed(connection, store) == ["key"])


def test_all_processes_finish_what_is_under_way_and_end_with_the_first(process: StoreProcess, lanes: Lanes) -> None:
    store = process.ready()
    both = lanes.to_each(store)
    for number, lane in enumerate(both):
        lane.send(store.plain_head("PUT", store.presign("PUT", f"k{number}"), {"content-length": "2"}) + b"1")
    until(lambda: len(list((process.directory / "tmp").iterdir())) == 2)

    process.process.send_signal(signal.SIGTERM)
    for lane in both:
        lane.send(b"2")

    assert [lane.read_response().status for lane in both] == [200, 200]
    assert process.process.wait(PATIENCE_SECONDS) == 0
    with store_in_thread(process.directory) as alone:
        assert [alone.get(key).body for key in ("k0", "k1")] == [b"12", b"12"]


def test_no_process_outlives_a_first_one_that_was_killed(process: StoreProcess) -> None:
    process.ready()

    process.kill()

    until(lambda: nobody_serves(process.directory))
    with store_in_thread(process.directory) as alone:
        assert alone.put("key", b"x").status == 200


def nobody_serves(directory: Path) -> bool:
    """Whether every process has gone that had the directory's lock."""
    with (directory / "store.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_the_store_of_several_processes_takes_large_bodies_too(process: StoreProcess) -> None:
    store = process.ready()
    body = os.urandom(3_000_000)

    response = store.put("large", body)

    assert response.headers["etag"] == f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    assert store.get("large").body == body


def test_metrics_are_the_sums_of_all_processes_and_outlive_each_of_them(tmp_path: Path) -> None:
    with StoreProcess(tmp_path, "--processes", "2", "--metrics-port", "0") as process, ExitStack() as stack:
        store = process.ready()
        assert process.process.stderr is not None
        port = json.loads(process.process.stderr.readline())["port"]
        lanes = Lanes(process, stack)
        for lane in lanes.to_each(store):
            assert call(lane, store, "PUT", "key", bytes(1000)).status == 200
        until(lambda: scraped(port, "penstock_store_received_bytes_total") == 2000)

        killed = process.children()[0]
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(process.children()) == 2 and killed not in process.children())
        for lane in lanes.to_each(store):
            assert call(lane, store, "PUT", "key", bytes(1000)).status == 200

        until(lambda: scraped(port, "penstock_store_received_bytes_total") == 4000)


def scraped(port: int, name: str) -> float:
    """One number without labels, as Prometheus would get it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS) as page:
        return float(re.findall(rf"^{name} (.*)$", page.read().decode(), re.MULTILINE)[0])
