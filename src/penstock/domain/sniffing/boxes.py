"""ISO base media files (MP4, MOV, 3GP, HEIF, AVIF): boxes of a size and four letters (ISO 14496-12 §4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from penstock.domain.sniffing.probe import Look, View

_MAX_BOXES = 512
"""So many boxes are looked at in one file, whatever it claims to have."""
_MAX_BRANDS = 256
_HEADER = 8
_LONG_HEADER = 16
_UUID = 16
_PICTURES = {
    **dict.fromkeys((b"avif", b"avis", b"avio"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "image/heic"),
}
_NEUTRAL_PICTURES = frozenset({b"mif1", b"mif2", b"mif3", b"msf1", b"miaf", b"MiHB", b"MiHE", b"MiHA"})
"""Brands of HEIF that name no codec; one of the compatible brands does."""
_SOUNDS = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "})
"""Brands of files of sound alone. Their chapters may have pictures, which makes no film of them."""
_FILMS = {b"qt": ("video/quicktime", "audio/quicktime"), b"3g": ("video/3gpp", "audio/3gpp")}
_MP4 = ("video/mp4", "audio/mp4")
_QUICKTIME = _FILMS[b"qt"]
_STARTS = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
_MOVIE_STARTS = frozenset({b"mvhd", b"cmov", b"rmra"})
"""What a QuickTime movie begins with: its header, its compressed header, or references to other movies."""


class _Box(NamedTuple):
    kind: bytes
    body: int
    end: int


def look_at_boxes(view: View) -> Look[str | None]:
    """The type by brand and, of films, by tracks: one with sound alone is a sound.

    A file that begins without a brand is believed only if it has a movie (QuickTime before 2001).
    """
    if view.head[4:8] not in _STARTS:
        return None
    names: tuple[str, str] | None = None
    walk = _Walk(view)
    position = 0
    while (box := (yield from walk.box(position, view.size))) is not None:
        if box.kind in {b"ftyp", b"styp"} and names is None:
            brands = _brands((yield from view.at(box.body, min(box.end - box.body, _MAX_BRANDS))))
            settled = _by_brand(brands)
            if settled is not None:
                return settled
            names = _FILMS.get(brands[0][:2], _MP4) if brands else _MP4
        if box.kind == b"moov":
            return (yield from _by_movie(walk, box, names))
        position = box.end
    return names[0] if names else None


def _brands(body: bytes) -> list[bytes]:
    """The major brand, then the compatible ones; between them stands a version."""
    return [body[i : i + 4] for i in range(0, len(body) - 3, 4) if i != 4]  # noqa: PLR2004 - the version's place


def _by_brand(brands: list[bytes]) -> str | None:
    if not brands:
        return None
    if brands[0] in _SOUNDS:
        return "audio/mp4"
    if brands[0] == b"crx ":
        return "image/x-canon-cr3"
    if brands[0] not in _NEUTRAL_PICTURES:
        return _PICTURES.get(brands[0])
    return next((_PICTURES[brand] for brand in brands if brand in _PICTURES), "image/heif")


def _by_movie(walk: _Walk, movie: _Box, names: tuple[str, str] | None) -> Look[str | None]:
    if names is None:
        first = yield from walk.box(movie.body, movie.end)
        if first is None or first.kind not in _MOVIE_STARTS:
            return None
        names = _QUICKTIME
    film, sound = names
    heard = False
    track = yield from walk.find(b"trak", movie.body, movie.end)
    while track is not None:
        handler = yield from _handler(walk, track)
        if handler == b"vide":
            return film
        heard = heard or handler == b"soun"
        track = yield from walk.find(b"trak", track.end, movie.end)
    return sound if heard else film


def _handler(walk: _Walk, track: _Box) -> Look[bytes]:
    """What sort of media a track is of: `vide`, `soun` and others (ISO 14496-12 §8.4.3)."""
    media = yield from walk.find(b"mdia", track.body, track.end)
    if media is None:
        return b""
    handler = yield from walk.find(b"hdlr", media.body, media.end)
    if handler is None:
        return b""
    return (yield from walk.view.at(handler.body, min(handler.end - handler.body, 12)))[8:]


class _Walk:
    """Boxes one after the other, so many in all and no more."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._left = _MAX_BOXES

    def box(self, start: int, end: int) -> Look[_Box | None]:
        """The box at `start`; it ends where it says, and never behind `end`. None: there is none."""
        self._left -= 1
        if self._left < 0 or start + _HEADER > end:
            return None
        header = yield from self.view.at(start, min(_LONG_HEADER, end - start))
        if len(header) < _HEADER:
            return None
        size, kind, body = int.from_bytes(header[:4], "big"), header[4:8], start + _HEADER
        if size == 1:  # the size has eight bytes of its own
            size, body = int.from_bytes(header[8:16], "big"), start + _LONG_HEADER
        if kind == b"uuid":
            body += _UUID
        stop = end if size == 0 else start + size
        return _Box(kind, body, min(stop, end)) if body <= stop else None

    def find(self, kind: bytes, start: int, end: int) -> Look[_Box | None]:
        """The next box of that kind among those that begin at `start`."""
        while (box := (yield from self.box(start, end))) is not None:
            if box.kind == kind:
                return box
            start = box.end
        return None
