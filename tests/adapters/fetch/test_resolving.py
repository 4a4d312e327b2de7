"""Names become addresses, and nobody waits for a name server that does not answer."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any

from penstock.adapters.fetch.resolving import SystemResolver

if TYPE_CHECKING:
    import pytest


def test_a_name_of_this_machine_has_a_loopback_address() -> None:
    assert ipaddress.ip_address("127.0.0.1") in SystemResolver()("localhost")


def test_an_unknown_name_has_no_addresses() -> None:
    assert SystemResolver()("nowhere.invalid") == ()


def test_a_lookup_that_hangs_is_left_behind_and_holds_no_more_than_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    done = threading.Event()

    def hanging(*_: Any, **__: Any) -> list[Any]:  # noqa: ANN401 - stands in for `getaddrinfo`
        answer.wait(30)
        done.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    resolver = SystemResolver(seconds=0.05, threads=1)

    assert resolver("slow.test") == ()
    assert resolver("other.test") == ()
    assert sum(thread.name == "resolve" for thread in threading.enumerate()) == 1

    answer.set()
    assert done.wait(30)
