"""References: every way of naming a file leads to the same asset, or to a refusal that leaves nothing."""

from __future__ import annotations

import base64
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from penstock.adapters.objects.s3 import Bucket, S3Presigner
from penstock.domain.egress import EgressRules
from penstock.domain.errors import (
    AssetNotFound,
    DatabaseUnavailable,
    FileTooLarge,
    FileTypeMismatch,
    FileTypeRefused,
    ReferenceInvalid,
    UploadNotCompletable,
)
from penstock.domain.ids import parse_media_key
from penstock.domain.uploads import UploadState
from penstock.services.references import References
from penstock.services.uploads import Uploads
from penstock.sigv4 import Credentials
from penstock.telemetry import Log
from tests.support.core import BASE_URL, EVERYTHING, HOUR, PNG, POLICY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.adapters.db.database import SqlTransaction
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from tests.support.core import Core

UNKNOWN_KEY = "0" * 32 + "-photo.png"


def spelled(prefix: str, identifier: str) -> str:
    return f"{prefix}_{identifier.replace('-', '')}"


def data_uri(data: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def resolve(core: Core, account_id: AccountId, text: str, *accepts: str) -> Asset:
    return core.references.resolve(account_id, text, path=("input", "image"), accepts=accepts)


def test_an_asset_is_named_by_its_id_its_uploads_id_and_its_url(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)

    for text in (spelled("asset", asset.id), spelled("upload", asset.id), f"{BASE_URL}/media/{asset.media_key}"):
        assert resolve(core, acme, text, "image") == asset


@pytest.mark.parametrize("how", ["asset", "upload", "url"])
def test_bytes_that_have_arrived_can_be_named_before_completion(core: Core, how: str) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)
    text = f"{BASE_URL}/media/{upload.media_key}" if how == "url" else spelled(how, upload.id)

    asset = resolve(core, acme, text)

    assert core.uploads.complete_upload(acme, upload.id) == asset
    assert core.uploads.get(acme, upload.id).state is UploadState.READY


def test_bytes_that_are_refused_on_first_use_are_refused_like_on_completion(core: Core) -> None:
    from dataclasses import replace  # noqa: PLC0415 - beside the one test that needs it

    from penstock.domain.uploads import TypePolicy  # noqa: PLC0415 - likewise

    acme = core.open_account()
    upload = core.begin(acme, content_type="video/mp4", policy=replace(POLICY, type_policy=TypePolicy.REFUSE))
    core.put(upload)

    with pytest.raises(FileTypeMismatch):
        resolve(core, acme, spelled("asset", upload.id))
    with pytest.raises(UploadNotCompletable):
        resolve(core, acme, spelled("asset", upload.id))


@pytest.mark.parametrize("how", ["asset", "upload", "url"])
def test_bytes_that_have_not_arrived_name_nothing(core: Core, how: str) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    text = f"{BASE_URL}/media/{upload.media_key}" if how == "url" else spelled(how, upload.id)

    with pytest.raises(Exception, match="no such") as caught:
        resolve(core, acme, text)

    assert type(caught.value).__name__ in {"AssetNotFound", "FileNotStored"}


