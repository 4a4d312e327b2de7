"""Matroska and WebM: EBML elements of an id, a size and a body (RFC 8794, RFC 9559)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from penstock.domain.sniffing.probe import Look, View

_MAX_ELEMENTS = 512
"""So many elements are looked at in one file, whatever it claims to have."""
_LONGEST_HEADER = 12
"""An id of up to four bytes and a size of up to eight."""
_EBML, _DOC_TYPE = b"\x1a\x45\xdf\xa3", b"\x42\x82"
_SEGMENT, _TRACKS, _TRACK, _TRACK_TYPE = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\x83"
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = b"\x11\x4d\x9b\x74", b"\x4d\xbb", b"\x53\xab", b"\x53\xac"
_CLUSTER = b"\x1f\x43\xb6\x75"
_VIDEO, _COMPLEX, _AUDIO = 1, 3, 2
_NAMES = {b"webm": ("video/webm", "audio/webm"), b"matroska": ("video/x-matroska", "audio/x-matroska")}


class _Element(NamedTuple):
    id: bytes
    body: int
    end: int


def look_at_matroska(view: View) -> Look[str | None]:
    """The type by the header's document type and, where they are within reach, by the tracks."""
    if not view.head.startswith(_EBML):
        return None
    walk = _Walk(view)
    header = yield from walk.element(0, view.size)
    doc_type = (yield from walk.find(_DOC_TYPE, header.body, header.end)) if header else None
    if header is None or doc_type is None:
        return None
    names = _NAMES.get((yield from view.at(doc_type.body, min(doc_type.end - doc_type.body, 16))).rstrip(b"\x00"))
    if names is None:
        return None
    film, sound = names
    segment = yield from walk.find(_SEGMENT, header.end, view.size)
    tracks = (yield from _tracks_of(walk, segment)) if segment else None
    sorts = (yield from _sorts_of(walk, tracks)) if tracks else frozenset()
    return sound if _AUDIO in sorts and not sorts & {_VIDEO, _COMPLEX} else film


def _tracks_of(walk: _Walk, segment: _Element) -> Look[_Element | None]:
    """The element that describes the tracks: before the first cluster, or else where the seek head says."""
    position, told = segment.body, None
    while (element := (yield from walk.element(position, segment.end))) is not None:
        if element.id == _TRACKS:
            return element
        if element.id == _SEEK_HEAD:
            told = yield from _seek(walk, element)
        if element.id == _CLUSTER:
            break
        position = element.end
    if told is None:
        return None
    tracks = yield from walk.element(segment.body + told, segment.end)
    return tracks if tracks and tracks.id == _TRACKS else None


def _seek(walk: _Walk, head: _Element) -> Look[int | None]:
    """Where the seek head says that the tracks are, from the segment's first byte."""
    entry = yield from walk.find(_SEEK, head.body, head.end)
    while entry is not None:
        of = yield from walk.find(_SEEK_ID, entry.body, entry.end)
        if of is not None and (yield from walk.value(of)) == int.from_bytes(_TRACKS, "big"):
            position = yield from walk.find(_SEEK_POSITION, entry.body, entry.end)
            return (yield from walk.value(position)) if position else None
        entry = yield from walk.find(_SEEK, entry.end, head.end)
    return None


def _sorts_of(walk: _Walk, tracks: _Element) -> Look[frozenset[int]]:
    """The sorts of tracks there are; one of pictures ends the search."""
    sorts: set[int] = set()
    track = yield from walk.find(_TRACK, tracks.body, tracks.end)
    while track is not None and _VIDEO not in sorts:
        sort = yield from walk.find(_TRACK_TYPE, track.body, track.end)
        if sort is not None:
            sorts.add((yield from walk.value(sort)))
        track = yield from walk.find(_TRACK, track.end, tracks.end)
    return frozenset(sorts)


class _Walk:
    """Elements one after the other, so many in all and no more."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._left = _MAX_ELEMENTS

    def element(self, start: int, end: int) -> Look[_Element | None]:
        """The element at `start`; it ends where it says, and never behind `end`. None: there is none."""
        self._left -= 1
        if self._left < 0 or start >= end:
            return None
        header = yield from self._view.at(start, min(_LONGEST_HEADER, end - start))
        id_length = _length(header[:1])
        size_length = _length(header[id_length : id_length + 1])
        body = id_length + size_length
        if not 0 < id_length <= 4 or not size_length or len(header) < body:  # noqa: PLR2004 - RFC 9559 §5: ids of 1–4
            return None
        marker = 1 << (7 * size_length)
        size = int.from_bytes(header[id_length:body], "big") ^ marker
        unknown = size == marker - 1
        stop = end if unknown else min(start + body + size, end)
        return _Element(header[:id_length], start + body, stop)

    def find(self, identity: bytes, start: int, end: int) -> Look[_Element | None]:
        """The next element with that id among those that begin at `start`."""
        while (element := (yield from self.element(start, end))) is not None:
            if element.id == identity:
                return element
            start = element.end
        return None

    def value(self, element: _Element) -> Look[int]:
        """An unsigned number."""
        return int.from_bytes((yield from self._view.at(element.body, min(element.end - element.body, 8))), "big")


def _length(first: bytes) -> int:
    """How many bytes an id or a size has, by the zeros before its first one; 0 where it has none (RFC 8794 §4)."""
    return 9 - first[0].bit_length() if first and first[0] else 0
