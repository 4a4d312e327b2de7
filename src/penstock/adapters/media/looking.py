"""In the child: which way of looking suits which type. What is not listed is not opened."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.adapters.media import boxes, films, matroska, pictures, sounds
from penstock.adapters.media.faults import UnreadableError

if TYPE_CHECKING:
    from typing import BinaryIO

    from penstock.adapters.media.found import Found

_NO_DECODER = "there is no decoder here for files of this type"
_NOT_DRAWN = "drawings of this type are not turned into pixels"
_HEIF = frozenset({"image/heic", "image/heif"})


def prepare() -> None:
    """What libraries do on first use is done now, while files can still be opened."""
    pictures.prepare()
    films.prepare()


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
        elif content_type in _HEIF:
            boxes.still(file, found)
            raise UnreadableError(_NO_DECODER)
        elif content_type == "audio/wav":
            sounds.wav(file, found, want_thumbnail=want_thumbnail)
        elif content_type in films.DEMUXERS:
            self._look_at_film(file, content_type, found, complete=complete, want_thumbnail=want_thumbnail)
        else:
            raise UnreadableError(_NOT_DRAWN if content_type == "image/svg+xml" else _NO_DECODER)

    def _look_at_film(
        self, file: BinaryIO, content_type: str, found: Found, *, complete: bool, want_thumbnail: bool
    ) -> None:
        """Headers first, which need no decoder; then the decoder, if it is there and wanted."""
        with contextlib.suppress(struct.error, IndexError, UnreadableError):
            _headers(file, content_type, found, complete=complete)
        if films.installed() or want_thumbnail:
            file.seek(0)
            films.look(file, content_type, found, pixels=self.pixels, want_thumbnail=want_thumbnail)


def _headers(file: BinaryIO, content_type: str, found: Found, *, complete: bool) -> None:
    match films.DEMUXERS[content_type]:
        case "mov":
            boxes.film(file, found)
        case "matroska":
            matroska.film(file, found)
        case "ogg":
            sounds.ogg(file, found)
        case "flac":
            sounds.flac(file, found)
        case "mp3":
            sounds.mp3(file, found, complete=complete)
