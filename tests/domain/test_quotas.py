"""Quotas: which limit counts, and what fits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.errors import InvalidField, QuotaExceeded
from penstock.domain.quotas import NO_LIMIT, Change, Limits, Usage, check_limits, require_room


def test_a_limit_of_its_own_counts_before_the_default() -> None:
    own, defaults = Limits(bytes=5, files=NO_LIMIT), Limits(bytes=9, files=9, open_uploads=9)

    counting = own.over(defaults)

    assert counting == Limits(bytes=5, files=NO_LIMIT, open_uploads=9)
    assert counting.told() == Limits(bytes=5, files=None, open_uploads=9)


@pytest.mark.parametrize("limits", [Limits(bytes=-1), Limits(files=NO_LIMIT + 1), Limits(open_uploads=-5)])
def test_a_limit_that_cannot_be_counted_is_refused(limits: Limits) -> None:
    with pytest.raises(InvalidField):
        check_limits(limits)


@pytest.mark.parametrize(
    ("change", "after", "limits"),
    [
        ({"reserved": 5}, {"bytes": 5, "reserved": 5}, {"bytes": 10}),
        ({"open_uploads": 1}, {"files": 2, "open_uploads": 1}, {"files": 3, "open_uploads": 1}),
        ({"bytes": 5, "reserved": -5}, {"bytes": 50}, {"bytes": 10}),
        ({"files": 1, "open_uploads": -1}, {"files": 50}, {"files": 10}),
        ({"bytes": -5}, {"bytes": 50}, {"bytes": 10}),
    ],
    ids=["to the last byte", "to the last file", "what was reserved", "the reserved file", "giving back"],
)
def test_what_fits_or_grows_nothing_is_let_in(
    change: dict[str, Any], after: dict[str, Any], limits: dict[str, Any]
) -> None:
    require_room(Change(**change, bound=True), after=Usage(**after), limits=Limits(**limits))


@pytest.mark.parametrize(
    ("change", "after", "limits", "what"),
    [
        ({"reserved": 6}, {"bytes": 5, "reserved": 6}, {"bytes": 10}, "bytes"),
        ({"bytes": 6, "reserved": -5}, {"bytes": 11}, {"bytes": 10}, "bytes"),
        ({"open_uploads": 1}, {"files": 3, "open_uploads": 1}, {"files": 3}, "files"),
        ({"open_uploads": 1}, {"open_uploads": 2}, {"open_uploads": 1}, "open uploads"),
        ({"files": 1}, {"files": 1}, {"files": 0}, "files"),
    ],
)
def test_one_too_many_is_refused_with_the_limit_and_what_is_taken(
    change: dict[str, Any], after: dict[str, Any], limits: dict[str, Any], what: str
) -> None:
    with pytest.raises(QuotaExceeded) as refused:
        require_room(Change(**change, bound=True), after=Usage(**after), limits=Limits(**limits))

    assert refused.value.what == what
    assert refused.value.used <= refused.value.limit < refused.value.used + refused.value.needed


def test_what_is_not_bound_is_let_in_over_every_limit() -> None:
    change = Change(bytes=6, files=1)

    require_room(change, after=Usage(bytes=11, files=1), limits=Limits(bytes=0, files=0, open_uploads=0))


AMOUNTS = st.integers(min_value=-(10**6), max_value=10**6)
CHANGES = st.builds(Change, bytes=AMOUNTS, files=AMOUNTS, reserved=AMOUNTS, open_uploads=AMOUNTS, bound=st.booleans())


@given(first=CHANGES, second=CHANGES)
def test_changes_add_up_in_any_order_and_one_that_is_bound_binds_both(first: Change, second: Change) -> None:
    together = first + second

    assert together == second + first
    assert together.bytes == first.bytes + second.bytes
    assert together.bound == (first.bound or second.bound)
