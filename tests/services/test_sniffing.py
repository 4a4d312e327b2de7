"""Admission looks at the bytes where they are: few reads, the type they show kept, nothing hostile shown in place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.domain.errors import FileTypeMismatch
from penstock.domain.media_types import Kind
from penstock.domain.sniffing import MAX_READS
from penstock.domain.uploads import TypePolicy
from penstock.services.sniffing import sniff_object
from tests.support.core import PNG, POLICY
from tests.support.hostile import HOSTILE
from tests.support.looking import box, ftyp, id3, media, moov, mp3_frames, trak

if TYPE_CHECKING:
    from tests.support.core import Core

ROOMY = replace(POLICY, max_bytes=10**7)
REFUSING = replace(ROOMY, type_policy=TypePolicy.REFUSE)
FILM = ftyp(b"isom") + box(b"mdat", bytes(500_000)) + moov(trak(b"vide"), trak(b"soun"))
SOUND = ftyp(b"isom") + box(b"mdat", bytes(500_000)) + moov(trak(b"soun"))


def shown(url: str) -> tuple[str, str]:
    query = parse_qs(urlsplit(url).query)
    disposition = query["response-content-disposition"][0]
    return query["response-content-type"][0], disposition.partition(";")[0]


# --- reads


@pytest.mark.parametrize("name", ["film-faststart.mp4", "film.webm", "sound.mp3", "sound.m4a", "sound.wav"])
def test_a_usual_file_needs_no_second_read(core: Core, name: str) -> None:
    content = media(name)
    core.objects.put("a", content, size=len(content), content_type="application/octet-stream")
    core.objects.before["read"] = lambda: pytest.fail("the head is enough")

    assert sniff_object(core.objects, "a")[1] is not None


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (FILM, "video/mp4"),
        (SOUND, "audio/mp4"),
        (id3(300_000) + mp3_frames(4), "audio/mpeg"),
        (id3(300_000) + b"fLaC", "audio/flac"),
        (HOSTILE["a drawing behind a long comment"], "image/svg+xml"),
    ],
)
def test_what_the_head_leaves_open_is_settled_by_few_more_reads(core: Core, content: bytes, found: str) -> None:
    reads: list[None] = []
    core.objects.put("a", content, size=len(content), content_type="application/octet-stream")
    core.objects.before["read"] = lambda: reads.append(None)

    info, seen = sniff_object(core.objects, "a")

    assert (info.size, seen) == (len(content), found)
    assert 1 <= len(reads) <= MAX_READS


def test_an_object_replaced_between_two_reads_is_judged_anew(core: Core) -> None:
    upload = core.begin(core.open_account(), policy=ROOMY, content_type="video/mp4")
    core.put(upload, SOUND)

    def replace_object() -> None:
        core.objects.before.clear()
        core.put(upload, PNG)

    core.objects.before["read"] = replace_object

    asset = core.uploads.complete_upload(upload.account_id, upload.id)

    assert (asset.found_type, asset.kind, asset.size) == ("image/png", Kind.IMAGE, len(PNG))
    assert b"".join(core.objects.read(asset.object_key)) == PNG


# --- what is kept


@pytest.mark.parametrize(
    ("content", "declared", "found", "kind"),
    [
        (FILM, "video/mp4", "video/mp4", Kind.VIDEO),
        (SOUND, "video/mp4", "audio/mp4", Kind.AUDIO),
        (FILM, "audio/mp4", "video/mp4", Kind.VIDEO),
        (media("sound.webm"), "video/webm", "audio/webm", Kind.AUDIO),
        (PNG, "video/mp4", "image/png", Kind.IMAGE),
        (b"\x00\x01\x02", "image/png", "application/octet-stream", Kind.OTHER),
        (b"\x00\x01\x02", "video/x-unheard-of", "application/octet-stream", Kind.VIDEO),
        (HOSTILE["a page"], "image/png", "text/html", Kind.OTHER),
    ],
)
def test_the_type_that_the_bytes_show_is_kept_beside_the_declared_one(
    core: Core, content: bytes, declared: str, found: str, kind: Kind
) -> None:
    asset = core.upload(core.open_account(), content, content_type=declared, policy=ROOMY)

    kept = core.assets.get(asset.account_id, asset.id)
    assert (kept.content_type, kept.declared_type, kept.found_type, kept.kind) == (declared, declared, found, kind)


def test_where_types_bind_the_refusal_names_what_came_in_place_of_a_model(core: Core) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"

    with pytest.raises(FileTypeMismatch, match="Git LFS pointer: the name of a file that was not sent"):
        core.upload(core.open_account(), pointer, content_type="application/x-safetensors", policy=REFUSING)


@pytest.mark.parametrize("declared", ["image/png", "image/jpg; x=y", "video/mp4", "AUDIO/MPEG"])
def test_nothing_hostile_is_shown_in_place_whatever_it_is_declared(core: Core, declared: str) -> None:
    acme = core.open_account()

    for what, content in HOSTILE.items():
        asset = core.upload(acme, content, content_type=declared, policy=ROOMY)
        assert shown(core.assets.signed_get(asset)) == ("application/octet-stream", "attachment"), what


def test_sound_in_the_container_of_a_film_is_shown_in_place(core: Core) -> None:
    acme = core.open_account()
    recorded = core.upload(acme, SOUND, content_type="video/mp4", policy=ROOMY)
    bound = core.upload(acme, SOUND, content_type="video/mp4", policy=REFUSING)

    assert shown(core.assets.signed_get(recorded)) == ("video/mp4", "inline")
    assert shown(core.assets.signed_get(bound)) == ("audio/mp4", "inline")


def test_an_asset_from_before_what_bytes_show_was_kept_is_shown_by_its_kind(core: Core) -> None:
    asset = core.upload(core.open_account())

    assert shown(core.assets.signed_get(replace(asset, found_type=None))) == ("image/png", "inline")
    assert shown(core.assets.signed_get(replace(asset, found_type=None, kind=Kind.OTHER)))[1] == "attachment"
