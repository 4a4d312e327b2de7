"""Shares of a worker's places."""

from __future__ import annotations

from penstock.workflows.places import Places

SLOW = {"host slow": 2, "account a": 3}
OTHER = {"host other": 2, "account b": 3}


def test_a_share_in_use_leaves_the_rest_to_others() -> None:
    places = Places()

    assert [places.enter(SLOW, spread=0.0) for _ in range(2)] == [0.0, 0.0]
    assert places.enter(SLOW, spread=0.0) > 0
    assert places.enter(OTHER, spread=0.0) == 0.0


def test_an_account_has_a_share_over_all_hosts() -> None:
    places = Places()
    for host in ("host one", "host two", "host three"):
        assert places.enter({host: 2, "account a": 3}, spread=0.0) == 0.0

    assert places.enter({"host four": 2, "account a": 3}, spread=0.0) > 0


def test_who_leaves_makes_room() -> None:
    places = Places()
    for _ in range(2):
        places.enter(SLOW, spread=0.0)

    places.leave(SLOW, seconds=0.01)

    assert places.enter(SLOW, spread=0.0) == 0.0


def test_each_who_waits_gets_a_later_turn_as_long_as_the_others_take() -> None:
    places = Places()
    for _ in range(3):
        places.enter({"host slow": 3}, spread=0.0)
    places.leave({"host slow": 3}, seconds=60.0)
    places.enter({"host slow": 3}, spread=0.0)

    waits = [places.enter({"host slow": 3}, spread=0.0) for _ in range(5)]

    assert waits == sorted(waits)
    assert waits[-1] - waits[0] > 30.0


def test_the_longest_waits_end_and_are_spread() -> None:
    places = Places()
    limits = {"host slow": 2}
    for _ in range(2):
        places.enter(limits, spread=0.0)
    places.leave(limits, seconds=10_000.0)
    for _ in range(3):
        places.enter(limits, spread=0.0)

    assert 120.0 <= places.enter(limits, spread=0.0) < 121.0
    assert 170.0 < places.enter(limits, spread=0.5) < 190.0
