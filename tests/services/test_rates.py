"""Rates: what is counted apart, and that what is remembered has an end."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from penstock.domain.errors import RateLimited
from penstock.domain.ids import KeyId
from penstock.domain.rates import RateLimits
from penstock.services import rates
from penstock.services.rates import Rates, require_fitting


class Standing:
    """A clock that stands."""

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_nothing_is_counted_where_there_is_no_limit() -> None:
    free = Rates(RateLimits(), clock=Standing())

    assert free.of_address("192.0.2.1") is free.of_key(KeyId("a")) is free.of_uploads(KeyId("a")) is None
    free.failed("192.0.2.1")
    free.check_failures("192.0.2.1")


def test_addresses_keys_uploads_and_failures_are_counted_apart() -> None:
    strict = Rates(RateLimits(per_key=1, per_address=1, uploads=1, failures=1), clock=Standing())
    one, other = "one", "other"

    first = [strict.of_address(one), strict.of_key(KeyId(one)), strict.of_uploads(KeyId(one)), strict.of_address(other)]
    strict.check_failures(one)
    strict.failed(one)

    for verdict in first:
        require_fitting(verdict)
    for act in (strict.of_address, strict.of_key, strict.of_uploads):
        with pytest.raises(RateLimited) as refused:
            require_fitting(act(KeyId(one)))
        assert refused.value.retry_after == 60
    with pytest.raises(RateLimited):
        strict.check_failures(one)
    strict.check_failures(other)


def test_who_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_KNOWN", 3)
    strict = Rates(RateLimits(per_address=1), clock=Standing())

    admitted = [
        verdict.fits for name in ("a", "b", "c", "a", "d", "a") if (verdict := strict.of_address(name)) is not None
    ]

    assert admitted == [True, True, True, False, True, True]
