"""The tables of life cycles, taken whole: every state with every event."""

from __future__ import annotations

from enum import StrEnum

import pytest

from penstock.domain.errors import IllegalTransition
from penstock.domain.lifecycles import advance


class Door(StrEnum):
    OPEN = "open"
    SHUT = "shut"


class Push(StrEnum):
    PULL = "pull"
    PUSH = "push"


TABLE = {(Door.OPEN, Push.PULL): Door.SHUT, (Door.SHUT, Push.PUSH): Door.OPEN}


@pytest.mark.parametrize("state", Door)
@pytest.mark.parametrize("event", Push)
def test_a_pair_leads_where_the_table_says_and_any_other_is_illegal(state: Door, event: Push) -> None:
    following = TABLE.get((state, event))

    if following is not None:
        assert advance(TABLE, state, event, subject="door 7") is following
        return
    with pytest.raises(IllegalTransition) as caught:
        advance(TABLE, state, event, subject="door 7")

    assert (caught.value.subject, caught.value.state, caught.value.event) == ("door 7", state.value, event.value)
    assert caught.value.message == f"door 7 is {state.value}; {event.value} is not possible now"
