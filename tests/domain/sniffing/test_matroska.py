"""WebM and Matroska: document types, tracks, and elements that lie about their size."""

from __future__ import annotations

import pytest

from penstock.domain.sniffing import sniff
from tests.support.looking import ebml, element, look, media, segment, tracks

UNKNOWN = b"\x01" + b"\xff" * 7
VOID, INFO, CLUSTER = b"\xec", b"\x15\x49\xa9\x66", b"\x1f\x43\xb6\x75"
FAR = 3_000_000


def seek_head(position: int) -> bytes:
    entry = element(b"\x4d\xbb", element(b"\x53\xab", b"\x16\x54\xae\x6b"), element(b"\x53\xac", position.to_bytes(8)))
    other = element(b"\x4d\xbb", element(b"\x53\xab", INFO), element(b"\x53\xac", b"\x05"))
    return element(b"\x11\x4d\x9b\x74", other, entry)


@pytest.mark.parametrize(
    ("doc_type", "film", "sound"),
    [
        (b"webm", "video/webm", "audio/webm"),
        (b"matroska", "video/x-matroska", "audio/x-matroska"),
        (b"webm\x00\x00", "video/webm", "audio/webm"),
    ],
)
def test_a_file_with_sound_alone_is_a_sound(doc_type: bytes, film: str, sound: str) -> None:
    assert sniff(ebml(doc_type) + segment(tracks(1))) == film
    assert sniff(ebml(doc_type) + segment(tracks(2, 1))) == film
    assert sniff(ebml(doc_type) + segment(tracks(2, 3))) == film
    assert sniff(ebml(doc_type) + segment(tracks(2))) == sound
    assert sniff(ebml(doc_type) + segment(tracks(17, 2))) == sound
    assert sniff(ebml(doc_type) + segment(tracks(17))) == film
    assert sniff(ebml(doc_type) + segment(tracks())) == film
    assert sniff(ebml(doc_type)) == film


def test_tracks_behind_much_else_are_found_by_one_more_read() -> None:
    content = ebml(b"webm") + segment(element(VOID, bytes(FAR)), element(INFO, bytes(20)), tracks(2))
    looked = look(content)

    assert (looked.found, len(looked.ranges)) == ("audio/webm", 1)


def test_tracks_behind_the_clusters_are_found_where_the_seek_head_says() -> None:
    index = seek_head(0)
    cluster = element(CLUSTER, bytes(FAR))
    index = seek_head(len(index) + len(cluster))
    looked = look(ebml(b"matroska") + segment(index, cluster, tracks(2)))

    assert (looked.found, len(looked.ranges)) == ("audio/x-matroska", 1)


def test_a_live_stream_has_a_segment_of_unknown_size() -> None:
    assert sniff(ebml(b"webm") + segment(tracks(2), element(CLUSTER, bytes(9), size=UNKNOWN), size=UNKNOWN)) == (
        "audio/webm"
    )


def test_a_recorded_file_with_its_tracks_far_off_is_known() -> None:
    for name, found in (("sound.mka", "audio/x-matroska"), ("film.mkv", "video/x-matroska")):
        content = media(name)
        at = content.index(b"\x18\x53\x80\x67") + 4
        content = content[:at] + UNKNOWN + content[at + 8 :]
        named_in_seek_head = content.index(b"\x16\x54\xae\x6b")
        at = content.index(b"\x16\x54\xae\x6b", named_in_seek_head + 4)
        assert look(content[:at] + element(VOID, bytes(FAR)) + content[at:]).found == found


@pytest.mark.parametrize("doc_type", [b"", b"web", b"webmx", b"mkv", b"html"])
def test_another_document_type_is_none_of_ours(doc_type: bytes) -> None:
    assert sniff(ebml(doc_type) + segment(tracks(1))) is None


@pytest.mark.parametrize(
    "lie",
    [
        segment(size=b"\x00"),
        segment(b"\x00" * 40),
        segment(b"\xff" * 40),
        segment(element(b"\x16\x54\xae\x6b", b"\xae" * 40, size=UNKNOWN)),
        segment(tracks(), size=b"\x01" + b"\xfe" * 7),
        segment(element(VOID) * 2000),
        segment(seek_head(0), element(CLUSTER)),
        segment(seek_head(2**63), element(CLUSTER)),
        segment(seek_head(5), seek_head(5), element(CLUSTER)),
        b"\x18\x53\x80",
        b"\x08" * 20,
    ],
)
def test_elements_that_lie_lead_nowhere(lie: bytes) -> None:
    assert look(ebml(b"webm") + lie).found == "video/webm"
    assert look(ebml(b"webm") + lie, size=2**62).found == "video/webm"


@pytest.mark.parametrize("cut", [b"\x1a\x45\xdf\xa3", b"\x1a\x45\xdf\xa3\x00", b"\x1a\x45\xdf\xa3\x88\x42\x82"])
def test_a_header_without_its_document_type_is_nothing(cut: bytes) -> None:
    assert sniff(cut) is None
