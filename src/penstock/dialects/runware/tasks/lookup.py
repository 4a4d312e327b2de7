"""What a kind of tasks offers to those who ask about one later (contract §6.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from penstock.dialects.runware.rooms import Room
from penstock.dialects.runware.task import Item, Refusal
from penstock.domain.accounts import Scope
from penstock.domain.ids import AccountId


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Where tasks of one type are found by the account that sent them and their UUID, with a key of that scope.

    Both functions return None for what is not there: never sent, another account's, or of another type. `response`:
    where it stands, as items and refusals, whose bytes take their room. `request`: the task as it was sent, as far as
    that was kept.
    """

    task_type: str
    scope: Scope
    response: Callable[[AccountId, str, Room], Sequence[Item | Refusal] | None]
    request: Callable[[AccountId, str], Mapping[str, object] | None]
