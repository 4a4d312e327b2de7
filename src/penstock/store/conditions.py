"""Conditional requests: RFC 9110 §13 precedence, in the four header families that S3 has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from penstock.store.faults import NO_SUCH_KEY, PRECONDITION_FAILED, NotModified, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

_COPY_SOURCE = "x-amz-copy-source-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The preconditions of one request, as sent; None where absent. Times are seconds since the epoch."""

    match: str | None
    none_match: str | None
    modified_since: float | None
    unmodified_since: float | None

    def check_read(self, etag: str, modified: int) -> None:
        """Raises `Refused` (412) or `NotModified` (304), in the order of RFC 9110 §13.2.2."""
        if self.match is not None:
            if not _names(self.match, etag, strongly=True):
                raise Refused(PRECONDITION_FAILED)
        elif self.unmodified_since is not None and modified > self.unmodified_since:
            raise Refused(PRECONDITION_FAILED)
        if self.none_match is not None:
            if _names(self.none_match, etag):
                raise NotModified
        elif self.modified_since is not None and modified <= self.modified_since:
            raise NotModified

    def check_copy(self, etag: str, modified: int) -> None:
        """A copy has no 304: every failed precondition is 412 (S3 API, CopyObject)."""
        try:
            self.check_read(etag, modified)
        except NotModified:
            raise Refused(PRECONDITION_FAILED) from None

    def check_write(self, current_etag: str | None) -> None:
        """`If-Match` and `If-None-Match` of a write; `current_etag` is None when the key is free.

        S3 defines only `*` for the latter; an entity tag means what RFC 9110 §13.1.2 says.
        """
        if self.match is not None:
            if current_etag is None:
                raise Refused(NO_SUCH_KEY)
            if not _names(self.match, current_etag, strongly=True):
                raise Refused(PRECONDITION_FAILED)
        if self.none_match is not None and current_etag is not None and _names(self.none_match, current_etag):
            raise Refused(PRECONDITION_FAILED)

    def check_delete(self, current_etag: str | None) -> None:
        """`If-Match` of a deletion. What is gone already meets it, so that a repetition succeeds too (P5)."""
        if self.match is not None and current_etag is not None and not _names(self.match, current_etag, strongly=True):
            raise Refused(PRECONDITION_FAILED)


def request_conditions(fields: Mapping[str, str]) -> Conditions:
    """The preconditions on the object that the request names."""
    return _conditions(fields, "")


def copy_source_conditions(fields: Mapping[str, str]) -> Conditions:
    """The preconditions on the source of a copy (`x-amz-copy-source-if-…`)."""
    return _conditions(fields, _COPY_SOURCE)


def range_still_applies(if_range: str | None, etag: str, modified: int) -> bool:
    """Whether `If-Range` lets the Range header act (RFC 9110 §13.1.5)."""
    if if_range is None:
        return True
    if if_range.startswith('"'):
        return if_range == f'"{etag}"'
    moment = _moment(if_range)
    return moment is not None and moment == modified


def _conditions(fields: Mapping[str, str], prefix: str) -> Conditions:
    return Conditions(
        match=fields.get(f"{prefix}if-match"),
        none_match=fields.get(f"{prefix}if-none-match"),
        modified_since=_moment(fields.get(f"{prefix}if-modified-since")),
        unmodified_since=_moment(fields.get(f"{prefix}if-unmodified-since")),
    )


def _names(header: str, etag: str, *, strongly: bool = False) -> bool:
    """Whether a list of entity tags names `etag`. S3 clients also send the tag without its quotes.

    Weak tags never match in the strong comparison that `If-Match` demands (RFC 9110 §13.1.1).
    """
    if header.strip() == "*":
        return True
    tags = [tag.strip() for tag in header.split(",")]
    return etag in [(tag if strongly else tag.removeprefix("W/")).strip('"') for tag in tags]


def _moment(header: str | None) -> float | None:
    """An HTTP date; anything else counts as absent (RFC 9110 §13.1.3)."""
    if header is None:
        return None
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
