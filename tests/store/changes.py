"""Every kind of change that a store knows, as one request to a store with known content."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.store.config import Limits
from tests.store.multipart_client import (
    abort_upload,
    begin_upload,
    complete_upload,
    copy_part,
    id_of,
    listed_parts,
    open_uploads,
    put_part,
)
from tests.store.support import store_in_thread
from tests.store.workload import copy_object, delete_objects, listing, post_form

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.store.support import Response, Store

LARGE = os.urandom(700_000)
OBJECTS = {"small": b"a small object", "large": LARGE}
COPIES = {"copy": "large", "other copy": "small"}
PARTS = {2: b"the second, ", 7: b"the seventh"}
"""Of the object `joined`, and of uploads that are open: of `new`, and of some keys that hold objects."""
OPEN = ("new", "copy", "joined")
_IDS = "uploads.json"
State = tuple[dict[str, bytes], frozenset[str], frozenset[tuple[str, str]]]
"""Objects; buckets; open uploads with the ETags of their parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One request that changes a store, and the statuses that it and its repetition may get."""

    ask: Callable[[Store], Response]
    answers: frozenset[int]


def ask_for_bucket(store: Store, method: str, bucket: str) -> Response:
    """CreateBucket or DeleteBucket."""
    return store.exchange(store.head_bytes(method, f"/{bucket}", headers={"content-length": "0"}))


def _change(ask: Callable[[Store], Response], *answers: int) -> Change:
    return Change(ask=ask, answers=frozenset(answers))


def _complete(store: Store, key: str) -> Response:
    """Complete the open upload of a key with its last part only. Its id is known from before the crash."""
    upload, etag = _ids(store)[key]
    return complete_upload(store, key, upload, {7: etag})


def _ids(store: Store) -> dict[str, tuple[str, str]]:
    """By key, the upload that was open at the beginning, and the ETag of its last part."""
    return {key: (one, etag) for key, (one, etag) in json.loads((store.directory / _IDS).read_text()).items()}


DELETE_MANY = _change(lambda store: delete_objects(store, ["copy", "small"]), 200)
CHANGES = {
    "put": _change(lambda store: store.put("new", LARGE), 200),
    "overwrite": _change(lambda store: store.put("small", b"other bytes"), 200),
    "overwrite a copy": _change(lambda store: store.put("copy", b"other bytes"), 200),
    "overwrite a source": _change(lambda store: store.put("large", b"other bytes"), 200),
    "post a form": _change(lambda store: post_form(store, "new", LARGE), 204),
    "copy": _change(lambda store: copy_object(store, "large", "new"), 200),
    "copy a copy": _change(lambda store: copy_object(store, "copy", "new"), 200),
    "copy over a copy": _change(lambda store: copy_object(store, "small", "copy"), 200),
    "delete": _change(lambda store: store.call("DELETE", "small"), 204),
    "delete a copy": _change(lambda store: store.call("DELETE", "copy"), 204),
    "begin an upload": _change(lambda store: begin_upload(store, "small"), 200),
    "put a part": _change(lambda store: put_part(store, "new", _ids(store)["new"][0], 4, LARGE), 200),
    "put a part again": _change(lambda store: put_part(store, "new", _ids(store)["new"][0], 7, LARGE), 200),
    "copy a part": _change(lambda store: copy_part(store, "new", _ids(store)["new"][0], 4, "large"), 200),
    "complete": _change(lambda store: _complete(store, "new"), 200),
    "complete over a copy": _change(lambda store: _complete(store, "copy"), 200),
    "complete over parts": _change(lambda store: _complete(store, "joined"), 200),
    "abort": _change(lambda store: abort_upload(store, "new", _ids(store)["new"][0]), 204, 404),
    "overwrite parts": _change(lambda store: store.put("joined", b"other bytes"), 200),
    "copy parts": _change(lambda store: copy_object(store, "joined", "new"), 200),
    "copy over parts": _change(lambda store: copy_object(store, "small", "joined"), 200),
    "delete parts": _change(lambda store: store.call("DELETE", "joined"), 204),
    "create a bucket": _change(lambda store: ask_for_bucket(store, "PUT", "second"), 200),
    # S3 has no other answer than 404 for a bucket that is gone.
    "delete a bucket": _change(lambda store: ask_for_bucket(store, "DELETE", "spare"), 204, 404),
}


def fill(directory: Path) -> None:
    """Make the data directory of a store that has ended, with objects of every kind, uploads and an empty bucket."""
    with store_in_thread(directory, limits=Limits(reserve_bytes=0, least_part_bytes=1)) as store:
        for key, content in OBJECTS.items():
            assert store.put(key, content).status == 200
        for key, source in COPIES.items():
            assert copy_object(store, source, key).status == 200
        upload, etags = _upload(store, "joined")
        assert complete_upload(store, "joined", upload, etags).status == 200
        opened = {key: _upload(store, key) for key in OPEN}
        assert ask_for_bucket(store, "PUT", "spare").status == 200
    (directory / _IDS).write_text(json.dumps({key: (upload, etags[7]) for key, (upload, etags) in opened.items()}))


def _upload(store: Store, key: str) -> tuple[str, dict[int, str]]:
    upload = id_of(begin_upload(store, key))
    etags = {number: put_part(store, key, upload, number, body).headers["etag"] for number, body in PARTS.items()}
    return upload, etags


def state_of(store: Store) -> State:
    """Every object whole, as the listing and each key show it; the buckets; the uploads."""
    shown = {key: store.get(key) for key in ("new", "joined", *OBJECTS, *COPIES)}
    assert {response.status for response in shown.values()} <= {200, 404}
    objects = {key: response.body for key, response in shown.items() if response.status == 200}
    assert listing(store) == {key: len(body) for key, body in objects.items()}
    assert not list((store.directory / "tmp").iterdir())
    buckets = store.exchange(store.head_bytes("GET", "/")).body.decode()
    # An upload that was begun again after a crash is one more, and known by another id.
    uploads = {(key, repr(sorted(listed_parts(store, key, one).items()))) for one, key in open_uploads(store).items()}
    return objects, frozenset(re.findall(r"<Name>(.*?)</Name>", buckets)), frozenset(uploads)
