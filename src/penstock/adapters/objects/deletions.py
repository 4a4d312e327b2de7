"""Many deletions in one call (S3 API, DeleteObjects)."""

from __future__ import annotations

import base64
import hashlib
from itertools import islice
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from penstock.adapters.objects.answers import check_deletions
from penstock.domain.errors import ObjectStoreUnavailable
from penstock.ports.objects import ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from penstock.adapters.objects.calls import Calls

_MOST = 1000
"""Keys in one call (S3 API)."""


def delete_all(calls: Calls, keys: Iterable[str]) -> None:
    """Remove objects, as many as S3 allows with each call; a key that is not there is no error.

    Raises `ObjectStoreUnavailable`; some are gone then, and all may be asked for again.
    """
    for batch in _batches(keys):
        if len(batch) == 1:
            _delete_one(calls, batch[0])
        else:
            _delete_many(calls, batch)


def _delete_one(calls: Calls, key: str) -> None:
    try:
        calls.ask(calls.request("DELETE", key), answer_seconds=calls.patience.answer)
    except ObjectNotFoundError:
        return


def _delete_many(calls: Calls, keys: list[str]) -> None:
    listed = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
    body = f"<Delete><Quiet>true</Quiet>{listed}</Delete>".encode()
    headers = (
        ("content-length", str(len(body))),
        ("content-md5", base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()),
        ("content-type", "application/xml"),
    )
    request = calls.request("POST", None, query=(("delete", ""),), headers=headers)
    try:
        _, answer = calls.ask(request, body=lambda: (body,), payload_hash=hashlib.sha256(body).hexdigest())
    except ObjectNotFoundError:
        raise ObjectStoreUnavailable("the object store knows no deletion of many objects") from None
    check_deletions(answer)


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while batch := list(islice(rest, _MOST)):
        yield batch
