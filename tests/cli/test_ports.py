from __future__ import annotations

import socket
import sys

import pytest

from penstock.cli.supervisor import Plan, Ports, StartError, reserve_ports


def plan(*, port: int = 0, store_port: int = 0, embedded_store: bool = True, host: str = "127.0.0.1") -> Plan:
    return Plan(
        data="unused",
        host=host,
        port=port,
        store_port=store_port,
        metrics_port=None,
        embedded_store=embedded_store,
        private_networks="",
        dev=False,
    )


def release(ports: Ports) -> None:
    for reservation in ports.reservations:
        reservation.close()


def test_port_0_becomes_two_different_ports() -> None:
    ports = reserve_ports(plan())

    assert ports.api > 0
    assert ports.store > 0
    assert ports.api != ports.store
    release(ports)


def test_a_server_can_listen_on_a_reserved_port() -> None:
    ports = reserve_ports(plan())

    with socket.create_server(("127.0.0.1", ports.api)) as listener, socket.socket() as caller:
        caller.connect(("127.0.0.1", ports.api))
        connection, _ = listener.accept()
        connection.close()
    release(ports)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a reservation would stand in our own way")
def test_a_reserved_port_is_given_to_nobody_else() -> None:
    ports = reserve_ports(plan())

    with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind(("127.0.0.1", ports.api))
    release(ports)


def test_a_port_that_somebody_listens_on_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(StartError, match=r"port \d+ on 127.0.0.1 is in use"),
    ):
        reserve_ports(plan(port=listener.getsockname()[1]))


def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(StartError, match=r"port 0 on 198.51.100.1 cannot be used"):
        reserve_ports(plan(host="198.51.100.1"))


def test_a_remote_store_needs_no_port_here() -> None:
    ports = reserve_ports(plan(embedded_store=False, store_port=9))

    assert ports.store == 9
    assert len(ports.reservations) <= 1
    release(ports)
