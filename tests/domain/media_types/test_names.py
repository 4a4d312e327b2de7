"""Names of media types: every synonym of every type, what fits together, and what may be shown in place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.media_types import (
    MEDIA_TYPES,
    OCTET_STREAM,
    Kind,
    agree,
    contradicts,
    contradicts_name,
    essence,
    is_media_type,
    is_shown_inline,
    kind_of,
    names_shown_inline,
    says_nothing,
    type_that_counts,
    types_of,
)
from penstock.store.exposure import INLINE_TYPES

EVERY_NAME = [(name, one.name) for one in MEDIA_TYPES.values() for name in (one.name, *one.synonyms)]


# --- the table


def test_no_name_stands_for_two_types_and_all_can_stand_in_a_header() -> None:
    names = [name for name, _ in EVERY_NAME]

    assert len(names) == len(set(names))
    assert all(is_media_type(name) and name == name.lower() for name in names)


def test_what_is_related_to_a_type_is_named_by_its_essence_or_as_a_family() -> None:
    for one in MEDIA_TYPES.values():
        for name in one.related:
            assert "*" in name or essence(name) == name, f"{name} of {one.name}"
            assert name != one.name


def test_every_kind_has_types_and_every_type_a_title_and_an_extension() -> None:
    assert {one.kind for one in MEDIA_TYPES.values()} == set(Kind)
    assert [one for kind in Kind for one in types_of(kind)] == list(MEDIA_TYPES.values())
    for one in MEDIA_TYPES.values():
        assert one.title
        assert one.extensions or one.name == "application/x-git-lfs-pointer"
        assert one.kind.value == one.name.partition("/")[0] or one.kind in {Kind.MODEL, Kind.OTHER}


def test_the_embedded_store_shows_what_may_be_shown_and_nothing_else() -> None:
    assert names_shown_inline() == INLINE_TYPES


def test_what_is_shown_inline_shows_itself_by_its_bytes() -> None:
    assert not [one.name for one in MEDIA_TYPES.values() if one.inline and one.open_to_doubt]


# --- synonyms


@pytest.mark.parametrize(("declared", "name"), EVERY_NAME)
def test_every_synonym_of_a_type_is_as_good_as_its_name(declared: str, name: str) -> None:
    for spelled in (declared, declared.upper(), f" {declared.title()} ; charset=binary", f"{declared};"):
        assert essence(spelled) == name
        assert kind_of(spelled) is MEDIA_TYPES[name].kind
        assert agree(spelled, name)
        assert not contradicts(spelled, name)
        assert type_that_counts(spelled, name) == spelled
        assert is_shown_inline(spelled) == is_shown_inline(spelled, name) == MEDIA_TYPES[name].inline


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_bytes_that_show_nothing_disprove_a_type_that_shows_itself(name: str) -> None:
    doubtful = MEDIA_TYPES[name].open_to_doubt

    assert contradicts(name, None) == (not doubtful)
    assert type_that_counts(name, None) == (name if doubtful else OCTET_STREAM)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("image/jpg", "image/jpeg"),
        ("IMAGE/PNG", "image/png"),
        ("image/png; charset=binary", "image/png"),
        ("image/vnd.microsoft.icon", "image/x-icon"),
        ("audio/x-wav", "audio/wav"),
        ("audio/vnd.wave", "audio/x-wav"),
        ("audio/mp3", "audio/mpeg"),
        ("video/x-quicktime", "video/quicktime"),
        ("audio/opus", "audio/ogg"),
        ("text/xml", "application/xml"),
    ],
)
def test_names_that_clients_send_mean_the_same(one: str, other: str) -> None:
    assert essence(one) == essence(other)


@given(st.text(max_size=40))
def test_folding_a_type_twice_changes_nothing(text: str) -> None:
    assert essence(essence(text)) == essence(text)


# --- what fits together


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("audio/x-m4a", "video/mp4"),
        ("video/quicktime", "video/mp4"),
        ("video/3gpp", "video/mp4"),
        ("audio/webm", "video/webm"),
        ("video/webm", "video/x-matroska"),
        ("application/ogg", "video/ogg"),
        ("audio/aac", "audio/mpeg"),
        ("audio/aac", "audio/mp4"),
        ("image/heif", "image/heic"),
        ("text/html", "application/xhtml+xml"),
    ],
)
def test_containers_of_one_family_fit_both_ways(one: str, other: str) -> None:
    assert agree(one, other)
    assert agree(other, one)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip"),
        ("application/epub+zip", "application/zip"),
        ("application/vnd.ms-excel", "application/zip"),
        ("application/vnd.ms-excel.sheet.macroEnabled.12", "application/zip"),
        ("application/x-pytorch", "application/zip"),
        ("application/zip", "application/x-pytorch"),
        ("application/x-tgz", "application/gzip"),
        ("image/x-adobe-dng", "image/tiff"),
        ("image/apng", "image/png"),
        ("application/rss+xml", "application/xml"),
        ("application/geo+json", "application/json"),
        ("model/gltf+json", "application/json"),
        ("text/markdown", "text/html"),
        ("text/plain", "text/html"),
        ("text/plain", "application/json"),
        ("text/csv", "text/plain"),
        ("application/x-own", "text/plain"),
        ("model/obj", "text/plain"),
        ("application/xml", "image/svg+xml"),
        ("audio/x-mpegurl", "text/plain"),
        ("image/avif", "image/heif"),
    ],
)
def test_files_of_many_types_show_a_more_general_one(declared: str, found: str) -> None:
    assert agree(declared, found)
    assert not contradicts(declared, found)


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("image/png", "image/jpeg"),
        ("image/png", "image/*"),
        ("image/png", "text/html"),
        ("image/png", "text/plain"),
        ("image/svg+xml", "application/xml"),
        ("image/svg+xml", "text/plain"),
        ("image/svg+xml", "text/html"),
        ("video/mp4", "video/webm"),
        ("video/mp4", "text/plain"),
        ("audio/wav", "audio/mpeg"),
        ("application/pdf", "text/plain"),
        ("application/pdf", "application/zip"),
        ("application/x-safetensors", "text/plain"),
        ("application/x-safetensors", "application/x-git-lfs-pointer"),
        ("application/x-safetensors", "application/x-pickle"),
        ("application/x-safetensors", "application/json"),
        ("application/x-own", "text/html"),
        ("application/json", "application/zip"),
        ("application/json", "text/html"),
        ("application/xml", "image/png"),
        ("text/plain", "image/png"),
        ("text/plain", "application/pdf"),
        ("text/html", "image/gif"),
        ("nonsense", "image/png"),
    ],
)
def test_what_does_not_fit_is_a_contradiction_and_the_bytes_count(declared: str, found: str) -> None:
    assert not agree(declared, found)
    assert contradicts(declared, found)
    assert type_that_counts(declared, found) == found
    assert not is_shown_inline(declared, found)


@pytest.mark.parametrize("one", MEDIA_TYPES)
@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.VIDEO, Kind.AUDIO, Kind.MODEL])
def test_a_declared_medium_or_model_never_passes_for_one_of_another_kind(one: str, kind: Kind) -> None:
    """Sound alone in a film's container is the one thing that fits and is of another kind: then the bytes decide."""
    for declared in types_of(kind):
        if MEDIA_TYPES[one].kind is not kind and not contradicts(declared.name, one):
            assert {MEDIA_TYPES[one].kind, kind} == {Kind.VIDEO, Kind.AUDIO}
            assert type_that_counts(declared.name, one) == one


