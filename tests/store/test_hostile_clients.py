"""Clients that are slow, greedy, many, or gone: bounded, answered where possible, and harmless to the others (P9)."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from penstock.store.config import Limits
from tests.store.support import BUCKET, PATIENCE_SECONDS, RawConnection, Store, StoreProcess, store_in_thread

MB = 1024 * 1024
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close() sends a reset."""


def put_head(store: Store, key: str, **headers: str) -> bytes:
    """The head of a presigned PUT; header names with underscores for hyphens."""
    return store.plain_head("PUT", store.presign("PUT", key), {n.replace("_", "-"): v for n, v in headers.items()})


def drip(connection: RawConnection, piece: bytes) -> None:
    """Send a piece every 10 ms, which is before any deadline, until the server has had enough."""
    connection.socket.settimeout(0.01)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            connection.send(piece)
            if connection.socket.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    connection.socket.settimeout(PATIENCE_SECONDS)


def wait_for_no_files(store: Store) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while store.stored_files():
        assert time.monotonic() < deadline, store.stored_files()
        time.sleep(0.01)


# --- slow: F10


@pytest.mark.parametrize("framing", ["length", "chunked", "form"])
def test_a_body_that_drips_all_the_time_is_cut_off_and_stores_nothing(tmp_path: Path, framing: str) -> None:
    limits = Limits(reserve_bytes=0, rate_seconds=0.5, rate_bytes=100_000, threads=2)
    with store_in_thread(tmp_path, limits=limits) as store, store.connect() as slow:
        heads = {
            "length": put_head(store, "drip", Content_Length="1000000"),
            "chunked": put_head(store, "drip", Transfer_Encoding="chunked"),
            "form": store.plain_head(
                "POST",
                f"/{BUCKET}",
                {"content-type": "multipart/form-data; boundary=b", "content-length": "1000000"},
            ),
        }
        slow.send(heads[framing] + (b"--b\r\n" if framing == "form" else b""))
        drip(slow, b"1\r\nx\r\n" if framing == "chunked" else b"x-")

        assert slow.read_response().code == "RequestTimeout"
        wait_for_no_files(store)


def test_a_head_that_drips_all_the_time_is_cut_off(tmp_path: Path) -> None:
    with (
        store_in_thread(tmp_path, limits=Limits(reserve_bytes=0, head_seconds=0.5, threads=2)) as store,
        store.connect() as slow,
    ):
        slow.send(b"GET / HTTP/1.1\r\n")
        drip(slow, b"a:b\r\n")

        assert slow.read_response().code == "RequestTimeout"
        assert slow.is_closed()


def test_connections_without_a_request_are_closed_in_time_before_and_after_one(tmp_path: Path) -> None:
    limits = Limits(reserve_bytes=0, idle_seconds=2.0, threads=2)
    with store_in_thread(tmp_path, limits=limits) as store, store.connect() as silent, store.connect() as done:
        done.send(HEALTH)
        assert done.read_response().status == 200

        assert silent.is_closed()
        assert done.is_closed()


def test_500_idle_connections_do_not_keep_others_from_working(tmp_path: Path) -> None:
    with StoreProcess(tmp_path, "--no-log") as process:
        store = process.ready()
        idle = [store.connect() for _ in range(500)]
        for connection in idle[::2]:
            connection.send(b"PUT /penstock/never HTTP/1.1\r\nHo")

        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda number: store.put(f"key-{number}", bytes(20_000)).status, range(50)))

        assert statuses == [200] * 50
        threads = len(list(Path(f"/proc/{process.process.pid}/task").iterdir()))
        assert threads < 40
        for connection in idle:
            connection.socket.close()


# --- greedy: F9


def test_an_endless_body_is_cut_off_at_the_limit_and_removed(tmp_path: Path) -> None:
    with store_in_thread(tmp_path, limits=Limits(reserve_bytes=0, object_bytes=100_000)) as store:
        with store.connect() as greedy:
            greedy.send(
                put_head(store, "endless", Transfer_Encoding="chunked") + b"186a0\r\n" + bytes(100_000) + b"\r\n"
            )
            greedy.send(b"1\r\n!\r\n")

            assert greedy.read_response().code == "EntityTooLarge"
        wait_for_no_files(store)

        assert store.get("endless").status == 404
        assert store.put("allowed", bytes(100_000)).status == 200


