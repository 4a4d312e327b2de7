"""The ETag of an object that was uploaded in parts (S3 API, "Checking object integrity")."""

from __future__ import annotations

from hashlib import md5
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def multipart_etag(part_md5s: Sequence[bytes]) -> str:
    """The quoted MD5 of the parts' binary MD5s, with `-` and their number. Not the MD5 of the object."""
    return f'"{md5(b"".join(part_md5s), usedforsecurity=False).hexdigest()}-{len(part_md5s)}"'
