"""In the child: which way of looking suits which type. What is not listed is not opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.adapters.media import pictures
from penstock.adapters.media.faults import UnreadableError

if TYPE_CHECKING:
    from typing import BinaryIO

    from penstock.adapters.media.found import Found

UNKNOWN = "there is no decoder here for files of this type"


def prepare() -> None:
    """What libraries do on first use is done now, while files can still be opened."""
    pictures.prepare()


def films() -> str:
    """What opens films, in words."""
    return "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """Looks into files; a picture may have at most so many `pixels`."""

    pixels: int

    def __call__(
        self, file: BinaryIO, content_type: str, found: Found, *, complete: bool, want_thumbnail: bool
    ) -> None:
        """Put what can be seen into `found`. Raises `UnreadableError`, and whatever a hostile file makes raise."""
        if content_type in pictures.FORMATS:
            view = pictures.View(pixels=self.pixels, complete=complete, want_thumbnail=want_thumbnail)
            pictures.look(file, content_type, found, view)
            return
        raise UnreadableError(UNKNOWN)
