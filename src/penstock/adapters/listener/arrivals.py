"""Large messages that are on their way: how much of them a listener holds, and of whom (P9)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ARRIVING = 128 * 2**20
"""Bytes of all of them."""
MOST_OF_ONE = 68 * 2**20
"""Bytes of one owner's, whatever room there is: four of the largest, and their frames."""


class Arrival(Protocol):
    """A connection whose message is on its way."""

    @property
    def owner(self) -> str:
        """Whose it is."""
        ...

    @property
    def unread(self) -> int:
        """Bytes of a message that is not there as a whole."""
        ...


A = TypeVar("A", bound=Arrival)


class Arrivals(Generic[A]):
    """Who holds how much. For the event loop alone."""

    def __init__(self) -> None:
        self._held: dict[A, tuple[str, int]] = {}
        self._owners: Counter[str] = Counter()

    def hold(self, arrival: A, size: int) -> A | None:
        """From now on it holds so many bytes. Returns who has to give way for them, if somebody has to.

        Beyond an owner's share that is the one that grew. Where all together are too much, it is a message that is not
        there as a whole yet, of the owner who holds the most: so nobody who sends much takes the room of the others.
        """
        owner = arrival.owner
        before, held = self._held.pop(arrival, (owner, 0))  # a stranger's, it may be, who is known by now
        self._owners[before] -= held
        if not self._owners[before]:
            del self._owners[before]
        if not size:
            return None
        self._owners[owner] += size
        self._held[arrival] = owner, size
        if self._owners[owner] > MOST_OF_ONE:
            return arrival
        if sum(self._owners.values()) <= MOST_ARRIVING:
            return None
        return max(self._unfinished(), key=lambda one: (self._owners[one.owner], self._held[one][1]), default=arrival)

    def _unfinished(self) -> Iterator[A]:
        return (one for one in self._held if one.unread)
