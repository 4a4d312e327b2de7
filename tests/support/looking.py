"""Looks into bytes as a service would, keeping count of what is asked for; builders of the smallest containers."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from penstock.domain.sniffing import MAX_BYTES, MAX_READS, SNIFF_BYTES, looking

MEDIA = Path(__file__).parents[1] / "fixtures" / "media"


@dataclass(slots=True)
class Looked:
    """What a look found, and which ranges it asked for beyond the head."""

    found: str | None = None
    ranges: list[tuple[int, int]] = field(default_factory=list)


def look(content: bytes, *, size: int | None = None) -> Looked:
    """Look into bytes; `size` may claim more of them than there are. Fails when the look exceeds its bounds."""
    size = len(content) if size is None else size
    looked = Looked()
    running = looking(content[:SNIFF_BYTES], size=size)
    try:
        wanted = next(running)
        while True:
            assert 0 <= wanted.start < wanted.end <= size, f"{wanted} is not within {size} bytes"
            looked.ranges.append((wanted.start, wanted.end))
            assert len(looked.ranges) <= MAX_READS
            assert SNIFF_BYTES + sum(end - start for start, end in looked.ranges) <= MAX_BYTES
            wanted = running.send(content[wanted.start : wanted.end])
    except StopIteration as end:
        looked.found = end.value
    return looked


def media(name: str) -> bytes:
    """A real file (`tests/fixtures/make_media_files.py`)."""
    return (MEDIA / name).read_bytes()


def box(kind: bytes, *bodies: bytes) -> bytes:
    """A box of an ISO base media file (ISO 14496-12 §4.2)."""
    body = b"".join(bodies)
    return struct.pack(">I", 8 + len(body)) + kind + body


def ftyp(brand: bytes, *compatible: bytes) -> bytes:
    """The box that names the brands."""
    return box(b"ftyp", brand, bytes(4), *compatible)


def trak(handler: bytes, *before: bytes) -> bytes:
    """A track of one sort, with other boxes before its media."""
    hdlr = box(b"hdlr", bytes(8), handler, bytes(12), b"\x00")
    return box(b"trak", box(b"tkhd", bytes(84)), *before, box(b"mdia", box(b"mdhd", bytes(24)), hdlr))


def moov(*tracks: bytes) -> bytes:
    """A movie of some tracks."""
    return box(b"moov", box(b"mvhd", bytes(100)), *tracks)


def element(identity: bytes, *bodies: bytes, size: bytes | None = None) -> bytes:
    """An EBML element (RFC 8794 §5); its size in eight bytes unless given."""
    body = b"".join(bodies)
    return identity + (size if size is not None else b"\x01" + len(body).to_bytes(7, "big")) + body


def ebml(doc_type: bytes) -> bytes:
    """The header of a Matroska file."""
    return element(b"\x1a\x45\xdf\xa3", element(b"\x42\x86", b"\x01"), element(b"\x42\x82", doc_type))


def tracks(*sorts: int) -> bytes:
    """The tracks of a Matroska segment: 1 is video, 2 audio, 17 subtitles."""
    return element(
        b"\x16\x54\xae\x6b",
        *(element(b"\xae", element(b"\xd7", b"\x01"), element(b"\x83", bytes([sort]))) for sort in sorts),
    )


def segment(*children: bytes, size: bytes | None = None) -> bytes:
    """The segment that holds everything else."""
    return element(b"\x18\x53\x80\x67", *children, size=size)


def page(packet: bytes, *, begins: bool = True) -> bytes:
    """A page of an Ogg file with one packet (RFC 3533 §6)."""
    lacing = [255] * (len(packet) // 255) + [len(packet) % 255]
    return b"OggS\x00" + (b"\x02" if begins else b"\x00") + bytes(20) + bytes([len(lacing), *lacing]) + packet


def id3(length: int, *, footer: bool = False, version: int = 4) -> bytes:
    """An ID3v2 tag with `length` bytes of content."""
    size = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    flags = b"\x10" if footer else b"\x00"
    tail = b"3DI" + bytes([version]) + b"\x00" + flags + size if footer else b""
    return b"ID3" + bytes([version]) + b"\x00" + flags + size + b"x" * length + tail


def mp3_frames(count: int) -> bytes:
    """MPEG-1 layer III at 128 kbit/s and 44.1 kHz: 417 bytes a frame."""
    return (b"\xff\xfb\x90\x64" + bytes(413)) * count


def adts_frames(count: int, length: int = 200) -> bytes:
    """AAC frames of one length."""
    header = bytes([0xFF, 0xF1, 0x50, 0x80 | length >> 11, length >> 3 & 0xFF, (length & 7) << 5 | 0x1F, 0xFC])
    return (header + bytes(length - 7)) * count
