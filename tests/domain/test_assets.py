"""Assets: how long they can be read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock.domain.assets import is_expired, is_readable, type_by_bytes
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


@pytest.mark.parametrize(
    ("content_type", "found", "told"),
    [
        ("image/png", None, "image/png"),
        ("image/png", "image/png", "image/png"),
        ("image/png", "image/jpeg", "image/jpeg"),
        ("image/png", "application/octet-stream", "application/octet-stream"),
        ("video/mp4", "audio/mp4", "audio/mp4"),
        ("text/csv", "text/plain", "text/csv"),
        ("application/x-own", "application/octet-stream", "application/x-own"),
        ("application/octet-stream", "text/plain", "application/octet-stream"),
    ],
)
def test_a_model_is_told_what_the_bytes_are_and_not_what_they_were_declared(
    content_type: str, found: str | None, told: str
) -> None:
    assert type_by_bytes(make_asset(1, ACME, content_type=content_type, found_type=found)) == told
