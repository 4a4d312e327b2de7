"""What stored bytes show: the look of the domain, carried out on an object store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from penstock.domain.sniffing import SNIFF_BYTES, find_type

if TYPE_CHECKING:
    from penstock.ports.objects import ObjectInfo, ObjectStore


def sniff_object(objects: ObjectStore, key: str) -> tuple[ObjectInfo, str | None]:
    """Facts about an object and the media type that its bytes show, None when that is no type we know.

    One round trip for usual files, at most three more. Whoever acts on the answer does so under the ETag of the facts:
    the object may have been replaced between two reads. Raises `ObjectNotFoundError`, `ObjectStoreUnavailable`.
    """
    info, head = objects.peek(key, length=SNIFF_BYTES)
    found = find_type(head, size=info.size, read=lambda start, end: b"".join(objects.read(key, start=start, end=end)))
    return info, found


def sha256_of_object(objects: ObjectStore, key: str) -> str:
    """SHA-256 (hex) of an object that nobody can change, by reading all of it. Raises as `ObjectStore.read`."""
    digest = hashlib.sha256()
    for chunk in objects.read(key):
        digest.update(chunk)
    return digest.hexdigest()
