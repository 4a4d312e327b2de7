"""MP4 and its relatives: brands, tracks, and boxes that lie about their size."""

from __future__ import annotations

import struct

import pytest

from penstock.domain.sniffing import MAX_READS, sniff
from tests.support.looking import box, ftyp, look, media, moov, trak

MP4 = ftyp(b"isom", b"isom", b"mp41")
FAR = 3_000_000


def relocated(name: str, gap: int) -> bytes:
    """A recorded file whose movie comes `gap` bytes later, as behind the pictures of a long film."""
    content = media(name)
    at = content.index(b"moov") - 4
    return content[:at] + box(b"free", bytes(gap)) + content[at:]


@pytest.mark.parametrize(
    ("brands", "found"),
    [
        ((b"avif",), "image/avif"),
        ((b"avis", b"msf1"), "image/avif"),
        ((b"heic", b"mif1", b"heic"), "image/heic"),
        ((b"hevc", b"msf1", b"hevc"), "image/heic"),
        ((b"mif1", b"mif1", b"heic"), "image/heic"),
        ((b"mif1", b"mif1", b"miaf", b"avif"), "image/avif"),
        ((b"msf1", b"msf1", b"avis"), "image/avif"),
        ((b"mif1",), "image/heif"),
        ((b"isom", b"isom", b"mp41"), "video/mp4"),
        ((b"mp42", b"isom"), "video/mp4"),
        ((b"M4V ",), "video/mp4"),
        ((b"qt  ", b"qt  "), "video/quicktime"),
        ((b"3gp4",), "video/3gpp"),
        ((b"3g2a",), "video/3gpp"),
        ((b"M4A ", b"M4A ", b"isom"), "audio/mp4"),
        ((b"M4B ",), "audio/mp4"),
        ((b"dash", b"iso6"), "video/mp4"),
        ((b"zzzz",), "video/mp4"),
    ],
)
def test_the_brand_says_of_which_sort_a_file_without_tracks_is(brands: tuple[bytes, ...], found: str) -> None:
    assert sniff(ftyp(*brands)) == found


@pytest.mark.parametrize(
    ("handlers", "found"),
    [
        ((b"vide",), "video/mp4"),
        ((b"soun",), "audio/mp4"),
        ((b"soun", b"soun"), "audio/mp4"),
        ((b"soun", b"text"), "audio/mp4"),
        ((b"soun", b"vide"), "video/mp4"),
        ((b"hint", b"soun", b"vide"), "video/mp4"),
        ((b"text",), "video/mp4"),
        ((), "video/mp4"),
    ],
)
def test_a_file_with_sound_alone_is_a_sound(handlers: tuple[bytes, ...], found: str) -> None:
    assert look(MP4 + moov(*(trak(handler) for handler in handlers))).found == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("film.mp4", "video/mp4"),
        ("film.mov", "video/quicktime"),
        ("film.3gp", "video/3gpp"),
        ("sound-in.mp4", "audio/mp4"),
        ("sound-in.mov", "audio/quicktime"),
        ("sound-in.3gp", "audio/3gpp"),
    ],
)
def test_a_movie_at_the_end_is_found_by_one_more_read(name: str, found: str) -> None:
    looked = look(relocated(name, FAR))

    assert looked.found == found
    assert len(looked.ranges) in {1, 2}  # to the gap that was put in, where the head does not hold its beginning


def test_media_data_with_a_size_of_eight_bytes_is_stepped_over() -> None:
    data = b"\x00\x00\x00\x01mdat" + struct.pack(">Q", 16 + FAR) + bytes(FAR)
    looked = look(MP4 + data + moov(trak(b"soun")))

    assert (looked.found, len(looked.ranges)) == ("audio/mp4", 1)


def test_a_track_far_behind_the_first_is_found() -> None:
    heard = trak(b"soun", box(b"edts", bytes(100_000)))
    looked = look(MP4 + moov(heard, box(b"udta", bytes(100_000)), trak(b"vide")))

    assert looked.found == "video/mp4"
    assert len(looked.ranges) <= MAX_READS


