"""The parent's look at the weights of a registered model: the beginning of the file, by a ranged GET of its URL.

It is read as a loader would read it, and told to the child as hashes: nothing of it is decoded.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection  # noqa: TID251 - to a URL that we signed ourselves
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from penstock.domain.errors import ObjectStoreUnavailable
from penstock.ports.runners import FileInput, RunImpossibleError, WeightsInput

if TYPE_CHECKING:
    from penstock.ports.runners import JsonLike, RunContext

_LOOK_BYTES = 1 << 16
_LENGTH_BYTES = 8
_SECONDS = 30.0
_PARTIAL = 206


def told(value: JsonLike, context: RunContext) -> object:
    """The value with what is told of weights, and of files beside them, in place of them, wherever they stand.

    Raises `ObjectStoreUnavailable` when they cannot be read now, `RunImpossibleError` when they never can.
    """
    if isinstance(value, WeightsInput):
        return _described(value, _beginning(context.url(value)))
    if isinstance(value, FileInput):
        return {"asset_id": value.asset_id, "name": value.name, "size": value.size}
    if isinstance(value, dict):
        return {name: told(item, context) for name, item in value.items()}
    if isinstance(value, list):
        return [told(item, context) for item in value]
    return value


def _described(weights: WeightsInput, beginning: bytes) -> dict[str, object]:
    length = int.from_bytes(beginning[:_LENGTH_BYTES], "little")
    header = beginning[: _LENGTH_BYTES + length]
    return {
        "air": weights.air,
        "name": weights.name,
        "category": weights.category,
        "architecture": weights.architecture,
        "size": weights.size,
        "sha256": weights.sha256,
        "header_sha256": hashlib.sha256(header).hexdigest(),
        "header_bytes": _LENGTH_BYTES + length,
    }


def _beginning(url: str) -> bytes:
    """The first bytes of what stands at the URL: the length of its header, and the header or the beginning of it."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    try:
        with closing(connect(parts.hostname or "", parts.port, timeout=_SECONDS)) as connection:
            connection.request("GET", f"{parts.path}?{parts.query}", headers={"Range": f"bytes=0-{_LOOK_BYTES - 1}"})
            answer = connection.getresponse()
            found = answer.read(_LOOK_BYTES)
    except (OSError, HTTPException) as error:
        raise ObjectStoreUnavailable("the weights cannot be read now") from error
    if answer.status != _PARTIAL or len(found) < _LENGTH_BYTES:
        msg = f"the weights cannot be read by ranges: the object store answered {answer.status}"
        raise RunImpossibleError(msg)
    return found
