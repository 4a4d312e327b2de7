"""How the store behaves on the wire: framing, deadlines, half-closes, and refusals that read no body."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.store.config import Limits
from tests.store.support import BUCKET, Store, store_in_thread

CLOSE = "close"


def put_head(store: Store, key: str, **headers: str) -> bytes:
    """The head of a presigned PUT; header names with underscores for hyphens."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return store.plain_head("PUT", store.presign("PUT", key), sent)


def test_requests_follow_each_other_on_one_connection(shared_store: Store) -> None:
    with shared_store.connect() as connection:
        for number in range(3):
            connection.send(put_head(shared_store, "again", Content_Length="1") + b"%d" % number)
            assert connection.read_response().status == 200

        connection.send(shared_store.head_bytes("GET", f"/{BUCKET}/again"))
        assert connection.read_response().body == b"2"


def test_pipelined_requests_are_answered_in_order(shared_store: Store) -> None:
    with shared_store.connect() as connection:
        connection.send(
            put_head(shared_store, "p", Content_Length="3")
            + b"one"
            + shared_store.head_bytes("GET", f"/{BUCKET}/p")
            + shared_store.head_bytes("HEAD", f"/{BUCKET}/p")
            + shared_store.head_bytes("GET", f"/{BUCKET}/absent")
        )

        assert connection.read_response().status == 200
        assert connection.read_response().body == b"one"
        assert connection.read_response(bodiless=True).headers["content-length"] == "3"
        assert connection.read_response().status == 404


def test_a_body_cut_short_by_a_close_stores_nothing(store: Store) -> None:
    with store.connect() as connection:
        connection.send(put_head(store, "short", Content_Length="10") + b"12345")

    assert store.get("short").status == 404
    wait_for_no_files(store)


def test_a_body_cut_short_by_a_half_close_is_told_so_and_stores_nothing(store: Store) -> None:
    with store.connect() as connection:
        connection.send(put_head(store, "short", Content_Length="10") + b"12345")
        connection.socket.shutdown(socket.SHUT_WR)
        response = connection.read_response()

    assert (response.status, response.code) == (400, "IncompleteBody")
    assert store.get("short").status == 404
    wait_for_no_files(store)


def test_a_chunked_body_without_its_last_chunk_stores_nothing(store: Store) -> None:
    with store.connect() as connection:
        connection.send(put_head(store, "short", Transfer_Encoding="chunked") + b"5\r\nhello\r\n")
        connection.socket.shutdown(socket.SHUT_WR)
        response = connection.read_response()

    assert (response.status, response.code) == (400, "IncompleteBody")
    assert store.get("short").status == 404
    wait_for_no_files(store)


def test_a_half_close_after_the_whole_body_is_answered_normally(shared_store: Store) -> None:
    with shared_store.connect() as connection:
        connection.send(put_head(shared_store, "half", Content_Length="4") + b"full")
        connection.socket.shutdown(socket.SHUT_WR)

        assert connection.read_response().status == 200

    assert shared_store.get("half").body == b"full"


def test_a_chunked_body_becomes_the_object_without_its_framing(shared_store: Store) -> None:
    response = shared_store.exchange(
        put_head(shared_store, "chunked", Transfer_Encoding="chunked")
        + b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
    )

    assert response.status == 200
    assert shared_store.get("chunked").body == b"hello world"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Content-Length: 5\r\n folded\r\n",
    ],
)
def test_a_head_that_could_be_read_in_two_ways_ends_the_connection(shared_store: Store, framing: bytes) -> None:
    target = shared_store.presign("PUT", "smuggled").encode()
    with shared_store.connect() as connection:
        connection.send(b"PUT " + target + b" HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\nhello")
        response = connection.read_response()

        assert (response.status, response.headers["connection"]) == (400, CLOSE)
        assert connection.is_closed()

    assert shared_store.get("smuggled").status == 404


def test_a_bad_chunk_is_refused_and_stores_nothing(shared_store: Store) -> None:
    response = shared_store.exchange(
        put_head(shared_store, "bad-chunk", Transfer_Encoding="chunked") + b"5\r\nhello!!\r\n0\r\n\r\n"
    )

    assert response.status == 400
    assert shared_store.get("bad-chunk").status == 404


def test_100_continue_comes_after_the_authorisation_and_before_the_body(shared_store: Store) -> None:
    with shared_store.connect() as connection:
        connection.send(put_head(shared_store, "expected", Content_Length="2", Expect="100-continue"))
        assert connection.read_response().status == 100
        connection.send(b"ok")

        assert connection.read_response().status == 200


def test_a_refused_expectation_gets_no_100_and_its_body_is_not_read(shared_store: Store) -> None:
    target = shared_store.presign("PUT", "expected") + "0"
    with shared_store.connect() as connection:
        connection.send(shared_store.plain_head("PUT", target, {"Content-Length": "9", "Expect": "100-continue"}))
        response = connection.read_response()

        assert (response.status, response.code) == (403, "SignatureDoesNotMatch")
        assert connection.is_closed()


def test_a_large_body_of_a_refused_request_ends_the_connection_unread(shared_store: Store) -> None:
    target = shared_store.presign("PUT", "refused") + "0"
    with shared_store.connect() as connection:
        connection.send(shared_store.plain_head("PUT", target, {"Content-Length": str(10**12)}) + bytes(100_000))
        response = connection.read_response()

        assert (response.status, response.headers["connection"]) == (403, CLOSE)
        assert connection.is_closed()


