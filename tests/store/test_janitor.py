from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from penstock.store import objects
from penstock.store.faults import Refused
from penstock.store.janitor import ANSWERS_SECONDS, GRACE_SECONDS, Janitor, steady
from tests.store.test_fsck import flip
from tests.store.test_multipart import KEY, Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LATER = GRACE_SECONDS + 60


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path, None)
    bench.objects.create_bucket("bucket")
    yield bench
    bench.close()


def clean(bench: Bench, *, after: float) -> int:
    """One pass, as if it came `after` seconds from now."""
    janitor = Janitor(bench.objects, bench.multipart.files, now=lambda: time.time() + after, pause_seconds=0)
    return janitor.clean(threading.Event())


def test_what_is_named_stays_whatever_its_age(bench: Bench) -> None:
    done, pending = bench.begin(), bench.begin("pending")
    bench.complete(done, bench.put(done, 1, b"part"))
    bench.put(pending, 1, b"part")
    bench.write("plain", b"plain")
    bench.copy(KEY, "copied parts")
    bench.copy("plain", "copied file")
    before = bench.files()

    assert clean(bench, after=LATER) == 0
    assert bench.files() == before


def test_data_that_nothing_names_goes_after_an_hour(bench: Bench) -> None:
    bench.write("plain", b"plain")
    bench.copy("plain", "file")
    upload = bench.begin("parts")
    bench.complete(upload, bench.put(upload, 1, b"part"))
    kept = bench.files()
    for key in ("file", "parts"):
        stored = bench.objects.open("bucket", key)
        linked = str(stored.record.linked)
        stored.close()
        source = bench.directory / "objects" / linked[:2] / linked
        stray = source.with_name(f"{linked.partition('.')[0]}.{'5' * 16}")
        if source.is_dir():
            stray.mkdir()
            (stray / "00001").write_bytes(b"part")
        else:
            os.link(source, stray)

    assert clean(bench, after=GRACE_SECONDS / 2) == 0
    assert bench.files() != kept
    assert clean(bench, after=LATER) == 2
    assert bench.files() == kept


def test_a_directory_that_is_being_read_stays_until_it_is_not(bench: Bench) -> None:
    upload = bench.begin()
    bench.complete(upload, bench.put(upload, 1, b"part"))
    stored = bench.objects.open("bucket", KEY)
    bench.objects.delete("bucket", [KEY])

    clean(bench, after=LATER)
    during = stored.read(0, 4)
    stored.close()
    clean(bench, after=LATER)

    assert during == b"part"
    assert bench.files() == [f"{upload.id}.done"]


def test_parts_that_came_to_nothing_go_from_a_finished_object(bench: Bench) -> None:
    upload = bench.begin()
    bench.complete(upload, bench.put(upload, 1, b"part"))
    directory = bench.directory / "objects" / upload.name[:2] / upload.directory
    (directory / "00002").write_bytes(b"unlisted")

    assert clean(bench, after=LATER) == 1
    assert bench.read() == b"part"


def test_the_data_of_a_damaged_record_stays(bench: Bench) -> None:
    upload = bench.begin()
    bench.complete(upload, bench.put(upload, 1, b"part"))
    entry = bench.directory / "objects" / upload.name[:2] / upload.name
    flip(entry, 10)
    before = bench.files()

    assert clean(bench, after=LATER) == 0
    assert bench.files() == before


def test_the_parts_of_a_damaged_description_stay(bench: Bench) -> None:
    upload = bench.begin()
    bench.put(upload, 1, b"part")
    flip(bench.directory / "uploads" / upload.id, 10)
    before = bench.files()

    assert clean(bench, after=LATER) == 0
    assert bench.files() == before


def test_answers_are_kept_for_a_day(bench: Bench) -> None:
    upload = bench.begin()
    part = bench.put(upload, 1, b"part")
    answer = bench.complete(upload, part)

    clean(bench, after=ANSWERS_SECONDS - 60)
    assert bench.complete(upload, part) == answer
    assert clean(bench, after=ANSWERS_SECONDS + 60) == 1
    assert bench.multipart.files.answer(upload.id) is None
    assert bench.read() == b"part"


def test_a_description_whose_parts_have_gone_goes_too(bench: Bench) -> None:
    upload = bench.begin()
    bench.objects.drop_parts(upload.directory)

    assert clean(bench, after=LATER) == 1
    assert bench.multipart.files.all() == []


def test_a_pass_ends_when_the_store_does(bench: Bench) -> None:
    bench.begin()
    janitor = Janitor(bench.objects, bench.multipart.files, now=lambda: time.time() + LATER)
    stop = threading.Event()
    stop.set()

    assert janitor.clean(stop) == 0


@pytest.mark.parametrize("parts", [False, True])
def test_a_copy_that_lost_its_data_to_the_janitor_fails_instead_of_naming_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, parts: bool
) -> None:
    if parts:
        upload = bench.begin()
        bench.complete(upload, bench.put(upload, 1, b"part"))
    else:
        bench.write(KEY, b"part")

    def pass_by(name: str) -> None:
        if name == "copy.linked":
            clean(bench, after=LATER)

    monkeypatch.setattr(objects, "failpoint", pass_by)
    with pytest.raises(Refused):
        bench.copy(KEY, "target")

    with pytest.raises(Refused):
        bench.read("target")
    assert bench.read() == b"part"


def test_a_clock_that_is_set_makes_nothing_older() -> None:
    wall, passed = 1000.0, 5.0
    now = steady(lambda: wall, lambda: passed)

    wall, passed = 9000.0, 15.0
    assert now() == 1010.0

    wall, passed = 400.0, 25.0
    assert now() == 400.0
