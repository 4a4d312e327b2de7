"""Request heads have an end, in bytes and in time, whoever sends them (P9, F10)."""

from __future__ import annotations

import socket
from http.client import HTTPResponse
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from tests.support.server import Server


def test_a_head_without_end_is_refused_after_a_bounded_number_of_bytes(server: Server) -> None:
    with _connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")

        sent, answer = _send_until_refused(connection, b"x: " + b"a" * 1021 + b"\r\n", most=8 * 2**20)

    assert sent < 8 * 2**20
    assert answer in {b"", b"HTTP/1.1 431"}  # a reset may overtake the answer


def test_a_head_that_never_ends_is_given_up_in_time(server: Server) -> None:
    with _connect(server) as connection:
        connection.settimeout(25)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")

        assert connection.recv(64).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("padding", [1000, 60_000])
def test_a_large_head_within_the_bounds_and_a_large_body_pass(server: Server, api_key: str, padding: int) -> None:
    body = b"{" + b" " * 300_000 + b"}"
    head = (
        f"POST /v1/runs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api_key}\r\nContent-Length: {len(body)}\r\n"
        f"X-Padding: {'a' * padding}\r\n\r\n"
    )
    with _connect(server) as connection:
        for _ in range(2):  # the second one on the kept connection
            connection.sendall(head.encode() + body)

            answer = HTTPResponse(connection)
            answer.begin()
            assert (answer.status, answer.read()[:1]) == (422, b"{")


def _connect(server: Server) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)


def _send_until_refused(connection: socket.socket, line: bytes, *, most: int) -> tuple[int, bytes]:
    sent = 0
    try:
        while sent < most:
            connection.sendall(line)
            sent += len(line)
    except OSError:
        pass
    try:
        return sent, connection.recv(12)
    except OSError:
        return sent, b""
