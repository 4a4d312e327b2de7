"""Uploads: the life cycle, what may be declared, and what admission decides about the bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from penstock.domain import uploads
from penstock.domain.errors import (
    FileSizeMismatch,
    FileTooLarge,
    FileTooSmall,
    FileTypeMismatch,
    IllegalTransition,
    InvalidField,
    UploadNotCompletable,
)
from penstock.domain.ids import AccountId, AssetId
from penstock.domain.media_types import Kind, kind_of
from penstock.domain.sniffing import sniff
from penstock.domain.uploads import SizePolicy, TypePolicy, Upload, UploadEvent, UploadPolicy, UploadState, judge
from tests.support.records import HOUR, make_upload

if TYPE_CHECKING:
    from collections.abc import Callable

PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
JPEG = b"\xff\xd8\xff\xe0" + bytes(28)
EVENTS: dict[UploadEvent, Callable[[Upload], Upload]] = {
    UploadEvent.ADMIT: lambda upload: uploads.admitted(upload, asset_id=AssetId("the asset")),
    UploadEvent.SETTLE: uploads.settled,
    UploadEvent.REJECT: lambda upload: uploads.rejected(upload, reason="not a picture"),
    UploadEvent.EXPIRE: uploads.expired,
    UploadEvent.ABORT: uploads.aborted,
}
LEGAL = {
    ("pending", "admit"): "stored",
    ("pending", "reject"): "failed",
    ("pending", "expire"): "expired",
    ("pending", "abort"): "aborted",
    ("stored", "settle"): "ready",
    ("stored", "reject"): "failed",
}


def an_upload(**changes: object) -> Upload:
    """A pending upload of any size, whose size and type do not bind."""
    loose = {
        "declared_size": None,
        "declared_type": "image/png",
        "size_policy": SizePolicy.ADVISORY,
        "type_policy": TypePolicy.RECORD,
        "min_size": 0,
        "max_size": 2**40,
        "asset_id": None,
        "failure": None,
    }
    return make_upload(1, AccountId("acme"), **{**loose, **changes})


def a_policy(*, min_bytes: int = 0, max_bytes: int = 1000) -> UploadPolicy:
    return UploadPolicy(min_bytes=min_bytes, max_bytes=max_bytes, url_ttl=HOUR)


@pytest.mark.parametrize("state", UploadState)
@pytest.mark.parametrize("event", UploadEvent)
def test_every_event_in_every_state_leads_where_the_table_says_or_raises(
    state: UploadState, event: UploadEvent
) -> None:
    upload = an_upload(state=state)
    following = LEGAL.get((state.value, event.value))

    if following is not None:
        assert EVENTS[event](upload).state.value == following
    else:
        with pytest.raises(IllegalTransition):
            EVENTS[event](upload)

    assert upload == an_upload(state=state)


def test_the_table_has_no_pair_beyond_those() -> None:
    assert {(s.value, e.value): to.value for (s, e), to in uploads.UPLOAD_TABLE.items()} == LEGAL


def test_admission_names_the_asset_and_rejection_the_reason() -> None:
    assert uploads.admitted(an_upload(), asset_id=AssetId("7")).asset_id == "7"
    assert uploads.rejected(an_upload(), reason="not a picture").failure == "not a picture"
    assert uploads.expired(an_upload()).failure == "no bytes arrived in time"


@pytest.mark.parametrize("state", UploadState)
def test_an_upload_is_over_when_no_event_leads_on(state: UploadState) -> None:
    leads_on = any((state, event) in uploads.UPLOAD_TABLE for event in UploadEvent)

    assert uploads.is_over(an_upload(state=state)) == (not leads_on)


@pytest.mark.parametrize("state", UploadState)
def test_only_an_upload_that_ended_without_an_asset_cannot_be_completed(state: UploadState) -> None:
    upload = an_upload(state=state, failure="why")

    if state in {UploadState.FAILED, UploadState.EXPIRED, UploadState.ABORTED}:
        with pytest.raises(UploadNotCompletable) as caught:
            uploads.require_completable(upload)
        assert (caught.value.state, caught.value.reason) == (state.value, "why")
    else:
        uploads.require_completable(upload)


# --- declarations


@pytest.mark.parametrize("size", [None, 10, 11, 999, 1000])
def test_a_declared_size_within_the_limits_or_none_at_all_is_accepted(size: int | None) -> None:
    uploads.check_declaration(content_type="image/png", size=size, policy=a_policy(min_bytes=10))


def test_a_declared_size_outside_the_limits_is_refused_with_both_numbers() -> None:
    with pytest.raises(FileTooLarge) as large:
        uploads.check_declaration(content_type="image/png", size=1001, policy=a_policy())
    with pytest.raises(FileTooSmall) as small:
        uploads.check_declaration(content_type="image/png", size=9, policy=a_policy(min_bytes=10))
    with pytest.raises(InvalidField) as negative:
        uploads.check_declaration(content_type="image/png", size=-1, policy=a_policy())

    assert (large.value.limit, large.value.actual) == (1000, 1001)
    assert (small.value.limit, small.value.actual) == (10, 9)
    assert negative.value.path == ("size_bytes",)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "image",
        "image/",
        "/png",
        "image/png/x",
        "image /png",
        " image/png",
        "image/png\n",
        "image/png\r\nX-Evil: 1",
        "image/png; a=b\r\nX-Evil: 1",
        "image/png;\x00",
        "image/png; name=ü",
        "imäge/png",
        f"image/{'x' * 128}",
    ],
)
def test_a_declared_type_that_could_not_stand_in_a_header_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidField) as caught:
        uploads.check_declaration(content_type=content_type, size=1, policy=a_policy())

    assert caught.value.path == ("content_type",)


@pytest.mark.parametrize(
    "content_type",
    [
        "image/png",
        "IMAGE/PNG",
        "text/plain;charset=UTF-8",
        'video/mp4; codecs="avc1.42E01E, mp4a.40.2"',
        "image/svg+xml;",
    ],
)
def test_a_declared_type_may_have_parameters(content_type: str) -> None:
    uploads.check_declaration(content_type=content_type, size=1, policy=a_policy())


# --- admission: sizes


@pytest.mark.parametrize("size", [10, 11, 99, 100])
def test_bytes_within_the_limits_are_admitted_with_their_measured_size(size: int) -> None:
    assert judge(an_upload(min_size=10, max_size=100), size=size, found="image/png").size == size


def test_bytes_outside_the_limits_are_refused() -> None:
    upload = an_upload(min_size=10, max_size=100)

    with pytest.raises(FileTooLarge) as large:
        judge(upload, size=101, found="image/png")
    with pytest.raises(FileTooSmall) as small:
        judge(upload, size=9, found="image/png")

    assert (large.value.limit, large.value.actual) == (100, 101)
    assert (small.value.limit, small.value.actual) == (10, 9)


@pytest.mark.parametrize("actual", [0, 31, 33])
def test_an_exact_declaration_admits_no_other_size(actual: int) -> None:
    with pytest.raises(FileSizeMismatch) as caught:
        judge(an_upload(size_policy=SizePolicy.EXACT, declared_size=32), size=actual, found="image/png")

    assert (caught.value.declared, caught.value.actual) == (32, actual)


def test_an_exact_declaration_of_nothing_admits_only_nothing() -> None:
    upload = an_upload(size_policy=SizePolicy.EXACT, declared_size=0)

    assert judge(upload, size=0, found=None).size == 0
    with pytest.raises(FileSizeMismatch) as caught:
        judge(upload, size=1, found="text/plain")
    assert caught.value.declared == 0


def test_an_exact_policy_without_a_declared_size_admits_any() -> None:
    assert judge(an_upload(size_policy=SizePolicy.EXACT, declared_size=None), size=7, found="image/png").size == 7


def test_an_advisory_declaration_binds_nobody() -> None:
    assert judge(an_upload(size_policy=SizePolicy.ADVISORY, declared_size=32), size=7, found="image/png").size == 7


def test_an_empty_file_that_was_declared_a_picture_is_called_empty() -> None:
    upload = an_upload(type_policy=TypePolicy.REFUSE, declared_type="image/png", declared_size=0)

    with pytest.raises(FileTooSmall, match="the file has 0 bytes"):
        judge(upload, size=0, found=None)


# --- admission: types


@pytest.mark.parametrize("policy", TypePolicy)
@pytest.mark.parametrize(
    ("declared", "head", "counts", "kind"),
    [
        ("image/png", PNG, "image/png", Kind.IMAGE),
        ("IMAGE/PNG; q=1", PNG, "IMAGE/PNG; q=1", Kind.IMAGE),
        ("image/jpg", JPEG, "image/jpg", Kind.IMAGE),
        ("application/octet-stream", PNG, "image/png", Kind.IMAGE),
        ("binary/octet-stream", JPEG, "image/jpeg", Kind.IMAGE),
        ("application/x-www-form-urlencoded", PNG, "image/png", Kind.IMAGE),
        ("application/octet-stream", b"\x00\x01\x02", "application/octet-stream", Kind.OTHER),
        ("application/octet-stream", b"", "application/octet-stream", Kind.OTHER),
        ("application/octet-stream", b"plain words", "application/octet-stream", Kind.OTHER),
        ("application/x-own-format", b"\x00\x01\x02", "application/x-own-format", Kind.OTHER),
        ("text/csv", b"a,b\n1,2\n", "text/csv", Kind.OTHER),
        ("application/json", b'{"a": 1}', "application/json", Kind.OTHER),
        ("text/html; charset=utf-8", b"words", "text/html; charset=utf-8", Kind.OTHER),
        ("video/quicktime", b"\x00\x00\x00\x18ftypisom", "video/quicktime", Kind.VIDEO),
    ],
)
def test_the_type_that_counts_where_nothing_contradicts(
    policy: TypePolicy, declared: str, head: bytes, counts: str, kind: Kind
) -> None:
    decided = judge(an_upload(type_policy=policy, declared_type=declared), size=len(head), found=sniff(head))

    assert (decided.content_type, decided.kind) == (counts, kind)


@pytest.mark.parametrize(
    ("declared", "head", "found"),
    [
        ("image/png", JPEG, "image/jpeg"),
        ("video/mp4", PNG, "image/png"),
        ("image/png", b"<!doctype html><script>", "text/html"),
        ("image/png", b"an error message", "text/plain"),
        ("text/plain", PNG, "image/png"),
        ("application/json", b"PK\x03\x04" + bytes(26), "application/zip"),
    ],
)
def test_a_contradiction_is_refused_or_only_decides_the_kind_as_the_policy_says(
    declared: str, head: bytes, found: str
) -> None:
    recorded = judge(
        an_upload(type_policy=TypePolicy.RECORD, declared_type=declared), size=len(head), found=sniff(head)
    )
    with pytest.raises(FileTypeMismatch) as caught:
        judge(an_upload(type_policy=TypePolicy.REFUSE, declared_type=declared), size=len(head), found=sniff(head))

    assert (recorded.content_type, recorded.kind) == (declared, kind_of(found))
    assert (caught.value.declared, caught.value.found) == (declared, found)


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/png", b"\x00\x01\x02\x03"),
        ("image/webp", b"RIFF\x00\x00\x00\x00WAVE"[:8]),
        ("audio/x-wav", b"\x00\x01\x02\x03"),
        ("application/pdf", b"no more than words"),
        ("application/zip", b"no more than words"),
        ("application/x-gguf", struct.pack("<Q", 7)),
    ],
)
def test_bytes_that_cannot_be_what_was_declared_are_refused_where_types_bind(declared: str, head: bytes) -> None:
    upload = an_upload(type_policy=TypePolicy.REFUSE, declared_type=declared)

    with pytest.raises(FileTypeMismatch) as caught:
        judge(upload, size=len(head), found=sniff(head))

    assert caught.value.declared == declared