def test_a_small_body_of_a_refused_request_leaves_the_connection_usable(shared_store: Store) -> None:
    target = shared_store.presign("PUT", "refused") + "0"
    with shared_store.connect() as connection:
        connection.send(shared_store.plain_head("PUT", target, {"Content-Length": "5"}) + b"hello")
        assert connection.read_response().status == 403

        connection.send(put_head(shared_store, "next", Content_Length="1") + b"x")
        assert connection.read_response().status == 200


def test_a_head_that_is_too_large_is_431(shared_store: Store) -> None:
    response = shared_store.exchange(b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 20_000 + b"\r\n\r\n")

    assert response.status == 431


def test_too_many_headers_are_431(shared_store: Store) -> None:
    response = shared_store.exchange(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: a\r\n" * 200 + b"\r\n")

    assert response.status == 431


def test_trace_is_405_and_names_what_is_allowed(shared_store: Store) -> None:
    response = shared_store.exchange(b"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n")

    assert response.status == 405
    assert "GET" in response.headers["allow"]


def test_garbage_is_400_and_the_store_lives_on(shared_store: Store) -> None:
    assert shared_store.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello over TLS").status == 400

    assert shared_store.exchange(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").body == b"ok\n"


def test_a_slow_head_is_cut_off_while_others_are_served(tmp_path: Path) -> None:
    limits = Limits(reserve_bytes=0, head_seconds=2.0, threads=2)
    with store_in_thread(tmp_path, limits=limits) as store, store.connect() as slow:
        slow.send(b"GET / HTTP/1.1\r\nHo")
        assert store.put("meanwhile", b"x").status == 200

        assert slow.read_response().code == "RequestTimeout"
        assert slow.is_closed()


def test_a_dripping_body_is_cut_off_and_stores_nothing(tmp_path: Path) -> None:
    limits = Limits(reserve_bytes=0, rate_seconds=0.5, rate_bytes=1000, threads=2)
    with store_in_thread(tmp_path, limits=limits) as store, store.connect() as slow:
        slow.send(put_head(store, "drip", Content_Length="1000000") + b"x")

        assert slow.read_response().code == "RequestTimeout"
        wait_for_no_files(store)


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    with store_in_thread(tmp_path) as store:
        assert store.put("large", bytes(30_000_000)).status == 200
    limits = Limits(reserve_bytes=0, rate_seconds=0.5, rate_bytes=1000, threads=2)
    with store_in_thread(tmp_path, limits=limits) as store, store.connect() as deaf:
        deaf.send(store.head_bytes("GET", f"/{BUCKET}/large"))
        wait_for_connections(store, 0)
        received = 0
        while data := deaf.receive():
            received += len(data)

    assert received < 30_000_000


def test_many_slow_uploads_hold_no_threads(tmp_path: Path) -> None:
    with store_in_thread(tmp_path, limits=Limits(reserve_bytes=0, threads=2)) as store:
        slow = [store.connect() for _ in range(100)]
        for number, connection in enumerate(slow):
            connection.send(put_head(store, f"slow-{number}", Content_Length="10") + b"12345")

        assert store.put("quick", b"x").status == 200

        for connection in slow:
            connection.send(b"67890")
        assert [connection.read_response().status for connection in slow] == [200] * 100
        assert store.get("slow-99").body == b"1234567890"
        for connection in slow:
            connection.socket.close()


def test_connections_over_the_limit_are_told_to_slow_down(tmp_path: Path) -> None:
    with store_in_thread(tmp_path, limits=Limits(reserve_bytes=0, connections=3)) as store:
        open_ones = [store.connect() for _ in range(3)]
        for connection in open_ones:
            connection.send(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
            assert connection.read_response().status == 200

        with store.connect() as too_many:
            assert too_many.read_response().code == "SlowDown"

        for connection in open_ones:
            connection.socket.close()
        deadline = time.monotonic() + 10
        while store.exchange(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").status != 200:
            assert time.monotonic() < deadline


def test_parallel_writers_of_one_key_leave_one_whole_version(shared_store: Store) -> None:
    versions = [bytes([number]) * 300_000 for number in range(8)]
    stop = threading.Event()
    seen: list[bytes] = []

    def read_on() -> None:
        while not stop.is_set():
            response = shared_store.get("contended")
            if response.status == 200:
                seen.append(response.body)

    reader = threading.Thread(target=read_on)
    reader.start()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda body: shared_store.put("contended", body).status, versions))
    stop.set()
    reader.join()

    assert statuses == [200] * 8
    assert shared_store.get("contended").body in versions
    assert all(body in versions for body in seen)


def wait_for_connections(store: Store, number: int) -> None:
    """Until the store has so many connections, according to the kernel's table of this machine's sockets."""
    deadline = time.monotonic() + 10
    server_end = f"0100007F:{store.port:04X}"
    established = "01"
    while True:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if sum(row[1] == server_end and row[3] == established for row in rows) == number:
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_no_files(store: Store) -> None:
    """The store removes what it was writing as soon as it notices that the client is gone."""
    deadline = time.monotonic() + 10
    while store.stored_files():
        assert time.monotonic() < deadline, store.stored_files()
        time.sleep(0.01)
