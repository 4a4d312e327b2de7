"""Whether a list of parts completes an upload, and what the object is then (S3 API, CompleteMultipartUpload). Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from penstock.sigv4 import multipart_etag
from penstock.store.digests import FULL_OBJECT, as_base64, combined, digest_of
from penstock.store.faults import (
    BAD_DIGEST,
    ENTITY_TOO_LARGE,
    ENTITY_TOO_SMALL,
    INVALID_ARGUMENT,
    INVALID_PART,
    INVALID_PART_ORDER,
    INVALID_REQUEST,
    MALFORMED_XML,
    Refused,
)
from penstock.store.record import Record
from penstock.store.segments import runs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from xml.etree.ElementTree import Element

    from penstock.store.uploads import Upload

MOST_PARTS = 10_000
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CHECKSUM = "Checksum"


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part as the client lists it: `etag` without quotes, `checksums` by algorithm in base64."""

    number: int
    etag: str
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a completion says of its object. `size` is in bytes; None, or empty, where it says nothing."""

    parts: tuple[ListedPart, ...]
    size: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    checksum_type: str | None = None


def listed_parts(tree: Element) -> tuple[ListedPart, ...]:
    """The parts that a `CompleteMultipartUpload` lists. Raises `Refused` for a list that fits no upload (F13).

    A client may note every part that it sent. So of a number that stands there again with another ETag, the last one
    counts, which must be that of the part that is there (F11).
    """
    listed = [_listed(node) for node in tree.iter("Part")]
    for earlier, later in pairwise(listed):
        if later.number < earlier.number or (later.number, later.etag) == (earlier.number, earlier.etag):
            raise Refused(INVALID_PART_ORDER)
    parts = tuple({part.number: part for part in listed}.values())
    if not 1 <= len(parts) <= MOST_PARTS:
        raise Refused(MALFORMED_XML)
    return parts


def part_number(text: str) -> int:
    """Raises `Refused` for what is no number of a part."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MOST_PARTS):  # noqa: PLR2004 - digits of 10000
        raise Refused(INVALID_ARGUMENT, f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive.")
    return int(text)


def digest_of_list(parts: Sequence[tuple[int, str]]) -> str:
    """By what a repeated completion is recognised: the same numbers with the same ETags."""
    return hashlib.sha256("".join(f"{number} {etag}\n" for number, etag in parts).encode()).hexdigest()


def require_parts(claim: Claim, found: Mapping[int, Record], *, least_bytes: int, most_bytes: int) -> None:
    """Raises `Refused` unless every listed part is there, as listed, and of a size that S3 allows (F13)."""
    for part in claim.parts:
        record = found.get(part.number)
        if record is None or part.etag != record.etag:
            raise Refused(INVALID_PART)
        if any(record.checksums.get(name, value) != value for name, value in part.checksums.items()):
            raise Refused(INVALID_PART)
    sizes = [found[part.number].size for part in claim.parts]
    if any(size < least_bytes for size in sizes[:-1]):
        raise Refused(ENTITY_TOO_SMALL)
    if sum(sizes) > most_bytes:
        raise Refused(ENTITY_TOO_LARGE)
    if claim.size not in (None, sum(sizes)):
        raise Refused(INVALID_REQUEST, "The object is not of the size that x-amz-mp-object-size says.")


def completed_record(upload: Upload, claim: Claim, found: Mapping[int, Record], *, modified_us: int) -> Record:
    """The record of the whole. Raises `Refused` when a checksum of the whole is not the declared one."""
    parts = [found[part.number] for part in claim.parts]
    checksums = _checksums(upload, parts)
    _require_checksums(upload, claim, checksums)
    return Record(
        bucket=upload.bucket,
        key=upload.key,
        size=sum(part.size for part in parts),
        etag=_etag(parts),
        sha256=parts[0].sha256 if len(parts) == 1 else None,
        content_type=upload.content_type,
        modified_us=modified_us,
        headers=upload.headers,
        user=upload.user,
        checksums=checksums,
        linked=upload.directory,
        segments=runs_of((part.number, found[part.number].size) for part in claim.parts),
        upload=upload.id,
    )


def _listed(node: Element) -> ListedPart:
    etag = (node.findtext("ETag") or "").strip().replace("&quot;", '"').strip('"')
    checksums = {
        child.tag.removeprefix(_CHECKSUM).lower(): (child.text or "").strip()
        for child in node
        if child.tag.startswith(_CHECKSUM)
    }
    return ListedPart(part_number((node.findtext("PartNumber") or "").strip()), etag, checksums)


def _etag(parts: Sequence[Record]) -> str:
    """That of S3 where the MD5 of every part is known; else a strong tag that nobody can take for it."""
    if all(_MD5.fullmatch(part.etag) for part in parts):
        return multipart_etag([bytes.fromhex(part.etag) for part in parts]).strip('"')
    return f"sha256-{hashlib.sha256(''.join(part.etag for part in parts).encode()).hexdigest()}-{len(parts)}"


def _checksums(upload: Upload, parts: Sequence[Record]) -> dict[str, str]:
    name = upload.algorithm
    if name is None:
        return {}
    digests = [base64.b64decode(part.checksums[name]) for part in parts]
    if upload.checksum_type == FULL_OBJECT:
        return {name: as_base64(combined(name, digests, [part.size for part in parts]))}
    return {name: f"{as_base64(digest_of(name, b''.join(digests)))}-{len(parts)}"}


def _require_checksums(upload: Upload, claim: Claim, checksums: Mapping[str, str]) -> None:
    if claim.checksum_type not in (None, upload.checksum_type):
        raise Refused(INVALID_REQUEST, "The upload was begun with another checksum type.")
    if claim.checksums.keys() - checksums.keys():
        raise Refused(INVALID_REQUEST, "The upload was begun with another checksum algorithm, or with none.")
    if any(checksums[name] != value for name, value in claim.checksums.items()):
        raise Refused(BAD_DIGEST)