def test_a_client_that_goes_on_sending_after_a_refusal_is_left_alone(tmp_path: Path) -> None:
    with store_in_thread(tmp_path, limits=Limits(reserve_bytes=0, object_bytes=100_000)) as store:
        with store.connect() as greedy:
            greedy.send(put_head(store, "endless", Transfer_Encoding="chunked"))
            with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):  # noqa: PT012 - the server decides when
                while True:
                    greedy.send(b"100000\r\n" + bytes(MB) + b"\r\n")

        assert store.stored_files() == []
        assert store.put("allowed", b"x").status == 200


def test_a_declared_length_above_the_limit_is_refused_before_the_body(tmp_path: Path) -> None:
    with store_in_thread(tmp_path, limits=Limits(reserve_bytes=0, object_bytes=100_000)) as store:
        head = put_head(store, "large", Content_Length="100001", Expect="100-continue")

        assert store.exchange(head).code == "EntityTooLarge"


def test_what_follows_a_body_of_the_declared_length_is_another_request_and_no_part_of_it(shared_store: Store) -> None:
    with shared_store.connect() as connection:
        connection.send(put_head(shared_store, "exact", Content_Length="5") + b"helloGARBAGE\r\n\r\n")

        assert connection.read_response().status == 200
        assert connection.read_response().status in {400, 405}
        assert connection.is_closed()

    assert shared_store.get("exact").body == b"hello"


def test_nothing_that_follows_a_head_of_two_readings_is_carried_out(shared_store: Store) -> None:
    shared_store.put("kept", b"x")
    deletion = shared_store.head_bytes("DELETE", f"/{BUCKET}/kept")
    with shared_store.connect() as connection:
        connection.send(
            put_head(shared_store, "smuggled", Content_Length="0", Transfer_Encoding="chunked")
            + b"0\r\n\r\n"
            + deletion
        )

        assert connection.read_response().status == 400
        assert connection.is_closed()

    assert shared_store.get("kept").status == 200


def test_fifty_pipelined_requests_are_all_answered(shared_store: Store) -> None:
    shared_store.put("often", bytes(50_000))
    with shared_store.connect() as connection:
        connection.send(shared_store.head_bytes("GET", f"/{BUCKET}/often") * 50)

        assert [connection.read_response().status for _ in range(50)] == [200] * 50