def test_tracks_beyond_the_budget_do_not_count() -> None:
    heard = trak(b"soun", box(b"edts", bytes(100_000)))
    looked = look(MP4 + moov(*[heard] * 5, trak(b"vide")))

    assert (looked.found, len(looked.ranges)) == ("audio/mp4", MAX_READS)


def test_a_book_with_pictures_at_its_chapters_is_a_sound() -> None:
    assert sniff(ftyp(b"M4B ", b"isom") + moov(trak(b"soun"), trak(b"vide"))) == "audio/mp4"


@pytest.mark.parametrize("first", [b"", box(b"wide"), box(b"skip", bytes(20)), box(b"free"), box(b"pnot", bytes(12))])
def test_quicktime_without_a_brand_is_known_by_its_movie(first: bytes) -> None:
    assert sniff(first + moov(trak(b"vide")) + box(b"mdat", bytes(9))) == "video/quicktime"
    assert sniff(first + box(b"mdat", bytes(90_000)) + moov(trak(b"vide"))) == "video/quicktime"
    assert sniff(first + box(b"mdat", bytes(9)) + moov(trak(b"soun"))) == "audio/quicktime"


def test_a_recorded_film_from_before_brands_is_quicktime() -> None:
    content = media("film.mov")
    length = int.from_bytes(content[:4], "big")

    assert sniff(box(b"wide", bytes(length - 8)) + content[length:]) == "video/quicktime"
    assert sniff(content[length:]) == "video/quicktime"


@pytest.mark.parametrize("first", [b"cmov", b"rmra"])
def test_a_compressed_or_referring_movie_is_quicktime(first: bytes) -> None:
    assert sniff(box(b"moov", box(first, bytes(40)))) == "video/quicktime"


@pytest.mark.parametrize(
    "content",
    [
        b"I'm  free to go where I like\n",
        b"The  wide world\n",
        b"more moov than you think",
        box(b"mdat", b"no movie follows"),
        box(b"free", b"nor here"),
        box(b"moov", box(b"evil")),
        box(b"moov"),
        b"\x00\x00\x00\x00mdat and to the end of the file",
    ],
)
def test_letters_alone_make_no_film(content: bytes) -> None:
    assert sniff(content) in {None, "text/plain"}


@pytest.mark.parametrize(
    "lie",
    [
        b"\x00\x00\x00\x00moov",
        b"\x00\x00\x00\x04moov",
        b"\x00\x00\x00\x07moov" + bytes(20),
        b"\xff\xff\xff\xffmoov" + bytes(20),
        b"\x00\x00\x00\x01moov" + b"\xff" * 8,
        b"\x00\x00\x00\x01moov" + bytes(8),
        b"\x00\x00\x00\x01moov",
        b"\x00\x00\x00\x09uuid\x00",
        box(b"moov", b"\x00\x00\x00\x00trak", b"\x00\x00\x00\x00mdia", b"\x00\x00\x00\x00hdlr"),
        box(b"moov", b"\xff\xff\xff\xfftrak", b"\xff\xff\xff\xffmdia", b"\xff\xff\xff\xffhdlr"),
        box(b"moov", box(b"trak") * 2000),
        box(b"free") * 60_000,
        box(b"moov", box(b"trak", box(b"mdia") * 50) * 50),
    ],
)
def test_boxes_that_lie_lead_nowhere(lie: bytes) -> None:
    assert look(MP4 + lie).found == "video/mp4"
    assert look(MP4 + lie, size=2**62).found == "video/mp4"


def test_a_track_of_another_box_does_not_count() -> None:
    liar = box(b"trak", b"\x00\x00\x00\x10mdia\x00\x00\x00\x40hdlr") + box(b"free", b"vide" * 10)

    assert sniff(MP4 + moov(trak(b"soun"), liar)) == "audio/mp4"
