"""Death at every step of every change that uploads know: before or after, never between; the retry succeeds (F3)."""

from __future__ import annotations

import shutil
import threading
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest

from penstock.store.config import Limits
from penstock.store.digests import HashThreads
from penstock.store.fsck import Check, Finding, Kind, exclusive
from penstock.store.janitor import GRACE_SECONDS, Janitor
from penstock.store.multipart import Multipart
from penstock.store.objects import Objects
from tests.store.changes import Change
from tests.store.support import Store, store_in_thread
from tests.store.test_failpoints import survives
from tests.store.test_multipart_routes import complete, create, md5, put_part, texts, upload_parts, uploaded
from tests.store.workload import copy_object

if TYPE_CHECKING:
    from pathlib import Path

LISTED = b"the part that is listed"
State = tuple[dict[str, bytes], frozenset[tuple[str, ...]]]

ANSWERS = {
    "create": {200},
    "send a part": {200},
    "send a part again": {200},
    "complete": {200},
    "complete over an object of parts": {200},
    # S3 has no other answer than 404 for an upload that is gone.
    "abort": {204, 404},
    "copy an object of parts": {200},
    "overwrite an object of parts": {200},
    "delete an object of parts": {204},
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A data directory to be copied: an object of three parts, and open uploads with two parts each, by key."""
    place = tmp_path_factory.mktemp("filled")
    with store_in_thread(place, limits=Limits(reserve_bytes=0, least_part_bytes=1)) as store:
        uploaded(store, "film", {1: b"11111", 2: b"22222", 5: b"5"})
        uploads = {key: create(store, key) for key in ("new", "film")}
        for key, upload in uploads.items():
            upload_parts(store, key, upload, {1: b"a part that is not listed", 2: LISTED})
    return place, uploads


@pytest.mark.parametrize("name", ANSWERS)
def test_death_at_any_step_leaves_the_old_or_the_new_and_the_retry_succeeds(
    filled: tuple[Path, dict[str, str]], tmp_path: Path, name: str
) -> None:
    place, uploads = filled
    change, states, repeated = change_of(name, uploads), list[State](), list[State]()

    for step in count(1):
        directory = tmp_path / str(step)
        shutil.copytree(place, directory)
        survived = survives(directory, step, change)
        with store_in_thread(directory) as store:
            states.append(state_of(store))
            assert change.ask(store).status in change.answers
            repeated.append(state_of(store))
        require_sound_after_cleaning(directory)
        shutil.rmtree(directory)
        if survived:
            break

    before, after = states[0], states[-1]
    assert before != after
    assert states == [before] * states.count(before) + [after] * states.count(after)
    assert states.count(after) >= 2
    if name != "create":  # which begins another upload each time
        assert repeated == [after] * len(repeated)


def change_of(name: str, uploads: dict[str, str]) -> Change:
    """The request of this name."""
    requests = {
        "create": lambda store: store.call("POST", "third", query={"uploads": ""}),
        "send a part": lambda store: put_part(store, "new", uploads["new"], 3, b"33333"),
        "send a part again": lambda store: put_part(store, "new", uploads["new"], 1, b"another body"),
        "complete": lambda store: complete(store, "new", uploads["new"], (2, md5(LISTED))),
        "complete over an object of parts": lambda store: complete(store, "film", uploads["film"], (2, md5(LISTED))),
        "abort": lambda store: store.call("DELETE", "new", query={"uploadId": uploads["new"]}),
        "copy an object of parts": lambda store: copy_object(store, "film", "copy"),
        "overwrite an object of parts": lambda store: store.put("film", b"other bytes"),
        "delete an object of parts": lambda store: store.call("DELETE", "film"),
    }
    return Change(ask=requests[name], answers=frozenset(ANSWERS[name]))


def state_of(store: Store) -> State:
    """Every object whole, and every open upload with its parts."""
    shown = {key: store.get(key) for key in ("new", "film", "copy")}
    assert {response.status for response in shown.values()} <= {200, 404}
    listed = store.call("GET", "", query={"uploads": ""})
    uploads = set()
    for key, upload in zip(texts(listed, "Key"), texts(listed, "UploadId"), strict=True):
        parts = store.call("GET", key, query={"uploadId": upload})
        uploads.add((key, *texts(parts, "PartNumber"), *texts(parts, "ETag")))
    assert not list((store.directory / "tmp").iterdir())
    return {key: response.body for key, response in shown.items() if response.status == 200}, frozenset(uploads)


def require_sound_after_cleaning(directory: Path) -> None:
    """Nothing is wrong but data that nothing names; and the janitor of a later hour removes that."""
    assert {finding.kind for finding in findings(directory)} <= {Kind.STRAY}
    threads = HashThreads(0)
    objects = Objects(directory, threads=threads)
    multipart = Multipart(objects, least_bytes=1, most_bytes=1 << 40)
    janitor = Janitor(objects, multipart.files, now=lambda: time.time() + GRACE_SECONDS + 60, pause_seconds=0)
    janitor.clean(threading.Event())
    objects.close()
    threads.close()
    assert findings(directory) == []


def findings(directory: Path) -> list[Finding]:
    with exclusive(directory):
        return list(Check(directory, progress=lambda _share: None).findings())
