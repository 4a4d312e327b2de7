"""Assets: readable until their time is over, by a run until it ends, and by whoever has the public handle."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.domain.errors import AssetGone, AssetNotFound, InvalidCursor, ObjectStoreUnavailable
from penstock.domain.ids import AssetId, MediaKey, RunId, UploadId
from tests.support.core import EVERYTHING, HOUR, PNG, TOMBSTONES, TRASH, at_once
from tests.support.records import uuid_text

if TYPE_CHECKING:
    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from tests.support.core import Core

TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
UNKNOWN = AssetId(uuid_text(7))


def lease(core: Core, asset: Asset, run: str = "run") -> None:
    with core.database.write() as tx:
        tx.assets.lease(RunId(run), [asset.id])


def release(core: Core, run: str = "run") -> None:
    with core.database.write() as tx:
        tx.assets.release(RunId(run))


def readable(core: Core, account_id: AccountId, asset: Asset) -> bool:
    try:
        return core.assets.get(account_id, asset.id) == asset
    except AssetNotFound:
        return False


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


# --- expiry and leases


def test_an_asset_is_readable_until_exactly_its_expiry(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)
    assert asset.expires_at is not None

    core.clock.set(asset.expires_at - TICK)
    assert readable(core, acme, asset)
    assert core.assets.by_media_key(asset.media_key) == asset
    core.clock.set(asset.expires_at)
    assert not readable(core, acme, asset)
    with pytest.raises(AssetNotFound):
        core.assets.by_media_key(asset.media_key)
    with pytest.raises(AssetNotFound):
        core.uploads.complete_upload(acme, UploadId(asset.id))


def test_a_leased_asset_outlives_its_expiry_until_the_lease_ends(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)
    lease(core, asset)
    core.clock.advance(100 * HOUR)

    assert readable(core, acme, asset)
    assert core.purging.purge(limit=10) == 0
    release(core)
    assert not readable(core, acme, asset)
    assert core.purging.purge(limit=10) == 1


def test_the_bytes_of_an_expired_asset_go_within_the_hour_and_not_at_once(core: Core) -> None:
    asset = core.upload(core.open_account(), lifetime=HOUR)
    assert asset.expires_at is not None

    core.clock.set(asset.expires_at)
    assert core.purging.purge(limit=10) == 0  # a run that took the asset just before may still be committing
    core.clock.set(asset.expires_at + HOUR - MINUTE)
    assert core.purging.purge(limit=10) == 1

    assert core.keys("assets/") == []


def test_sweeping_twice_and_breaking_off_in_between_do_no_harm(core: Core) -> None:
    def fail() -> None:
        raise ObjectStoreUnavailable("the store does not answer")

    acme = core.open_account()
    over, kept = core.upload(acme, lifetime=HOUR), core.upload(acme)
    core.clock.advance(3 * HOUR)
    core.objects.before["delete"] = fail

    with pytest.raises(ObjectStoreUnavailable):
        core.purging.purge(limit=10)
    core.objects.before.clear()

    assert core.purging.purge(limit=10) == 1
    assert core.purging.purge(limit=10) == 0
    assert not readable(core, acme, over)
    assert readable(core, acme, kept)
    assert core.keys("assets/") == [kept.object_key]


def test_a_sweep_takes_a_batch_at_a_time(core: Core) -> None:
    acme = core.open_account()
    for _ in range(5):
        core.upload(acme, lifetime=HOUR)
    core.clock.advance(3 * HOUR)

    assert [core.purging.purge(limit=2) for _ in range(4)] == [2, 2, 1, 0]


# --- deletion


def test_a_deleted_asset_is_gone_at_once_and_its_bytes_follow(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)

    core.assets.delete(acme, asset.id)

    assert not readable(core, acme, asset)
    with pytest.raises(AssetNotFound):
        core.assets.by_media_key(asset.media_key)
    core.clock.advance(TRASH)
    assert core.purging.purge(limit=10) == 0
    assert core.keys("assets/") == [asset.object_key]
    core.clock.advance(HOUR)
    assert core.purging.purge(limit=10) == 1
    assert core.keys("assets/") == []
    assert core.purging.purge(limit=10) == 0


@pytest.mark.parametrize("thrown_away_before", [False, True])
def test_a_permanent_deletion_does_not_wait_for_the_trash(core: Core, *, thrown_away_before: bool) -> None:
    acme = core.open_account()
    asset = core.upload(acme)
    if thrown_away_before:
        core.assets.delete(acme, asset.id)

    core.assets.delete(acme, asset.id, permanent=True)
    core.assets.delete(acme, asset.id)

    core.clock.advance(HOUR)
    assert core.purging.purge(limit=10) == 1
    assert core.keys("assets/") == []


def test_an_asset_that_expires_in_the_trash_goes_then(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, lifetime=3 * HOUR)
    core.assets.delete(acme, asset.id)

    core.clock.advance(4 * HOUR)

    assert core.purging.purge(limit=10) == 1


def test_a_deletion_can_be_repeated_until_it_is_forgotten(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    asset = core.upload(acme)

    core.assets.delete(acme, asset.id)

    for wait in (timedelta(0), TRASH, TOMBSTONES - HOUR):
        core.clock.advance(wait)
        core.clock.advance(MINUTE)
        core.purging.purge(limit=10)
        assert core.purging.forget(limit=10) == 0
        core.assets.delete(acme, asset.id)
        with pytest.raises(AssetNotFound):
            core.assets.delete(zenith, asset.id)
        assert not readable(core, acme, asset)
    core.clock.advance(HOUR)
    assert core.purging.forget(limit=10) == 1
    assert core.purging.forget(limit=10) == 0
    with pytest.raises(AssetNotFound):
        core.assets.delete(acme, asset.id)


def test_an_expired_asset_cannot_be_deleted(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, lifetime=HOUR)
    core.clock.advance(2 * HOUR)

    with pytest.raises(AssetNotFound):
        core.assets.delete(acme, asset.id)
    assert core.purging.purge(limit=10) == 1
    with pytest.raises(AssetNotFound):
        core.assets.delete(acme, asset.id)


def test_what_was_forgotten_cannot_be_deleted(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)

    core.assets.forget(acme, asset.id)

    with pytest.raises(AssetNotFound):
        core.assets.delete(acme, asset.id)
    core.clock.advance(HOUR)
    assert core.purging.purge(limit=10) == 1
    assert core.keys("assets/") == []


def test_a_run_keeps_the_bytes_of_an_asset_that_is_deleted_under_it(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)
    run = core.submit(acme, image=asset_id(asset))

    core.assets.delete(acme, asset.id, permanent=True)
    core.clock.advance(3 * HOUR)

    assert not readable(core, acme, asset)
    assert core.purging.purge(limit=10) == 0
    with core.database.read() as tx:
        assert [leased.object_key for leased in tx.assets.leased_by(run.id)] == [asset.object_key]
    core.runs.cancel(acme, run.id)
    assert core.purging.purge(limit=10) == 1


def test_many_deletions_at_once_all_succeed(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    asset = core.upload(acme)

    outcomes = at_once(8, lambda: core.assets.delete(acme, asset.id))

    assert outcomes == [None] * 8
    assert not readable(core, acme, asset)


def test_a_deletion_is_not_undone_by_a_run_that_keeps_its_input(core_on_each_database: Core) -> None:
    from penstock.services.runs import NewRun  # noqa: PLC0415 - beside the one test that needs it

    core = core_on_each_database
    acme = core.open_account()
    for _ in range(10):
        asset = core.upload(acme, lifetime=HOUR)
        asked = NewRun(dialect="native", model="acme/free", inputs={"image": asset_id(asset)}, keeps_inputs=True)
        acts = iter([lambda a=asset: core.assets.delete(acme, a.id), lambda q=asked: core.runs.submit(acme, q)])

        at_once(2, lambda acts=acts: next(acts)())  # type: ignore[misc]  # bound by the default

        assert not readable(core, acme, asset)


# --- whose


def test_a_foreign_asset_reads_like_an_unknown_one(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    asset = core.upload(acme)

    for act in (core.assets.get, core.assets.delete):
        with pytest.raises(AssetNotFound) as foreign:
            act(zenith, asset.id)
        with pytest.raises(AssetNotFound) as unknown:
            act(zenith, UNKNOWN)
        assert foreign.value.message.replace(asset.id, "…") == unknown.value.message.replace(UNKNOWN, "…")

    assert core.assets.many(zenith, (asset.id, UNKNOWN)) == {}
    assert core.library.page(zenith, EVERYTHING, cursor=None, limit=10).items == []
    assert readable(core, acme, asset)


def test_of_many_only_those_that_can_be_read_are_found(core: Core) -> None:
    acme = core.open_account()
    kept, over, deleted = core.upload(acme), core.upload(acme, lifetime=HOUR), core.upload(acme)
    core.assets.delete(acme, deleted.id)
    core.clock.advance(2 * HOUR)

    assert core.assets.many(acme, (kept.id, over.id, deleted.id, UNKNOWN)) == {kept.id: kept}


# --- the public handle


def test_an_id_admits_bytes_on_first_use_for_their_owner_alone(core: Core) -> None:
    acme, rival = core.open_account(), core.open_account("rival")
    upload = core.begin(acme)
    with pytest.raises(AssetNotFound):
        core.assets.first_use(acme, AssetId(upload.id))
    core.put(upload)

    with pytest.raises(AssetNotFound):
        core.assets.first_use(rival, AssetId(upload.id))
    asset = core.assets.first_use(acme, AssetId(upload.id))

    assert readable(core, acme, asset)
    assert core.assets.first_use(acme, asset.id) == asset
    core.assets.delete(acme, asset.id)
    with pytest.raises(AssetNotFound):
        core.assets.first_use(acme, asset.id)


def test_the_public_handle_admits_bytes_on_first_use(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme)

    with pytest.raises(AssetNotFound) as before:
        core.assets.by_media_key(upload.media_key)
    core.put(upload)
    asset = core.assets.by_media_key(upload.media_key)

    assert before.value.identifier == upload.media_key
    assert core.uploads.complete_upload(acme, upload.id) == asset


def test_a_handle_that_leads_nowhere_tells_only_what_was_asked(core: Core) -> None:
    acme = core.open_account()
    waiting, refused, given_up = core.begin(acme), core.begin(acme, size=1), core.begin(acme)
    core.put(refused)
    core.put(given_up)
    core.uploads.abort_upload(acme, given_up.id)
    deleted, over = core.upload(acme), core.upload(acme, lifetime=HOUR)
    core.assets.delete(acme, deleted.id)
    core.clock.advance(HOUR)

    keys = [it.media_key for it in (waiting, refused, given_up, deleted, over)]
    for key in [*keys, MediaKey("0" * 32 + "-x"), MediaKey("\0")]:
        with pytest.raises((AssetNotFound, AssetGone)) as caught:
            core.assets.media_location(key)
        assert caught.value.message == f"no such asset: {key}"


def test_an_asset_that_goes_while_it_is_admitted_is_told_by_its_handle(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme)
    core.put(upload)

    def somebody_else_is_quicker() -> None:
        core.objects.before.clear()
        core.assets.delete(acme, core.uploads.complete_upload(acme, upload.id).id)

    core.objects.before["copy"] = somebody_else_is_quicker

    with pytest.raises(AssetNotFound) as caught:
        core.assets.by_media_key(upload.media_key)

    assert caught.value.identifier == upload.media_key


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (None, 3600),
        (timedelta(days=1), 3600),
        (timedelta(minutes=10), 600),
        (timedelta(seconds=10, microseconds=999_999), 10),
        (TICK, 1),
    ],
)
def test_a_url_lives_an_hour_or_what_is_left_of_the_asset(core: Core, left: timedelta | None, seconds: int) -> None:
    acme = core.open_account()
    asset = core.upload(acme, lifetime=None if left is None else left + HOUR)
    if left is not None:
        core.clock.advance(HOUR)

    url = core.assets.media_location(asset.media_key)

    assert query_of(url)["X-Amz-Expires"] == str(seconds)
    assert urlsplit(url).path.endswith(asset.object_key)


def test_an_address_tells_when_it_ends(core: Core) -> None:
    address = core.assets.address(core.upload(core.open_account()))

    query = query_of(address.url)
    begun = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
    assert address.expires_at == begun + timedelta(seconds=int(query["X-Amz-Expires"]))


def test_media_is_shown_inline_under_its_name(core: Core) -> None:
    asset = core.upload(core.open_account(), PNG, filename='my "photo".png')

    query = query_of(core.assets.signed_get(asset))

    assert query["response-content-type"] == "image/png"
    assert query["response-content-disposition"].startswith("inline; filename=")


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "image/svg+xml"),
        (b"<!doctype html><script>", "text/html"),
        (b"%PDF-1.7", "application/pdf"),
        (b"alert(1)", "text/javascript"),
        (b"\x00\x01", "application/x-unknown"),
    ],
)
def test_what_could_act_in_a_browser_is_an_opaque_attachment(core: Core, data: bytes, declared: str) -> None:
    asset = core.upload(core.open_account(), data, content_type=declared)

    query = query_of(core.assets.signed_get(asset))

    assert query["response-content-type"] == "application/octet-stream"
    assert query["response-content-disposition"].startswith("attachment;")


# --- listings


def test_every_asset_that_was_there_all_along_is_listed_once_while_others_come_and_go(core: Core) -> None:
    acme = core.open_account()
    there = []
    for number in range(23):
        core.clock.advance(timedelta(0) if number % 3 else timedelta(milliseconds=1))
        there.append(core.upload(acme))
    going = there[5::6]
    seen: list[AssetId] = []
    cursor: str | None = None

    for _ in range(20):
        page = core.library.page(acme, EVERYTHING, cursor=cursor, limit=7)
        seen += [asset.id for asset in page.items]
        cursor = page.next_cursor
        core.clock.advance(timedelta(milliseconds=1))
        core.upload(acme)
        if going:
            core.assets.delete(acme, going.pop().id)
        if cursor is None:
            break

    stayed = {asset.id for asset in there} - {asset.id for asset in there[5::6]}
    assert cursor is None
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen) <= {asset.id for asset in there}


def test_a_listing_shows_what_can_be_read(core: Core) -> None:
    acme = core.open_account()
    kept, leased, _over, deleted = (core.upload(acme, lifetime=life) for life in (None, HOUR, HOUR, None))
    lease(core, leased)
    core.assets.delete(acme, deleted.id)
    core.clock.advance(2 * HOUR)

    assert {asset.id for asset in core.library.page(acme, EVERYTHING, cursor=None, limit=10).items} == {
        kept.id,
        leased.id,
    }


@pytest.mark.parametrize("cursor", ["x", "", "AAAA", "MTox", "é", "=", "OTk5OTk5OTk5OTk5OTk5OTk5OTk6eA"])
def test_a_cursor_that_was_never_issued_finds_nothing_or_is_refused(core: Core, cursor: str) -> None:
    acme = core.open_account()
    core.upload(acme)

    try:
        found = core.library.page(acme, EVERYTHING, cursor=cursor, limit=10).items
    except InvalidCursor:
        found = []

    assert found == []


def asset_id(asset: Asset) -> str:
    """The asset's id as the native API spells it."""
    return f"asset_{asset.id.replace('-', '')}"
