from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.store.config import Limits
from penstock.store.fsck import Check, Kind, exclusive
from penstock.store.layout import Layout, entry_name
from tests.store.support import BUCKET, store_in_thread
from tests.store.test_fsck import check, flip, truncate, within
from tests.store.test_multipart_routes import complete, create, put_under_its_checksum, upload_parts, uploaded

if TYPE_CHECKING:
    from collections.abc import Callable

BODIES = {1: os.urandom(1_500_000), 2: b"22222", 5: b"5"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The data directory of a store that has ended: an object of three parts, its copy, and an open upload."""
    place = tmp_path / "objects"
    with store_in_thread(place, limits=Limits(reserve_bytes=0, least_part_bytes=1)) as store:
        uploaded(store, "film", BODIES)
        copied = {"x-amz-copy-source": f"/{BUCKET}/film", "content-length": "0"}
        assert store.call("PUT", "copy", headers=copied).status == 200
        upload_parts(store, "open", create(store, "open"), {1: b"11111", 3: b"3"})
    return place


def parts_of(directory: Path, key: str) -> Path:
    (found,) = Path(Layout(directory).entry(entry_name(BUCKET, key))).parent.glob(f"{entry_name(BUCKET, key)}.*")
    return found


def description(directory: Path) -> Path:
    (found,) = [path for path in (directory / "uploads").iterdir() if not path.suffix]
    return found


def test_sound_parts_have_no_findings_and_every_byte_is_read(directory: Path) -> None:
    whole = Check(directory, progress=lambda _share: None)

    with exclusive(directory):
        assert list(whole.findings()) == []
    assert (whole.objects, whole.bytes) == (2, 2 * sum(map(len, BODIES.values())) + 6)


@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (lambda part: flip(part, 1000), Kind.FLIPPED),
        (lambda part: flip(part, part.stat().st_size - 60), Kind.FLIPPED),
        (lambda part: truncate(part, 1_000_000), Kind.TRUNCATED),
        (Path.unlink, Kind.MISSING),
        (lambda part: part.write_bytes((part.parent / "00002").read_bytes()), Kind.TRUNCATED),
    ],
    ids=["flipped data", "flipped record", "cut off", "missing", "another part"],
)
def test_a_damaged_part_of_an_object_is_found_at_its_key(
    directory: Path, harm: Callable[[Path], object], kind: Kind
) -> None:
    part = parts_of(directory, "copy") / "00001"
    own = part.read_bytes()
    part.unlink()
    part.write_bytes(own)

    harm(part)

    assert check(directory) == [(kind, within(directory, Path(Layout(directory).entry(entry_name(BUCKET, "copy")))))]


def test_a_flipped_bit_of_a_part_that_was_kept_under_its_checksum_alone_is_found(tmp_path: Path) -> None:
    directory = tmp_path / "objects"
    with store_in_thread(directory, limits=Limits(reserve_bytes=0, least_part_bytes=1)) as store:
        upload = create(store, "model")
        parts = [put_under_its_checksum(store, "model", upload, n, body) for n, body in BODIES.items()]
        listed = [(number, part.headers["etag"]) for number, part in zip(BODIES, parts, strict=True)]
        assert complete(store, "model", upload, *listed).status == 200
    assert check(directory) == []

    flip(parts_of(directory, "model") / "00001", 1_400_000)

    assert check(directory) == [
        (Kind.FLIPPED, within(directory, Path(Layout(directory).entry(entry_name(BUCKET, "model")))))
    ]


def test_a_directory_of_parts_that_is_missing_is_found_at_its_key(directory: Path) -> None:
    shutil.rmtree(parts_of(directory, "film"))

    assert check(directory) == [
        (Kind.MISSING, within(directory, Path(Layout(directory).entry(entry_name(BUCKET, "film")))))
    ]


def test_a_damaged_part_of_an_open_upload_is_found(directory: Path) -> None:
    part = parts_of(directory, "open") / "00001"
    flip(part, 2)

    assert check(directory) == [(Kind.FLIPPED, within(directory, part))]


@pytest.mark.parametrize("key", ["film", "open"])
def test_a_stray_file_among_parts_is_found(directory: Path, key: str) -> None:
    stray = parts_of(directory, key) / "notes"
    stray.write_bytes(b"?")

    assert check(directory) == [(Kind.STRAY, within(directory, stray))]


def test_parts_that_nothing_names_are_found(directory: Path) -> None:
    parts, upload = parts_of(directory, "open"), description(directory)
    upload.unlink()

    assert check(directory) == [(Kind.STRAY, within(directory, parts))]


def test_an_open_upload_without_its_directory_is_found(directory: Path) -> None:
    shutil.rmtree(parts_of(directory, "open"))

    assert check(directory) == [(Kind.MISSING, within(directory, description(directory)))]


def test_a_damaged_description_and_the_parts_that_it_leaves_are_found(directory: Path) -> None:
    flip(description(directory), 5)

    assert check(directory) == [
        (Kind.FLIPPED, within(directory, description(directory))),
        (Kind.STRAY, within(directory, parts_of(directory, "open"))),
    ]


def test_a_stray_file_among_the_uploads_is_found(directory: Path) -> None:
    (directory / "uploads" / "notes").write_bytes(b"?")

    assert check(directory) == [(Kind.STRAY, "uploads/notes")]
