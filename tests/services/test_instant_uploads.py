"""Instant uploads: what an account holds is not sent again; what it does not hold must be what was declared (S23)."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.assets import Asset, IntakeState
from penstock.domain.errors import (
    FileHashMismatch,
    FileSizeMismatch,
    FileTooLarge,
    FileTypeMismatch,
    QuotaExceeded,
    UploadNotCompletable,
)
from penstock.domain.idempotency import IdempotentRequest
from penstock.domain.quotas import Limits, Usage
from penstock.domain.uploads import TypePolicy, Upload, UploadMethod, UploadState
from tests.support.core import HOUR, PNG, POLICY, at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.core import Core

SHA256 = hashlib.sha256(PNG).hexdigest()
OTHER = PNG[:-1] + b"!"
SIZE = len(PNG)
REFUSING = replace(POLICY, type_policy=TypePolicy.REFUSE)


def asset_of(core: Core, upload: Upload) -> Asset:
    return core.uploads.complete_upload(upload.account_id, upload.id)


def content(core: Core, asset: Asset) -> bytes:
    return b"".join(core.objects.read(asset.object_key))


# --- the account holds the bytes


def test_bytes_that_the_account_holds_are_an_asset_of_its_own_at_once(core: Core) -> None:
    acme = core.open_account()
    source = core.upload(acme)

    upload = core.begin(acme, sha256=SHA256, size=SIZE, filename="again.png", lifetime=HOUR)

    asset = asset_of(core, upload)
    assert (upload.state, upload.asset_id) == (UploadState.READY, asset.id)
    assert core.uploads.get(acme, upload.id) == upload
    assert asset.id != source.id
    assert asset.media_key != source.media_key
    assert (asset.name, asset.sha256, asset.object_key) == ("again.png", SHA256, source.object_key)
    assert asset.expires_at == asset.created_at + HOUR
    assert core.events(acme, upload.id) == ["upload.stored", "upload.ready"]
    assert core.quotas.get(acme).usage == Usage(bytes=SIZE, files=2)


def test_what_was_seen_in_the_bytes_is_shared_too(core: Core) -> None:
    acme = core.open_account()
    source = core.upload(acme)
    with core.database.write() as tx:
        tx.assets.replace(replace(source, thumbnail_key="thumbnails/t", intake=IntakeState.DONE))

    asset = asset_of(core, core.begin(acme, sha256=SHA256))

    assert (asset.thumbnail_key, asset.intake) == ("thumbnails/t", IntakeState.DONE)
    assert (asset.found_type, asset.kind) == (source.found_type, source.kind)


def test_shared_bytes_outlive_the_asset_that_brought_them(core: Core) -> None:
    acme = core.open_account()
    source = core.upload(acme)
    asset = asset_of(core, core.begin(acme, sha256=SHA256))

    core.assets.delete(acme, source.id)
    core.clock.advance(timedelta(days=400))
    core.purging.purge(limit=10)
    first_gone = (content(core, asset), core.quotas.get(acme).usage)
    core.assets.delete(acme, asset.id)
    core.clock.advance(timedelta(days=400))
    core.purging.purge(limit=10)

    assert first_gone == (PNG, Usage(bytes=SIZE, files=1))
    assert core.keys("assets/") == []
    assert core.quotas.get(acme).usage == Usage()


def test_a_repeat_under_one_key_is_the_same_asset(core: Core) -> None:
    acme = core.open_account()
    core.upload(acme)
    same = IdempotentRequest(key="k", fingerprint="f")

    first = core.begin(acme, sha256=SHA256, idempotency=same)
    again = core.begin(acme, sha256=SHA256, idempotency=same)

    assert again == first
    assert core.quotas.get(acme).usage.files == 2


def test_a_repeat_under_one_key_stays_pending_though_the_bytes_came_meanwhile(core: Core) -> None:
    acme = core.open_account()
    same = IdempotentRequest(key="k", fingerprint="f")
    first = core.begin(acme, sha256=SHA256, idempotency=same)
    core.upload(acme)

    assert core.begin(acme, sha256=SHA256, idempotency=same) == first


def test_many_at_once_share_the_same_bytes(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    source = core.upload(acme)

    begun = at_once(10, lambda: core.begin(acme, sha256=SHA256))

    uploads = [one for one in begun if isinstance(one, Upload)]
    assert [upload.state for upload in uploads] == [UploadState.READY] * 10
    assert {asset_of(core, upload).object_key for upload in uploads} == {source.object_key}
    assert core.quotas.get(acme).usage == Usage(bytes=SIZE, files=11)


def test_bytes_that_are_purged_at_the_same_moment_are_kept_or_asked_for(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    for _ in range(8):
        core.upload(acme, lifetime=HOUR)
        core.clock.advance(HOUR - timedelta(seconds=1))
        turns = itertools.count()

        def share_or_purge(turns: Iterator[int] = turns) -> Upload | int:
            if next(turns):
                return core.begin(acme, sha256=SHA256)
            core.clock.advance(HOUR)
            return core.purging.purge(limit=10)

        found = at_once(2, share_or_purge)

        (upload,) = (one for one in found if isinstance(one, Upload))
        if upload.state is UploadState.READY:
            assert content(core, asset_of(core, upload)) == PNG
            core.assets.delete(acme, asset_of(core, upload).id)
        else:
            assert upload.state is UploadState.PENDING
    assert all(before == after for _, before, after in core.quotas.recount())


@pytest.mark.parametrize("fate", ["deleted", "expired", "unmeasured"])
def test_what_cannot_be_read_or_was_never_measured_is_not_shared(core: Core, fate: str) -> None:
    acme = core.open_account()
    core.objects.tells_sha256 = fate != "unmeasured"
    source = core.upload(acme, lifetime=HOUR)
    if fate == "deleted":
        core.assets.delete(acme, source.id)
    if fate == "expired":
        core.clock.advance(2 * HOUR)

    assert core.begin(acme, sha256=SHA256).state is UploadState.PENDING


def test_a_refusal_is_told_at_once_and_nothing_is_created(core: Core) -> None:
    acme = core.open_account()
    core.upload(acme)
    before = core.uploads.page(acme, cursor=None, limit=10).items

    with pytest.raises(FileTypeMismatch):
        core.begin(acme, sha256=SHA256, content_type="application/pdf", policy=REFUSING)
    with pytest.raises(FileSizeMismatch):
        core.begin(acme, sha256=SHA256, size=SIZE + 1)
    with pytest.raises(FileTooLarge):
        core.begin(acme, sha256=SHA256, policy=replace(POLICY, max_bytes=SIZE - 1))

    assert core.uploads.page(acme, cursor=None, limit=10).items == before
    assert core.quotas.get(acme).usage == Usage(bytes=SIZE, files=1)


def test_another_file_of_the_same_bytes_needs_a_place_but_no_bytes(core: Core) -> None:
    acme = core.open_account()
    core.upload(acme)

    core.quotas.set_limits("acme", Limits(bytes=SIZE, files=2, open_uploads=0))

    assert core.begin(acme, sha256=SHA256, size=SIZE).state is UploadState.READY
    with pytest.raises(QuotaExceeded):
        core.begin(acme, sha256=SHA256, size=SIZE)


# --- it does not


def test_what_another_account_holds_shows_in_nothing(core: Core) -> None:  # S23
    acme, zenith = core.open_account(), core.open_account("zenith")
    core.upload(zenith)

    held = core.begin(acme, sha256=SHA256, size=SIZE)
    unheard_of = core.begin(acme, sha256=hashlib.sha256(OTHER).hexdigest(), size=SIZE)

    def shown(upload: Upload) -> Upload:
        return replace(
            upload,
            id=held.id,
            sha256=None,
            staging_key="",
            media_key=held.media_key,
            created_at=held.created_at,
            expires_at=held.expires_at,
        )

    assert shown(held) == shown(unheard_of)
    assert held.state is UploadState.PENDING
    assert core.uploads.signed_put(held).headers.keys() == core.uploads.signed_put(unheard_of).headers.keys()
    assert core.quotas.get(acme).usage == Usage(reserved=2 * SIZE, open_uploads=2)


@pytest.mark.parametrize("told", [True, False], ids=["hashed by the store", "hashed by us"])
def test_the_declared_bytes_are_admitted_and_measured(core: Core, *, told: bool) -> None:
    acme = core.open_account()
    core.objects.tells_sha256 = told

    asset = core.upload(acme, sha256=SHA256)

    assert asset.sha256 == SHA256
    assert content(core, asset) == PNG


@pytest.mark.parametrize("told", [True, False], ids=["hashed by the store", "hashed by us"])
def test_other_bytes_than_declared_never_become_an_asset(core: Core, *, told: bool) -> None:  # P7
    acme = core.open_account()
    core.objects.tells_sha256 = told
    upload = core.begin(acme, sha256=SHA256)
    core.put(upload, OTHER)

    with pytest.raises(FileHashMismatch):
        core.uploads.complete_upload(acme, upload.id)

    ended = core.uploads.get(acme, upload.id)
    assert (ended.state, ended.asset_id) == (UploadState.FAILED, None)
    assert core.keys("assets/") == []
    assert core.quotas.get(acme).usage == Usage()
    with pytest.raises(UploadNotCompletable):
        core.uploads.complete_upload(acme, upload.id)


def test_bytes_that_are_exchanged_while_they_are_looked_at_are_not_what_was_hashed(core: Core) -> None:  # P7
    acme = core.open_account()
    core.objects.tells_sha256 = False
    upload = core.begin(acme, sha256=SHA256)
    core.put(upload, OTHER)
    core.objects.before["read"] = lambda: core.put(upload, PNG)

    with pytest.raises(FileHashMismatch):
        core.uploads.complete_upload(acme, upload.id)

    assert core.keys("assets/") == []


def test_the_url_binds_the_declared_hash(core: Core) -> None:
    acme = core.open_account()

    assert "x-amz-checksum-sha256" in core.uploads.signed_put(core.begin(acme, sha256=SHA256)).headers
    assert "x-amz-checksum-sha256" not in core.uploads.signed_put(core.begin(acme)).headers


def test_an_upload_in_parts_of_what_is_held_is_ready_too_and_leaves_no_parts(core: Core) -> None:
    acme = core.open_account()
    source = core.upload(acme)

    upload = core.begin(acme, sha256=SHA256, size=SIZE, method=UploadMethod.MULTIPART)

    asset = asset_of(core, upload)
    assert (upload.state, upload.final_key, asset.object_key) == (UploadState.READY, None, source.object_key)
    core.clock.advance(timedelta(days=30))
    core.uploads.sweep_staging(limit=10)
    assert content(core, asset) == PNG


def test_the_asset_has_the_tags_and_the_folder_of_its_own_upload(core: Core) -> None:
    acme = core.open_account()
    core.upload(acme, tags=("old",))

    asset = asset_of(core, core.begin(acme, sha256=SHA256, tags=("new",)))

    assert (asset.tags, asset.folder_id) == (("new",), None)