@pytest.mark.parametrize(
    ("declared", "found", "counts"),
    [
        ("video/mp4", "audio/mp4", "audio/mp4"),
        ("audio/mp4", "video/mp4", "video/mp4"),
        ("video/webm", "audio/webm", "audio/webm"),
        ("application/ogg", "video/ogg", "video/ogg"),
        ("video/quicktime", "video/mp4", "video/quicktime"),
        ("application/xml", "image/svg+xml", "image/svg+xml"),
        ("application/epub+zip", "application/zip", "application/epub+zip"),
        ("text/plain", "text/html", "text/plain"),
    ],
)
def test_where_both_fit_the_bytes_decide_the_kind_and_else_the_name_stays(
    declared: str, found: str, counts: str
) -> None:
    assert type_that_counts(declared, found) == counts


# --- declarations that say nothing


@pytest.mark.parametrize(
    "declared",
    ["", " ", "application/octet-stream", "Application/Octet-Stream; x=1", "binary/octet-stream", "unknown/unknown"],
)
def test_some_declarations_say_nothing_and_let_the_bytes_decide(declared: str) -> None:
    assert says_nothing(declared)
    for found in MEDIA_TYPES:
        assert not contradicts(declared, found)
        assert type_that_counts(declared, found) == (OCTET_STREAM if found == "text/plain" else found)
    assert not contradicts(declared, None)
    assert type_that_counts(declared, None) == OCTET_STREAM
    assert not says_nothing("image/png")


