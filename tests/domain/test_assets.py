"""Assets: how long they can be read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock.domain.assets import is_expired, is_readable
from penstock.domain.ids import AccountId
from tests.support.records import NOW, make_asset

ACME = AccountId("acme")
TICK = timedelta(microseconds=1)


def test_an_asset_is_readable_until_exactly_its_expiry() -> None:
    asset = make_asset(1, ACME, expires_at=NOW)

    assert is_readable(asset, at=NOW - TICK)
    assert not is_readable(asset, at=NOW)
    assert is_expired(asset, at=NOW, leased=False)


def test_a_lease_outlives_the_expiry() -> None:
    asset = make_asset(1, ACME, expires_at=NOW)

    assert is_readable(asset, at=NOW + timedelta(days=1), leased=True)


@pytest.mark.parametrize("leased", [False, True])
def test_an_asset_without_expiry_stays(leased: bool) -> None:
    assert is_readable(make_asset(1, ACME), at=NOW + timedelta(days=10_000), leased=leased)


@pytest.mark.parametrize("leased", [False, True])
def test_a_deleted_asset_is_unreadable_at_once_even_when_leased(leased: bool) -> None:
    asset = make_asset(1, ACME, deleted_at=NOW)

    assert not is_readable(asset, at=NOW, leased=leased)
    assert not is_readable(asset, at=NOW - timedelta(hours=1), leased=leased)
