"""Fails a test that looks up or calls anything but this machine.

It guards Python's own sockets in the test process; child processes and libraries that open sockets in C are not seen.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CALLS = ("connect", "connect_ex", "sendto", "sendmsg")


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in _CALLS:
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
        yield


def stays_on_this_machine(host: str) -> bool:
    """Whether a connection to `host` cannot leave the machine (`localhost`, loopback and unspecified addresses)."""
    if host in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _guarded(call: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:  # noqa: ANN401 - stands in for four different methods
        for address in args:
            if self.family in {socket.AF_INET, socket.AF_INET6} and isinstance(address, tuple):
                _require(address[0])
        return call(self, *args)

    return guarded


def _guarded_lookup(call: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passes everything on
        name = host.decode() if isinstance(host, bytes) else host or ""
        if name.endswith(".invalid"):  # never resolves, anywhere (RFC 6761 §6.4)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not _is_address(name):
            _require(name)
        return call(host, *args, **kwargs)

    return guarded


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _require(host: str) -> None:
    # An outcome of pytest, not an `Exception`: code under test that handles network errors must not handle this one.
    if not stays_on_this_machine(host):
        pytest.fail(f"a test tried to reach {host!r}; tests reach only this machine")
