"""How a life cycle is written down: a total table from (state, event) to the next state.

A pair that the table lacks is illegal: `advance` raises and nothing changes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from penstock.domain.errors import IllegalTransition

if TYPE_CHECKING:
    from collections.abc import Mapping


S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


def advance(table: Mapping[tuple[S, E], S], state: S, event: E, *, subject: str) -> S:
    """The state after `event`. Raises `IllegalTransition`."""
    following = table.get((state, event))
    if following is None:
        raise IllegalTransition(subject=subject, state=state.value, event=event.value)
    return following
