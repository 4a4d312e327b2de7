"""The guard that keeps tests on this machine."""

from __future__ import annotations

import socket

import pytest

FORBIDDEN = pytest.fail.Exception


def test_a_connection_to_another_machine_fails_the_test() -> None:
    with socket.socket() as outgoing, pytest.raises(FORBIDDEN, match=r"192\.0\.2\.1"):
        outgoing.connect(("192.0.2.1", 9))


def test_a_datagram_to_another_machine_fails_the_test() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as outgoing, pytest.raises(FORBIDDEN, match=r"192\.0\.2\.1"):
        outgoing.sendto(b"x", ("192.0.2.1", 9))


def test_looking_up_a_public_name_fails_the_test() -> None:
    with pytest.raises(FORBIDDEN, match=r"example\.com"):
        socket.getaddrinfo("example.com", 80)


def test_a_name_that_exists_nowhere_is_not_found_as_usual() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("nowhere.invalid", 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_can_be_reached(host: str) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection((host, server.getsockname()[1])) as connection,
    ):
        assert connection.getpeername() == server.getsockname()
