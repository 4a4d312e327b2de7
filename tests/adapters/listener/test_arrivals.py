"""Whose large messages are on their way: what is held comes back to whom it was counted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.adapters.listener import arrivals
from penstock.adapters.listener.arrivals import Arrivals

if TYPE_CHECKING:
    import pytest


@dataclass(eq=False)
class Coming:
    owner: str
    unread: int = 1


def test_what_came_while_somebody_was_a_stranger_is_given_back_as_a_stranger_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MOST_OF_ONE", 100)
    held: Arrivals[Coming] = Arrivals()
    for _ in range(5):
        first = Coming("")
        assert held.hold(first, 60) is None
        first.owner = "acme"
        assert held.hold(first, 0) is None

    stranger, known = Coming(""), Coming("acme")
    assert held.hold(stranger, 100) is None
    assert held.hold(known, 101) is known
