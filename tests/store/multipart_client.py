"""Multipart uploads as a client of crash tests sees them: parts by number, each known by its ETag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.store.support import BUCKET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.store.support import Response, Store


def begin_upload(store: Store, key: str) -> Response:
    """CreateMultipartUpload."""
    return store.call("POST", key, query={"uploads": ""})


def id_of(begun: Response) -> str:
    """The id in the answer to `begin_upload`."""
    found = re.search(r"<UploadId>(.+?)</UploadId>", begun.body.decode())
    assert found, begun.body
    return found[1]


def put_part(store: Store, key: str, upload: str, number: int, body: bytes) -> Response:
    """UploadPart."""
    return store.call("PUT", key, query=_part(upload, number), body=body)


def copy_part(store: Store, key: str, upload: str, number: int, source: str) -> Response:
    """UploadPartCopy of a whole object of the bucket, whose key needs no quoting."""
    headers = {"x-amz-copy-source": f"{BUCKET}/{source}", "content-length": "0"}
    return store.call("PUT", key, query=_part(upload, number), headers=headers)


def complete_upload(store: Store, key: str, upload: str, parts: Mapping[int, str]) -> Response:
    """CompleteMultipartUpload with the ETags of parts by number."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in sorted(parts.items())
    )
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    response = store.call("POST", key, query={"uploadId": upload}, body=body)
    assert response.status != 200 or b"<Error>" not in response.body, response.body
    return response


def abort_upload(store: Store, key: str, upload: str) -> Response:
    """AbortMultipartUpload."""
    return store.call("DELETE", key, query={"uploadId": upload})


def open_uploads(store: Store) -> dict[str, str]:
    """Key by id."""
    page = store.call("GET", "", query={"uploads": ""}).body.decode()
    assert "<IsTruncated>false" in page
    return {found[2]: found[1] for found in re.finditer(r"<Key>([^<]*)</Key><UploadId>(\w+)</UploadId>", page)}


def listed_parts(store: Store, key: str, upload: str) -> dict[int, str]:
    """ETag by number; empty when there is no such upload."""
    response = store.call("GET", key, query={"uploadId": upload})
    assert response.status in {200, 404}, response.body
    found = re.finditer(r"<PartNumber>(\d+)</PartNumber>.*?<ETag>&quot;(.*?)&quot;</ETag>", response.body.decode())
    return {int(part[1]): part[2] for part in found}


def _part(upload: str, number: int) -> dict[str, str]:
    return {"partNumber": str(number), "uploadId": upload}
