"""The bytes of files that stand in answers: of one answer, of an account, of all, and how they are given back (P9)."""

from __future__ import annotations

import pytest

from penstock.dialects.runware.rooms import MOST_OF_ACCOUNT, MOST_OF_ALL, MOST_OF_ANSWER, Rooms
from penstock.domain.errors import RateLimited
from penstock.domain.ids import AccountId

ACME, RIVAL = AccountId("acme"), AccountId("rival")


def test_an_answer_an_account_and_all_of_them_hold_so_much_and_no_byte_more() -> None:
    rooms = Rooms()
    first = rooms.open(ACME, until_closed=True)
    first.take(MOST_OF_ANSWER)
    with pytest.raises(RateLimited):
        first.take(1)

    rooms.open(ACME, until_closed=True).take(MOST_OF_ACCOUNT - MOST_OF_ANSWER)
    with pytest.raises(RateLimited):
        rooms.open(ACME, until_closed=True).take(1)

    for number in range(MOST_OF_ALL // MOST_OF_ANSWER - MOST_OF_ACCOUNT // MOST_OF_ANSWER):
        rooms.open(AccountId(str(number)), until_closed=True).take(MOST_OF_ANSWER)
    with pytest.raises(RateLimited):
        rooms.open(RIVAL, until_closed=True).take(1)
    first.close()
    rooms.open(RIVAL, until_closed=True).take(MOST_OF_ANSWER)


def test_a_refused_byte_is_not_held() -> None:
    rooms = Rooms()
    room = rooms.open(ACME, until_closed=True)
    for size in (MOST_OF_ACCOUNT, MOST_OF_ANSWER + 1):
        with pytest.raises(RateLimited):
            room.take(size)

    room.take(MOST_OF_ANSWER)


def test_what_is_sent_piece_by_piece_is_given_back_with_each_and_what_is_sent_whole_at_its_end_once() -> None:
    rooms = Rooms()
    pieces, whole = rooms.open(ACME, until_closed=False), rooms.open(ACME, until_closed=True)
    for _ in range(3):
        pieces.take(MOST_OF_ANSWER)
        pieces.sent()
    whole.take(MOST_OF_ANSWER)
    whole.sent()
    with pytest.raises(RateLimited):
        whole.take(1)
    whole.close()
    whole.close()

    rooms.open(ACME, until_closed=True).take(MOST_OF_ANSWER)
    rooms.open(ACME, until_closed=True).take(MOST_OF_ACCOUNT - MOST_OF_ANSWER)
    with pytest.raises(RateLimited):
        pieces.take(1)


def test_who_is_late_for_an_answer_that_is_over_takes_nothing_of_it() -> None:
    rooms = Rooms()
    pieces, whole = rooms.open(ACME, until_closed=False), rooms.open(ACME, until_closed=True)
    pieces.take(MOST_OF_ANSWER)
    pieces.sent(last=True)
    whole.take(MOST_OF_ANSWER)
    whole.close()
    for late in (pieces, whole):
        with pytest.raises(RateLimited):
            late.take(1)
        late.give_back(MOST_OF_ANSWER)

    rooms.open(ACME, until_closed=True).take(MOST_OF_ANSWER)
    rooms.open(ACME, until_closed=True).take(MOST_OF_ACCOUNT - MOST_OF_ANSWER)
    with pytest.raises(RateLimited):
        rooms.open(ACME, until_closed=True).take(1)


def test_what_is_not_told_after_all_is_given_back_alone() -> None:
    room = Rooms().open(ACME, until_closed=True)
    room.take(MOST_OF_ANSWER)
    room.give_back(10)
    with pytest.raises(RateLimited):
        room.take(11)

    room.take(10)