def test_another_accounts_id_reads_like_an_unknown_one(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    asset, waiting = core.upload(acme), core.begin(acme)
    core.put(waiting)

    for text in (spelled("asset", asset.id), spelled("upload", asset.id), spelled("asset", waiting.id)):
        with pytest.raises(AssetNotFound):
            resolve(core, zenith, text)

    assert core.uploads.get(acme, waiting.id).state is UploadState.PENDING


def test_a_public_url_may_be_used_by_anybody(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    asset = core.upload(acme)

    assert resolve(core, zenith, f"{BASE_URL}/media/{asset.media_key}") == asset


def test_a_signed_url_may_be_used_by_anybody_while_it_holds_and_its_asset_is_there(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    asset = core.upload(acme)
    short, long = core.assets.signed_get(asset), core.assets.signed_get(asset, life=3 * HOUR)

    assert resolve(core, zenith, short) == resolve(core, acme, long) == asset
    core.clock.advance(2 * HOUR)
    with pytest.raises(AssetNotFound):
        resolve(core, acme, short)
    core.assets.delete(acme, asset.id)
    with pytest.raises(AssetNotFound):
        resolve(core, acme, long)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "photo.png",
        "/etc/passwd",
        "asset_",
        "asset_x",
        "file:///etc/passwd",
        "ftp://example.com/a.png",
        "https://example.com/a.png",
        "http://127.0.0.1:9000/penstock/assets/x",
        f"{BASE_URL}/media/",
        f"{BASE_URL}/media/../assets",
        f"{BASE_URL}.evil.test/media/{UNKNOWN_KEY}",
        "data:image/png;base64,é",
        "data:,",
        "\0",
    ],
)
def test_what_can_never_name_a_file_here_is_refused_with_its_place(core: Core, text: str) -> None:
    with pytest.raises(ReferenceInvalid) as caught:
        resolve(core, core.open_account(), text)

    assert caught.value.path == ("input", "image")
    assert core.keys() == []


def test_a_url_of_ours_that_nobody_has_is_not_found(core: Core) -> None:
    with pytest.raises(AssetNotFound):
        resolve(core, core.open_account(), f"{BASE_URL}/media/{UNKNOWN_KEY}")


def test_a_file_of_another_kind_than_the_field_accepts_is_refused(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, b"words", content_type="text/plain")

    with pytest.raises(FileTypeRefused) as caught:
        resolve(core, acme, spelled("asset", asset.id), "image", "video")

    assert (caught.value.found, caught.value.accepted) == ("text/plain", ("image", "video"))


# --- data URIs


@pytest.mark.parametrize("tells_sha256", [True, False])
def test_a_data_uri_becomes_an_ephemeral_asset_of_the_caller(core: Core, tells_sha256: bool) -> None:
    core.objects.tells_sha256 = tells_sha256
    acme = core.open_account()

    asset = resolve(core, acme, data_uri(PNG, "application/octet-stream"), "image")

    assert core.assets.get(acme, asset.id) == asset
    assert (asset.content_type, asset.size, asset.sha256) == ("image/png", len(PNG), hashlib.sha256(PNG).hexdigest())
    assert asset.expires_at == core.clock.now() + HOUR
    assert b"".join(core.objects.read(asset.object_key)) == PNG
    assert parse_media_key(asset.media_key) is not None


@pytest.mark.parametrize(
    ("data", "declared", "counts"),
    [
        (PNG, "image/jpeg", "image/png"),
        (b"words", "text/csv", "text/csv"),
        (b"words", "application/octet-stream", "application/octet-stream"),
        (b"words", "image/png", "text/plain"),
        (b"\x00\x01", "application/x-own", "application/x-own"),
        (b"\x00\x01", "application/vnd.a$b#c!d", "application/vnd.a$b#c!d"),
    ],
)
def test_the_bytes_of_a_data_uri_decide_its_type_and_its_url_can_be_read(
    core: Core, data: bytes, declared: str, counts: str
) -> None:
    asset = resolve(core, core.open_account(), data_uri(data, declared))

    assert (asset.content_type, asset.declared_type) == (counts, declared)
    assert parse_media_key(asset.media_key) is not None
    assert core.assets.by_media_key(asset.media_key) == asset


def test_a_data_uri_that_does_not_fit_leaves_nothing(core: Core) -> None:
    acme = core.open_account()

    resolve(core, acme, data_uri(bytes(1000), "application/x-own"))
    kept = core.keys()
    with pytest.raises(FileTooLarge) as caught:
        resolve(core, acme, data_uri(bytes(1001), "application/x-own"))
    with pytest.raises(FileTypeRefused):
        resolve(core, acme, data_uri(b"words", "image/png"), "image")

    assert (caught.value.limit, caught.value.actual) == (1000, 1001)
    assert core.keys() == kept
    assert len(core.library.page(acme, EVERYTHING, cursor=None, limit=10).items) == 1


class Lossy:
    """A database that is lost in a write: before its commit, or after it, when nobody can tell."""

    def __init__(self, core: Core, *, committed: bool) -> None:
        self._database = core.database
        self._committed = committed
        self.read = core.database.read
        self.ping = core.database.ping

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        lost = DatabaseUnavailable("the database does not answer")
        if not self._committed:
            raise lost
        with self._database.write() as tx:
            yield tx
        raise lost


@pytest.mark.parametrize(("committed", "left"), [(False, 0), (True, 1)])
def test_the_object_of_a_data_uri_goes_only_when_no_row_can_name_it(core: Core, *, committed: bool, left: int) -> None:
    acme = core.open_account()
    references = References(
        Lossy(core, committed=committed),
        core.objects,
        core.assets,
        core.uploads,
        parsers=[],
        clock=core.clock,
        entropy=core.entropy,
        egress=EgressRules(),
        max_inline_bytes=1000,
        inline_lifetime=HOUR,
    )

    with pytest.raises(DatabaseUnavailable):
        references.resolve(acme, data_uri(PNG), path=("input", "image"))

    assert len(core.keys()) == left
    assert len(core.library.page(acme, EVERYTHING, cursor=None, limit=10).items) == left


@pytest.mark.parametrize(("committed", "left"), [(False, 0), (True, 1)])
def test_a_sealed_object_goes_only_when_no_row_can_name_it(core: Core, *, committed: bool, left: int) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)
    uploads = Uploads(
        Lossy(core, committed=committed),
        core.objects,
        S3Presigner(Bucket(endpoint="http://o", name="b", region="r", credentials=Credentials("k", "s"))),
        clock=core.clock,
        entropy=core.entropy,
        log=Log("test", None),
    )

    with pytest.raises(DatabaseUnavailable):
        uploads.complete_upload(acme, upload.id)

    assert len(core.keys("assets/")) == left
    core.uploads.complete_upload(acme, upload.id)
    assert len(core.keys("assets/")) == 1