def test_a_client_of_http_1_0_is_not_invited_and_its_connection_ends(shared_store: Store) -> None:
    head = put_head(shared_store, "old", Content_Length="2", Expect="100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    with shared_store.connect() as connection:
        connection.send(head + b"ok")
        response = connection.read_response()

        assert (response.status, response.headers["connection"]) == (200, "close")
        assert connection.is_closed()


@pytest.mark.parametrize("headers", [{}, {"X-Amz-Expected": "\x7f"}])
@pytest.mark.parametrize("line", ["GET /x HTTP/1.1\r\n", "GET /<script>&'\" HTTP/1.1\r\n", "BREW / HTTP/1.1\r\n"])
def test_an_error_tells_no_secrets_of_the_house_and_reflects_nothing_unescaped(
    shared_store: Store, line: str, headers: dict[str, str]
) -> None:
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    response = shared_store.exchange(f"{line}Host: h\r\n{fields}\r\n".encode("latin-1"))

    assert response.status in {400, 403, 405}
    assert response.headers["content-type"] == "application/xml"
    assert b"<RequestId>" in response.body
    for word in (b"Traceback", b".py", str(shared_store.directory).encode(), b"<script>"):
        assert word not in response.body


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/", "GET"),
        ("TRACE", f"/{BUCKET}/k", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
        ("PATCH", f"/{BUCKET}/k", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
    ],
)
def test_a_method_that_is_not_there_is_405_and_says_which_are(
    shared_store: Store, method: str, path: str, allowed: str
) -> None:
    response = shared_store.exchange(shared_store.head_bytes(method, path))

    assert (response.status, response.code) == (405, "MethodNotAllowed")
    assert response.headers["allow"] == allowed


# --- many and gone: F36


def open_files(process: StoreProcess) -> int:
    return len(list(Path(f"/proc/{process.process.pid}/fd").iterdir()))


def attempt(store: Store, number: int, together: threading.Barrier) -> int | None:
    """The status of one upload among many; None when the connection broke."""
    together.wait(PATIENCE_SECONDS)
    try:
        return store.put(f"key-{number}", bytes(30_000)).status
    except (OSError, EOFError):
        return None


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="needs prlimit (util-linux)")
def test_200_clients_of_a_store_with_few_files_and_little_memory_get_200_or_503(tmp_path: Path) -> None:
    with StoreProcess(tmp_path, prefix=("prlimit", "--nofile=64", f"--as={300 * MB}")) as process:
        store = process.ready()
        assert store.put("before", b"x").status == 200
        before = open_files(process)
        together = threading.Barrier(200)

        with ThreadPoolExecutor(200) as pool:
            statuses = list(pool.map(lambda number: attempt(store, number, together), range(200)))

        assert set(statuses) <= {200, 503, None}
        assert 200 in statuses
        for number, status in enumerate(statuses):
            assert status != 200 or store.get(f"key-{number}").body == bytes(30_000)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while open_files(process) > before:
            assert time.monotonic() < deadline, open_files(process)
            time.sleep(0.05)
        assert store.exchange(HEALTH).status == 200
        process.process.terminate()
        _, log = process.process.communicate(timeout=PATIENCE_SECONDS)

    events = [json.loads(line) for line in log.splitlines()]
    assert not [event for event in events if event["event"] in {"store.failed", "store.degraded"}]


@pytest.mark.parametrize("wanted", ["large", "small", "absent"])
def test_clients_that_go_away_at_any_moment_leave_no_file_open(tmp_path: Path, wanted: str) -> None:
    with StoreProcess(tmp_path, "--no-log") as process:
        store = process.ready()
        store.put("large", bytes(3_000_000))
        store.put("small", b"x")
        before = open_files(process)

        for announced in ("0", "10", "100000"):
            for _ in range(10):
                with store.connect() as connection:
                    head = store.head_bytes("GET", f"/{BUCKET}/{wanted}", headers={"content-length": announced})
                    connection.send(head)
                    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        deadline = time.monotonic() + PATIENCE_SECONDS
        while open_files(process) > before:
            assert time.monotonic() < deadline, open_files(process)
            time.sleep(0.05)


# --- stopped: F37


def test_a_client_that_never_ends_its_upload_does_not_keep_the_store_from_ending(tmp_path: Path) -> None:
    with store_in_thread(tmp_path, limits=Limits(reserve_bytes=0, shutdown_seconds=0.5)) as store:
        endless = store.connect()
        endless.send(put_head(store, "endless", Content_Length="1000000") + bytes(1000))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not store.stored_files():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with endless:
        assert endless.is_closed()
    assert store.stored_files() == []


def test_sigterm_under_load_ends_in_time_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}

    def upload(seed: int) -> None:
        number = 0
        while True:
            key, body = f"{seed}-{number}", bytes([seed]) * (1000 if number % 2 else 700_000)
            try:
                status = store.put(key, body).status
            except (OSError, EOFError):
                return  # refused, or broken off before an answer: nothing was promised
            if status == 200:
                acknowledged[key] = sha256(body).hexdigest()
            number += 1

    with StoreProcess(tmp_path, "--no-log") as process:
        store = process.ready()
        with ThreadPoolExecutor(20) as pool:
            work = [pool.submit(upload, seed) for seed in range(20)]
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(acknowledged) < 60:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.process.send_signal(signal.SIGTERM)
            assert process.process.wait(30) == 0
            for one in work:
                one.result()

    with store_in_thread(tmp_path) as store:
        for key, digest in acknowledged.items():
            assert sha256(store.get(key).body).hexdigest() == digest
        assert not list((tmp_path / "tmp").iterdir())