# --- kinds and places


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("image/unheard-of", Kind.IMAGE),
        ("IMAGE/X-PNG", Kind.IMAGE),
        ("video/x-flv", Kind.VIDEO),
        ("video/mp4; codecs=avc1", Kind.VIDEO),
        ("audio/midi", Kind.AUDIO),
        ("application/ogg", Kind.AUDIO),
        ("model/gltf+json", Kind.OTHER),
        ("model/gguf", Kind.MODEL),
        ("application/x-pytorch", Kind.OTHER),
        ("image", Kind.OTHER),
        ("image/", Kind.OTHER),
        ("other/thing", Kind.OTHER),
        ("nonsense", Kind.OTHER),
    ],
)
def test_the_kind_follows_from_the_type(content_type: str, kind: Kind) -> None:
    assert kind_of(content_type) is kind


@pytest.mark.parametrize(
    "content_type",
    [
        *("image/png", "image/jpeg", "image/jpg", "image/webp", "image/gif", "image/avif", "IMAGE/PNG; q=1"),
        *("video/mp4", "video/webm", "video/ogg", "audio/mp4", "audio/webm"),
        *("audio/mpeg", "audio/mp3", "audio/wav", "audio/x-wav", "audio/ogg", "audio/flac"),
    ],
)
def test_media_that_cannot_act_is_shown_inline(content_type: str) -> None:
    assert is_shown_inline(content_type)
    assert is_shown_inline(content_type, OCTET_STREAM)
    for found in ("text/html", "image/svg+xml", "text/plain", "application/pdf", "application/xml"):
        assert not is_shown_inline(content_type, found)


@pytest.mark.parametrize(
    "content_type",
    [
        *("image/svg+xml", "image/svg+xml;charset=utf-8", "text/html", "application/xml", "text/xml"),
        *("text/javascript", "application/xhtml+xml", "text/plain", "application/octet-stream", "image/tiff"),
        *("application/pdf", "", "image/", "image/heic", "video/quicktime"),
    ],
)
def test_whatever_could_act_or_is_unknown_is_not_shown_inline_whatever_its_bytes_show(content_type: str) -> None:
    assert not is_shown_inline(content_type)
    for found in MEDIA_TYPES:
        assert not is_shown_inline(content_type, found)


def test_a_name_contradicts_a_type_only_where_its_extension_is_that_of_others() -> None:
    for name, canonical in EVERY_NAME:
        for extension in MEDIA_TYPES[canonical].extensions:
            assert not contradicts_name(name, f"file.{extension.upper()}"), (name, extension)

    assert contradicts_name("video/mp4", "photo.png")
    assert contradicts_name("image/jpeg", "a.mp4.png")
    for said in ("photo", "photo.", ".hidden", "photo.unheard", "png"):
        assert not contradicts_name("video/mp4", said)
    assert not contradicts_name(OCTET_STREAM, "photo.png")
