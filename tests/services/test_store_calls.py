"""Calls that a client's own S3 library makes: signed for the upload's place alone, and admitted like any bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.domain.errors import (
    FileNotStored,
    FileTooLarge,
    InvalidField,
    UploadNotCompletable,
    UploadNotFound,
    WrongUploadMethod,
)
from penstock.domain.uploads import Upload, UploadMethod, UploadState
from penstock.services.store_calls import LARGEST_COPY_BYTES, StoreCall
from tests.support.core import HOUR, PNG, POLICY

if TYPE_CHECKING:
    from penstock.domain.ids import AccountId
    from penstock.ports.objects import SignedRequest
    from tests.support.core import Core

LARGE = replace(POLICY, max_multipart_bytes=10 * 2**30, multipart_ttl=timedelta(hours=24))
BEGIN = StoreCall(method="POST")
PART = StoreCall(method="PUT", multipart_id="m", part_number=7)
LIST = StoreCall(method="GET", multipart_id="m")
COMPLETE = StoreCall(method="POST", multipart_id="m")
ABORT = StoreCall(method="DELETE", multipart_id="m")


def begin(core: Core, account: AccountId, *, size: int | None = len(PNG)) -> Upload:
    return core.begin(account, method=UploadMethod.MULTIPART, size=size, policy=LARGE)


def sign(core: Core, upload: Upload, call: StoreCall) -> SignedRequest:
    return core.uploads.store_calls.sign(upload.account_id, upload.id, call)


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, keep_blank_values=True)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (BEGIN, {"uploads": [""]}),
        (PART, {"uploadId": ["m"], "partNumber": ["7"]}),
        (LIST, {"uploadId": ["m"]}),
        (COMPLETE, {"uploadId": ["m"]}),
        (ABORT, {"uploadId": ["m"]}),
    ],
    ids=["begin", "part", "list", "complete", "abort"],
)
def test_every_call_is_signed_for_the_place_of_the_upload_alone(
    core: Core, call: StoreCall, named: dict[str, list[str]]
) -> None:
    upload = begin(core, core.open_account())

    signed = sign(core, upload, call)

    assert signed.method == call.method
    assert urlsplit(signed.url).path == f"/penstock/{upload.staging_key}"
    assert {name: value for name, value in query_of(signed.url).items() if not name.startswith("X-Amz-")} == named


def test_a_whole_file_is_signed_with_the_headers_that_a_script_may_set(core: Core) -> None:
    upload = core.begin(core.open_account(), size=len(PNG))

    signed = sign(core, upload, StoreCall(method="PUT"))

    assert signed.url == core.uploads.signed_put(upload).url
    assert signed.headers == {"Content-Type": "image/png"}


def test_a_call_is_good_for_an_hour_or_what_is_left(core: Core) -> None:
    upload = begin(core, core.open_account())

    early = sign(core, upload, BEGIN)
    core.clock.set(upload.expires_at - timedelta(minutes=5))
    late = sign(core, upload, BEGIN)

    assert query_of(early.url)["X-Amz-Expires"] == [str(int(HOUR.total_seconds()))]
    assert query_of(late.url)["X-Amz-Expires"] == ["300"]


def test_bytes_that_a_client_joined_itself_are_sealed_by_a_copy(core: Core) -> None:
    acme = core.open_account()
    upload = begin(core, acme)
    multipart = core.objects.multiparts.begin(upload.staging_key, content_type="image/png")
    part = core.objects.multiparts.put_part(upload.staging_key, multipart, 1, PNG)
    core.objects.multiparts.complete(upload.staging_key, multipart, [part])

    asset = core.uploads.complete_upload(acme, upload.id)
    core.objects.put(upload.staging_key, b"something else", size=14, content_type="image/png")

    assert b"".join(core.objects.read(asset.object_key)) == PNG
    assert core.uploads.complete_upload(acme, upload.id) == asset


def test_before_the_client_has_joined_them_nothing_is_complete(core: Core) -> None:
    acme = core.open_account()
    upload = begin(core, acme)
    multipart = core.objects.multiparts.begin(upload.staging_key, content_type="image/png")
    core.objects.multiparts.put_part(upload.staging_key, multipart, 1, PNG)

    with pytest.raises(FileNotStored):
        core.uploads.complete_upload(acme, upload.id)

    assert core.uploads.get(acme, upload.id).state is UploadState.PENDING


@pytest.mark.parametrize(
    "call",
    [
        StoreCall(method="GET"),
        StoreCall(method="DELETE"),
        StoreCall(method="PUT", multipart_id="m"),
        StoreCall(method="GET", multipart_id="m", part_number=1),
        StoreCall(method="PUT", multipart_id="m", part_number=0),
        StoreCall(method="PUT", multipart_id="m", part_number=10_001),
    ],
    ids=repr,
)
def test_what_is_no_call_of_an_upload_is_not_signed(core: Core, call: StoreCall) -> None:
    upload = begin(core, core.open_account())

    with pytest.raises(InvalidField):
        sign(core, upload, call)


def test_parts_are_not_signed_for_an_upload_by_put_nor_the_whole_for_one_in_parts(core: Core) -> None:
    acme = core.open_account()

    with pytest.raises(WrongUploadMethod):
        sign(core, core.begin(acme), BEGIN)
    with pytest.raises(WrongUploadMethod):
        sign(core, begin(core, acme), StoreCall(method="PUT"))


def test_an_upload_whose_parts_the_server_manages_has_no_second_place(core: Core) -> None:
    acme = core.open_account()
    upload = begin(core, acme)
    core.uploads.parts.sign(acme, upload.id, [1])

    with pytest.raises(WrongUploadMethod):
        sign(core, upload, BEGIN)


def test_a_file_that_cannot_be_copied_is_not_signed(core: Core) -> None:
    acme = core.open_account()
    upload = begin(core, acme, size=LARGEST_COPY_BYTES + 1)

    with pytest.raises(FileTooLarge):
        sign(core, upload, BEGIN)
    with pytest.raises(InvalidField):
        sign(core, begin(core, acme, size=None), BEGIN)


def test_nothing_is_signed_for_an_upload_that_is_over_or_anothers(core: Core) -> None:
    acme = core.open_account()
    upload = begin(core, acme)

    with pytest.raises(UploadNotFound):
        core.uploads.store_calls.sign(core.open_account("other"), upload.id, BEGIN)
    core.uploads.abort_upload(acme, upload.id)
    with pytest.raises(UploadNotCompletable):
        sign(core, upload, PART)
