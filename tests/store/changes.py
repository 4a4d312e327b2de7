"""Every kind of change that a store knows, as one request to a store with known content."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.store.support import store_in_thread
from tests.store.workload import copy_object, delete_objects, listing, post_form

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.store.support import Response, Store

LARGE = os.urandom(700_000)
OBJECTS = {"small": b"a small object", "large": LARGE}
COPIES = {"copy": "large", "other copy": "small"}
State = tuple[dict[str, bytes], frozenset[str]]


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
    "create a bucket": _change(lambda store: ask_for_bucket(store, "PUT", "second"), 200),
    # S3 has no other answer than 404 for a bucket that is gone.
    "delete a bucket": _change(lambda store: ask_for_bucket(store, "DELETE", "spare"), 204, 404),
}


def fill(directory: Path) -> None:
    """Make the data directory of a store that has ended, with objects, copies of them, and an empty bucket."""
    with store_in_thread(directory) as store:
        for key, content in OBJECTS.items():
            assert store.put(key, content).status == 200
        for key, source in COPIES.items():
            assert copy_object(store, source, key).status == 200
        assert ask_for_bucket(store, "PUT", "spare").status == 200


def state_of(store: Store) -> State:
    """Every object whole, as the listing and each key show it, and the buckets."""
    shown = {key: store.get(key) for key in ("new", *OBJECTS, *COPIES)}
    assert {response.status for response in shown.values()} <= {200, 404}
    objects = {key: response.body for key, response in shown.items() if response.status == 200}
    assert listing(store) == {key: len(body) for key, body in objects.items()}
    assert not list((store.directory / "tmp").iterdir())
    buckets = store.exchange(store.head_bytes("GET", "/")).body.decode()
    return objects, frozenset(re.findall(r"<Name>(.*?)</Name>", buckets))
