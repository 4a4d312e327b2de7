"""How services understand reference strings without knowing any dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from penstock.domain.references import Reference


class ReferenceParser(Protocol):
    """Parses one dialect's reference syntax."""

    def __call__(self, text: str, /) -> Reference | None:
        """What the text names, or None when it is not of this syntax.

        Raises `ReferenceInvalid` for a broken one, or `AssetNotFound` where its product makes no difference between a
        broken one and one that names nothing.
        """
        ...
