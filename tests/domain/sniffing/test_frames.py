"""Sound in bare frames: behind tags of any size, without one, and bytes that only look like a sync."""

from __future__ import annotations

import pytest

from penstock.domain.sniffing import sniff
from tests.support.looking import adts_frames, id3, look, media, mp3_frames


@pytest.mark.parametrize("length", [0, 10, 1000, 4000, 4086, 4090, 5000, 200_000, 5_000_000])
@pytest.mark.parametrize(
    ("behind", "found"),
    [
        (mp3_frames(5), "audio/mpeg"),
        (adts_frames(12), "audio/aac"),
        (b"fLaC\x00\x00\x00\x22" + bytes(4000), "audio/flac"),
        (bytes(700) + mp3_frames(5), "audio/mpeg"),
        (bytes(100) + b"fLaC" + bytes(9), "audio/flac"),
        (b"rubbish", "audio/mpeg"),
        (b"", "audio/mpeg"),
    ],
)
def test_what_stands_behind_a_tag_says_what_is_tagged(length: int, behind: bytes, found: str) -> None:
    looked = look(id3(length) + behind)

    assert looked.found == found
    assert len(looked.ranges) <= 2


def test_a_recorded_sound_behind_a_small_tag_needs_no_second_read() -> None:
    assert look(id3(2000) + media("sound-untagged.mp3")).ranges == []
    assert look(id3(60_000) + media("sound-untagged.mp3")).ranges == [(60_010, 60_010 + 2214)]


def test_tags_may_have_a_footer_and_follow_each_other() -> None:
    assert sniff(id3(50, footer=True) + b"fLaC") == "audio/flac"
    assert sniff(id3(5000, version=2) + id3(9000, version=3) + adts_frames(12)) == "audio/aac"


def test_many_tags_are_not_all_followed() -> None:
    assert look((id3(5000) * 40) + b"fLaC").found == "audio/mpeg"


@pytest.mark.parametrize(
    "head",
    [
        b"ID3 tags are old\n",
        b"ID3\x05\x00\x00\x00\x00\x00\x0a" + bytes(10),
        b"ID3\x04\x00\x00\x80\x00\x00\x00" + bytes(10),
        b"ID3\x04\x00",
    ],
)
def test_three_letters_make_no_tag(head: bytes) -> None:
    assert sniff(head) in {None, "text/plain"}


@pytest.mark.parametrize("claimed", [2**28 - 1, 2**27])
def test_a_tag_longer_than_its_file_is_still_a_tag(claimed: int) -> None:
    assert look(id3(0)[:6] + bytes(claimed >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(900)).found == (
        "audio/mpeg"
    )


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (b"\xff\xfb\x90\x64" + bytes(413), "audio/mpeg"),  # MPEG-1, layer III, 128 kbit/s, 44.1 kHz
        (b"\xff\xfa\xe0\x64" + bytes(1040), "audio/mpeg"),  # with a checksum, 320 kbit/s
        (b"\xff\xfd\xa4\x00" + bytes(572), "audio/mpeg"),  # layer II, 192 kbit/s, 48 kHz
        (b"\xff\xf3\x48\xc4" + bytes(140), "audio/mpeg"),  # MPEG-2, 32 kbit/s, 16 kHz
        (b"\xff\xe3\x18\xc4" + bytes(68), "audio/mpeg"),  # MPEG-2.5, 8 kbit/s, 8 kHz
        (b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(9), "audio/aac"),
        (b"\xff\xf9\x50\x80\x02\x1f\xfc" + bytes(9), "audio/aac"),
    ],
)
def test_a_row_of_frames_is_a_sound(frame: bytes, found: str) -> None:
    assert sniff(frame) == found  # one that ends with the file
    assert sniff(frame * 2 + frame[:30]) == found
    assert sniff(frame * 20) == found
    assert sniff(bytes(300) + frame * 3) == found
    assert sniff(b"\x01cut\xffaway" + frame * 3) == found


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\xfb\x90\x64" + bytes(700),  # nothing where the next frame should be
        b"\xff\xfb\x90\x64" + bytes(40),
        b"\xff\xfb\x90\x64" + bytes(413) + b"\xff\xfb\x94\x64" + bytes(413),  # the sampling rate changes
        b"\xff\xfb\x90\x64" + bytes(413) + b"\xff\xfd\x90\x64" + bytes(900),  # the layer changes
        b"\xff\xe0\x00\x00",
        b"\xff\xfb\xf0\x64",
        b"\xff\xfb\x00\x64",
        b"\xff\xfb\x9c\x64",
        b"\xff\xff\x90\x64" + bytes(600),
        b"\xff\xf1\x50\x80\x00\x1f\xfc" + bytes(40),  # an AAC frame shorter than its header
        b"\xff\xf1\x7c\x80\x02\x1f\xfc" + bytes(40),  # no such sampling rate
        b"\xff\xf1\x50",
        b"\xff" * 4096,
        b"\x01" * 30 + b"\xff\xfb\x90\x64" + bytes(413),  # one frame at the end of something else
        b"\xff\xfb\x90\x65" * 1024,
    ],
)
def test_a_sync_alone_is_no_sound(head: bytes) -> None:
    assert sniff(head) is None
