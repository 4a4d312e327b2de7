"""Ogg: one file, several streams, each known by its first packet."""

from __future__ import annotations

import pytest

from penstock.domain.sniffing import sniff
from tests.support.looking import look, page

VORBIS, OPUS, SPEEX = b"\x01vorbis" + bytes(23), b"OpusHead" + bytes(11), b"Speex   " + bytes(72)
THEORA, SKELETON = b"\x80theora" + bytes(35), b"fishead\x00" + bytes(56)


@pytest.mark.parametrize(
    ("packets", "found"),
    [
        ((VORBIS,), "audio/ogg"),
        ((OPUS,), "audio/ogg"),
        ((SPEEX,), "audio/ogg"),
        ((b"\x7fFLAC\x01\x00",), "audio/ogg"),
        ((SKELETON, OPUS), "audio/ogg"),
        ((THEORA,), "video/ogg"),
        ((SKELETON, THEORA, VORBIS), "video/ogg"),
        ((VORBIS, THEORA), "video/ogg"),
        ((OPUS, SKELETON, b"BBCD\x00" + bytes(20)), "video/ogg"),
        ((b"OVP80\x01" + bytes(20),), "video/ogg"),
        ((b"\x01video\x00\x00\x00" + bytes(40),), "video/ogg"),
        ((b"of a sort unheard of",), "audio/ogg"),
    ],
)
def test_a_stream_of_pictures_makes_a_film(packets: tuple[bytes, ...], found: str) -> None:
    content = b"".join(page(packet) for packet in packets) + page(b"\x03vorbis", begins=False)

    assert look(content).found == found


def test_a_packet_behind_the_beginning_of_the_streams_does_not_count() -> None:
    assert sniff(page(VORBIS) + page(b"more", begins=False) + page(THEORA)) == "audio/ogg"


@pytest.mark.parametrize("lie", [b"OggS\x00", b"OggS\x00\x02" + bytes(20) + b"\xff" + b"\xff" * 255, page(b"") * 4000])
def test_pages_that_lie_lead_nowhere(lie: bytes) -> None:
    assert look(lie).found == "audio/ogg"
    assert look(lie, size=2**62).found == "audio/ogg"


def test_another_version_is_none_of_ours() -> None:
    assert sniff(b"OggS\x01" + bytes(30)) is None
