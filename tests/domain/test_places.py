"""Places: one more run waits when any limit that there is has been reached."""

from __future__ import annotations

import pytest

from penstock.domain.places import Places, Running

RUNNING = Running(model=3, account=2, model_of_account=1)


@pytest.mark.parametrize(
    ("places", "taken"),
    [
        (Places(), False),
        (Places(model=4, account=3, model_of_account=2), False),
        (Places(model=3), True),
        (Places(model=1), True),
        (Places(account=2), True),
        (Places(model_of_account=1), True),
        (Places(model=4, account=2, model_of_account=9), True),
    ],
)
def test_each_limit_holds_by_itself(places: Places, *, taken: bool) -> None:
    assert places.are_taken(RUNNING) is taken


def test_nothing_is_counted_where_nothing_is_limited() -> None:
    assert not Places().are_limited
    assert all(places.are_limited for places in (Places(model=1), Places(account=1), Places(model_of_account=1)))
