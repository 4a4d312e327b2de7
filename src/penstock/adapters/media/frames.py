"""How many frames or pages a picture file has, read off its structure: nothing is decoded, and the walk is bounded."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

    from penstock.adapters.media.found import Found

_MOST = 20_000
_MOST_BLOCKS = 2_000_000
"""Beyond these the number stays unknown."""


def count(file: BinaryIO, name: str, found: Found) -> None:
    """`frames` (and `duration`) of GIF and APNG, `pages` of TIFF."""
    try:
        if name == "GIF":
            _gif(file, found)
        elif name == "PNG":
            _png(file, found)
        elif name == "TIFF":
            _tiff(file, found)
    except (struct.error, IndexError, OverflowError):
        return  # it ends too soon; decoding will say so


def _gif(file: BinaryIO, found: Found) -> None:
    """Extensions `!`, images `,`, the end `;`; each a head and sub-blocks with their lengths (GIF89a)."""
    file.seek(0)
    head = file.read(13)
    file.seek(_table(head[10]), 1)
    frames = hundredths = 0
    for _ in range(_MOST_BLOCKS):
        mark = file.read(1)
        if mark == b"!":
            label = file.read(1)
            block = _sub_blocks(file)
            if label == b"\xf9" and len(block) >= 3:  # noqa: PLR2004 - flags and a delay
                hundredths += int.from_bytes(block[1:3], "little")
        elif mark == b",":
            frames += 1
            file.seek(_table(file.read(9)[8]) + 1, 1)
            _sub_blocks(file)
        else:
            break
        if frames > _MOST:
            return
    if frames > 1:
        found.add(frames=frames, duration=hundredths / 100 or None)


def _table(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _sub_blocks(file: BinaryIO) -> bytes:
    """The first sub-block; the others are passed over."""
    first = b""
    while length := file.read(1)[0]:
        if first:
            file.seek(length, 1)
        else:
            first = file.read(length)
            if len(first) < length:
                raise IndexError
    return first


def _png(file: BinaryIO, found: Found) -> None:
    """An `acTL` chunk before the first `IDAT` makes a PNG an animation."""
    file.seek(8)
    for _ in range(1000):
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"acTL":
            found.add(frames=struct.unpack(">I", file.read(4))[0] or None)
        if kind in {b"acTL", b"IDAT", b"IEND"}:
            return
        file.seek(length + 4, 1)


def _tiff(file: BinaryIO, found: Found) -> None:
    """A chain of directories, in 32 bits or in 64 (BigTIFF)."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", head, 2)[0] == 43  # noqa: PLR2004 - BigTIFF's version
    count_form, entry, link_form = ("Q", 20, "Q") if big else ("H", 12, "I")
    place = struct.unpack_from(order + link_form, head, 8 if big else 4)[0]
    seen: set[int] = set()
    while place and place not in seen and len(seen) <= _MOST:
        seen.add(place)
        file.seek(place)
        entries = struct.unpack(order + count_form, file.read(struct.calcsize(count_form)))[0]
        file.seek(entries * entry, 1)
        place = struct.unpack(order + link_form, file.read(struct.calcsize(link_form)))[0]
    if len(seen) <= _MOST:
        found.add(pages=len(seen) or None)
