"""ListObjectsV2, V1 and ListObjectVersions: a page of keys and common prefixes, in UTF-8 order (S3 API)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from penstock.store import xml
from penstock.store.faults import INVALID_ARGUMENT, Refused
from penstock.store.index import beyond_prefix
from penstock.store.request import ONLY_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.store.index import Entry, KeyIndex
    from penstock.store.request import S3Request

_MOST_KEYS = 1000
OWNER = "<Owner><ID>penstock</ID><DisplayName>penstock</DisplayName></Owner>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one answer lists. `last` is the key or common prefix after which the next page begins."""

    entries: tuple[Entry, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: str


def list_page(index: KeyIndex, bucket: str, *, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """Up to `limit` keys and common prefixes above `after`. A common prefix counts once and is skipped over."""
    entries: list[Entry] = []
    prefixes: list[str] = []
    last = after
    position, inclusive = after, False
    if delimiter and after.startswith(prefix) and (shared := common_prefix(after, prefix, delimiter)) == after:
        position, inclusive = beyond_prefix(shared) or "", True
        if not position:
            return Page(entries=(), prefixes=(), truncated=False, last=last)
    while limit:
        room = limit - len(entries) - len(prefixes)
        batch = index.page(bucket, prefix=prefix, after=position, inclusive=inclusive, limit=room + 1)
        jumped = False
        for entry in batch:
            if len(entries) + len(prefixes) == limit:
                return Page(entries=tuple(entries), prefixes=tuple(prefixes), truncated=True, last=last)
            shared = common_prefix(entry.key, prefix, delimiter)
            if shared is None:
                entries.append(entry)
                position, inclusive, last = entry.key, False, entry.key
                continue
            prefixes.append(shared)
            position, inclusive, last, jumped = beyond_prefix(shared) or "", True, shared, True
            break
        if not jumped or not position:
            break
    return Page(entries=tuple(entries), prefixes=tuple(prefixes), truncated=False, last=last)


def list_objects_v2(index: KeyIndex, request: S3Request) -> str:
    """The document of `GET /bucket?list-type=2`. Raises `Refused`."""
    query = request.query
    token = query.get("continuation-token")
    after = query.get("start-after", "") if token is None else _decoded_token(token)
    page, limit = _page(index, request, after)
    shown = key_encoder(request)
    owned = query.get("fetch-owner", "").lower() == "true"
    content = [
        xml.tag("KeyCount", len(page.entries) + len(page.prefixes)),
        xml.tag("ContinuationToken", token) if token is not None else "",
        xml.tag("StartAfter", shown(query["start-after"])) if "start-after" in query else "",
        xml.tag("NextContinuationToken", _encoded_token(page.last)) if page.truncated else "",
    ]
    return xml.root("ListBucketResult", _common(request, page, limit) + content + _contents(page, shown, owned=owned))


def list_objects_v1(index: KeyIndex, request: S3Request) -> str:
    """The document of `GET /bucket`, the older listing with a marker. Raises `Refused`."""
    marker = request.query.get("marker", "")
    page, limit = _page(index, request, marker)
    shown = key_encoder(request)
    content = [
        xml.tag("Marker", shown(marker)),
        xml.tag("NextMarker", shown(page.last)) if page.truncated and request.query.get("delimiter") else "",
    ]
    return xml.root("ListBucketResult", _common(request, page, limit) + content + _contents(page, shown, owned=True))


def list_object_versions(index: KeyIndex, request: S3Request) -> str:
    """The document of `GET /bucket?versions`. Raises `Refused`."""
    query = request.query
    marker, version_marker = query.get("key-marker", ""), query.get("version-id-marker")
    if version_marker is not None and not marker:
        raise Refused(INVALID_ARGUMENT, "A version-id marker cannot be specified without a key marker.")
    if version_marker not in {None, "", ONLY_VERSION}:
        raise Refused(INVALID_ARGUMENT, "Invalid version id specified.")
    page, limit = _page(index, request, marker)
    shown = key_encoder(request)
    ends_in_key = bool(page.entries) and page.entries[-1].key == page.last
    content = [
        xml.tag("KeyMarker", shown(marker)),
        xml.tag("VersionIdMarker", version_marker or ""),
        xml.tag("NextKeyMarker", shown(page.last)) if page.truncated else "",
        xml.tag("NextVersionIdMarker", ONLY_VERSION) if page.truncated and ends_in_key else "",
    ]
    return xml.root("ListVersionsResult", _common(request, page, limit) + content + _versions(page, shown))


def _page(index: KeyIndex, request: S3Request, after: str) -> tuple[Page, int]:
    limit = request.number("max-keys", _MOST_KEYS, most=_MOST_KEYS)
    prefix, delimiter = request.query.get("prefix", ""), request.query.get("delimiter", "")
    return list_page(index, request.bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit), limit


def _common(request: S3Request, page: Page, limit: int) -> list[str]:
    shown = key_encoder(request)
    query = request.query
    return [
        xml.tag("Name", request.bucket),
        xml.tag("Prefix", shown(query.get("prefix", ""))),
        xml.tag("Delimiter", shown(query["delimiter"])) if query.get("delimiter") else "",
        xml.tag("MaxKeys", limit),
        xml.tag("EncodingType", "url") if query.get("encoding-type") else "",
        xml.tag("IsTruncated", "true" if page.truncated else "false"),
    ]


def _contents(page: Page, shown: Callable[[str], str], *, owned: bool) -> list[str]:
    keys = [f"<Contents>{_facts(entry, shown)}{OWNER if owned else ''}</Contents>" for entry in page.entries]
    return keys + _common_prefixes(page, shown)


def _versions(page: Page, shown: Callable[[str], str]) -> list[str]:
    version = f"{xml.tag('VersionId', ONLY_VERSION)}{xml.tag('IsLatest', 'true')}{OWNER}"
    versions = [f"<Version>{_facts(entry, shown)}{version}</Version>" for entry in page.entries]
    return versions + _common_prefixes(page, shown)


def _facts(entry: Entry, shown: Callable[[str], str]) -> str:
    return (
        f"{xml.tag('Key', shown(entry.key))}{xml.tag('LastModified', xml.timestamp(entry.modified_us))}"
        f"<ETag>&quot;{entry.etag}&quot;</ETag>{xml.tag('Size', entry.size)}<StorageClass>STANDARD</StorageClass>"
    )


def _common_prefixes(page: Page, shown: Callable[[str], str]) -> list[str]:
    return [f"<CommonPrefixes>{xml.tag('Prefix', shown(prefix))}</CommonPrefixes>" for prefix in page.prefixes]


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """The part of a key up to and with the first delimiter after the prefix; None when there is none."""
    found = key.find(delimiter, len(prefix)) if delimiter else -1
    return None if found < 0 else key[: found + len(delimiter)]


def key_encoder(request: S3Request) -> Callable[[str], str]:
    encoding = request.query.get("encoding-type")
    if encoding not in {None, "", "url"}:
        raise Refused(INVALID_ARGUMENT, "Invalid Encoding Method specified in Request.")
    return (lambda key: quote(key, safe="/")) if encoding else (lambda key: key)


def _encoded_token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode("ascii")


def _decoded_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode("ascii")).decode()
    except (binascii.Error, UnicodeError):
        raise Refused(INVALID_ARGUMENT, "The continuation token provided is incorrect.") from None
