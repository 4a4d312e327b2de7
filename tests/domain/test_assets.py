"""Assets: how long they can be read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from penstock.domain.assets import Ending, deleted, is_expired, is_readable, over_at, tombstone_of, type_by_bytes
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


# --- the end


def test_a_purged_asset_is_unreadable_whatever_its_expiry() -> None:
    assert not is_readable(make_asset(1, ACME, purged_at=NOW), at=NOW - TICK, leased=True)


def test_an_asset_that_is_deleted_again_goes_no_later_than_before() -> None:
    week, day = timedelta(days=7), timedelta(days=1)
    once = deleted(make_asset(1, ACME), now=NOW, trash=week)

    again = deleted(once, now=NOW + day, trash=week)
    at_once = deleted(once, now=NOW + day, trash=timedelta(0))

    assert (once.deleted_at, once.purge_at) == (NOW, NOW + week)
    assert again == once
    assert (at_once.deleted_at, at_once.purge_at) == (NOW, NOW + day)


@pytest.mark.parametrize(
    ("fields", "over"),
    [
        ({}, None),
        ({"expires_at": NOW}, NOW),
        ({"deleted_at": NOW, "purge_at": NOW + TICK}, NOW + TICK),
        ({"deleted_at": NOW}, NOW),
        ({"deleted_at": NOW - TICK, "purge_at": NOW + TICK, "expires_at": NOW}, NOW),
    ],
)
def test_bytes_may_go_at_the_earlier_of_two_ends(fields: dict[str, Any], over: datetime | None) -> None:
    assert over_at(make_asset(1, ACME, **fields)) == over


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"expires_at": NOW}, (NOW, Ending.EXPIRED)),
        ({"deleted_at": NOW, "expires_at": NOW + TICK}, (NOW, Ending.DELETED)),
        ({"deleted_at": NOW + TICK, "expires_at": NOW}, (NOW, Ending.EXPIRED)),
    ],
)
def test_a_tombstone_tells_what_came_first(fields: dict[str, Any], told: tuple[datetime, Ending]) -> None:
    tombstone = tombstone_of(make_asset(1, ACME, **fields))

    assert tombstone is not None
    assert (tombstone.at, tombstone.ending) == told


def test_what_stays_has_no_tombstone() -> None:
    assert tombstone_of(make_asset(1, ACME)) is None
