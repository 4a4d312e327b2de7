"""The bounds of a look: whatever the bytes are, it ends, raises nothing, and reads little, within the file."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.media_types import MEDIA_TYPES
from penstock.domain.sniffing import MAX_BYTES, MAX_READS, SNIFF_BYTES, find_type, sniff
from tests.support.looking import MEDIA, box, ebml, ftyp, id3, look, media, moov, page, segment, tracks, trak

STARTS = [
    *(b"", ftyp(b"isom"), ftyp(b"qt  "), ftyp(b"mif1"), ftyp(b"isom") + moov(trak(b"soun")), moov(trak(b"text"))),
    *(ebml(b"webm"), ebml(b"webm") + segment(tracks(2)), page(b"OpusHead"), id3(5000), id3(0), b"\xff\xfb\x90\x64"),
    *(b"<!--", b"<?xml ", b"\xff\xfe<\x00", b"RIFF", b"PK\x03\x04", b"\x80\x04\x95", b"\x00\x00\x00\x08wide", b"BM"),
]
WORDS = [b"moov", b"trak", b"mdia", b"hdlr", b"vide", b"\x00\x00\x00\x01", b"\xff\xff\xff\xff", b"\x00\x00\x00\x08"]
FOUND = {None, *MEDIA_TYPES}


@given(st.sampled_from(STARTS), st.binary(max_size=600), st.integers(0, 2**63))
def test_any_bytes_have_a_type_or_none_whatever_size_is_claimed(start: bytes, tail: bytes, beyond: int) -> None:
    content = start + tail

    assert look(content, size=len(content) + beyond).found in FOUND
    assert sniff(content) in FOUND


@given(st.sampled_from(STARTS), st.lists(st.sampled_from(WORDS), max_size=60), st.integers(0, 3))
def test_words_of_containers_in_any_order_have_a_type_or_none(start: bytes, words: list[bytes], shift: int) -> None:
    content = start + b"\x00" * shift + b"".join(words)

    assert look(content, size=10**9).found in FOUND


@settings(max_examples=60)
@given(st.sampled_from(sorted(path.name for path in MEDIA.iterdir())), st.data())
def test_a_real_file_with_some_bytes_changed_has_a_type_or_none(name: str, data: st.DataObject) -> None:
    content = bytearray(media(name))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(len(content), SNIFF_BYTES) - 1))] = data.draw(st.integers(0, 255))

    assert look(bytes(content), size=len(content) * 1000).found in FOUND


@given(st.binary(max_size=40), st.binary(max_size=300), st.integers(0, 10**6))
def test_answers_of_another_length_than_was_asked_for_do_no_harm(start: bytes, answer: bytes, size: int) -> None:
    for head in (start, ftyp(b"isom") + start, id3(9000)[:12] + start, ebml(b"webm") + start, b"<!--" + start):
        assert find_type(head, size=size + len(head), read=lambda _start, _end: answer) in FOUND


@pytest.mark.parametrize("size", [0, 1, SNIFF_BYTES, SNIFF_BYTES + 1])
def test_a_look_at_nothing_asks_for_nothing_beyond_the_file(size: int) -> None:
    assert look(b"", size=size).found is None


def test_the_bounds_are_what_they_are_said_to_be() -> None:
    looked = look(ftyp(b"isom") + box(b"free", bytes(100_000)) * 8 + moov(trak(b"soun")))

    assert (looked.found, len(looked.ranges)) == ("video/mp4", MAX_READS)
    assert MAX_READS == 3
    assert MAX_BYTES <= 256 * 1024


@pytest.mark.parametrize("name", ["film.mp4", "sound.mka", "sound.mp3", "sound-in.mp4"])
def test_a_head_shorter_than_usual_is_made_up_for(name: str) -> None:
    content = media(name)

    found = find_type(content[:40], size=len(content), read=lambda start, end: content[start:end])

    assert found == sniff(content)
