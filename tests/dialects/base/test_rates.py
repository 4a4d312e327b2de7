"""Where requests come from, as rates count them."""

from __future__ import annotations

import pytest

from penstock.dialects.base.rates import address_of


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("a:b", "a:b"),
    ],
)
def test_an_address_is_one_of_ipv4_or_a_network_of_ipv6(host: str, address: str) -> None:
    assert address_of({"type": "http", "client": (host, 50_000)}) == address


def test_who_comes_through_a_socket_file_has_no_address() -> None:
    assert address_of({"type": "http", "client": None}) == ""
