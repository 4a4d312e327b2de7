"""What the database says of the bucket as a whole: its own mark, and which keys lead nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.domain.installation import Mark


class InstallationRepository(Protocol):
    """The one installation of this database."""

    def mark(self) -> Mark | None:
        """This database's mark; None while it has none."""
        ...

    def make_mark(self, new_id: str) -> Mark:
        """This database's mark, made with that id where there was none. In a write transaction."""
        ...

    def advance(self, *, above: int) -> Mark:
        """Raise the generation, to more than `above`. In a write transaction; there must be a mark."""
        ...

    def strangers(self, keys: Iterable[str]) -> frozenset[str]:
        """Those of the keys to which nothing in the database leads.

        What leads to a key: an asset (as object or thumbnail) whose bytes are not gone, and an upload whose id stands
        in the key and that is not over, or whose staging object was not yet removed; a model file, and the id of one
        that a model upload is still making.
        """
        ...

    def being_made(self, ids: Iterable[str]) -> frozenset[str]:
        """Those of the ids that are model files on which a model upload works that has not ended."""
        ...
