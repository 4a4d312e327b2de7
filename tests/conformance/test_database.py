"""What `ports/database` means, on SQLite and on PostgreSQL."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from penstock.domain import ledger
from penstock.domain.accounts import Account, Scope
from penstock.domain.errors import (
    AccountNotFound,
    AssetNotFound,
    DatabaseUnavailable,
    InsufficientCredits,
    KeyNotFound,
    NameTaken,
    RunNotFound,
    UploadNotFound,
)
from penstock.domain.events import Event, EventKind
from penstock.domain.ids import AccountId, AssetId, JobId, KeyId, MediaKey, RunId, UploadId
from penstock.domain.ledger import Spent
from penstock.domain.runs import RunFault, RunFilter, RunState
from penstock.domain.uploads import UploadState
from penstock.ports.accounts import LedgerConflictError
from penstock.ports.events import IdempotencyRaceError
from tests.support.records import HOUR, NOW, make_asset, make_key, make_run, make_upload, open_account, uuid_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.adapters.db.database import SqlDatabase
    from penstock.domain.assets import Asset
    from penstock.domain.runs import Run
    from penstock.domain.uploads import Upload
    from penstock.ports.database import Transaction
    from penstock.ports.positions import Position

TICK = timedelta(microseconds=1)

ROOT = Path(__file__).parents[2]
LONG = timedelta(seconds=30)
AT_ONCE = timedelta(0)
A_CHANCE = 0.3
"""Seconds that another thread gets to do what it must not; a right one only waits."""


# --- accounts and keys


def test_an_account_is_found_by_id_and_by_name(database: SqlDatabase) -> None:
    account = Account(id=AccountId("a"), name="acme", created_at=NOW)

    with database.write() as tx:
        tx.accounts.add(account)

    with database.read() as tx:
        assert tx.accounts.get(account.id) == tx.accounts.by_name("acme") == account
        with pytest.raises(AccountNotFound):
            tx.accounts.get(AccountId("b"))
        with pytest.raises(AccountNotFound):
            tx.accounts.by_name("ACME")


def test_a_taken_name_is_refused_and_the_transaction_goes_on(database: SqlDatabase) -> None:
    open_account(database, "acme")

    with database.write() as tx:
        with pytest.raises(NameTaken):
            tx.accounts.add(Account(id=AccountId("another"), name="acme", created_at=NOW))
        tx.accounts.add(Account(id=AccountId("third"), name="zenith", created_at=NOW))

    with database.read() as tx:
        assert [account.name for account in tx.accounts.all()] == ["acme", "zenith"]


def test_keys_are_found_by_the_beginning_of_their_digest(database: SqlDatabase) -> None:
    account_id = open_account(database)
    wanted = make_key(1, account_id, digest="0123456789abcdef" + "f" * 48)
    others = [
        make_key(2, account_id, digest="0123456789abcdee" + "f" * 48),
        make_key(3, account_id, digest="0123456789abcdf0" + "0" * 48),
    ]

    with database.write() as tx:
        for key in (*others, wanted):
            tx.accounts.add_key(key)

    with database.read() as tx:
        assert tx.accounts.keys_by_lookup("0123456789abcdef") == [wanted]
        assert tx.accounts.keys_by_lookup("0123456789abcdff") == []


def test_keys_are_listed_oldest_first_for_an_account_and_for_everybody(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    keys = [make_key(1, acme), make_key(2, zenith, scopes=frozenset({Scope.RUNS_READ})), make_key(3, acme)]

    with database.write() as tx:
        for key in reversed(keys):
            tx.accounts.add_key(key)

    with database.read() as tx:
        assert tx.accounts.keys(acme) == [keys[0], keys[2]]
        assert tx.accounts.keys(None) == keys


def test_the_first_revocation_of_a_key_counts(database: SqlDatabase) -> None:
    account_id = open_account(database)
    key = make_key(1, account_id)

    with database.write() as tx:
        tx.accounts.add_key(key)
        tx.accounts.revoke_key(key.id, now=NOW)
        tx.accounts.revoke_key(key.id, now=NOW + HOUR)
        tx.accounts.touch_key(key.id, now=NOW + 3 * HOUR)
        with pytest.raises(KeyNotFound):
            tx.accounts.revoke_key(KeyId("unknown"), now=NOW)

    with database.read() as tx:
        assert tx.accounts.keys(account_id) == [replace(key, revoked_at=NOW, last_used_at=NOW + 3 * HOUR)]


# --- values come back as they went in


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"declared_size": None, "asset_id": None, "failure": None, "lifetime": None},
        {"declared_size": 0, "min_size": 0, "max_size": 2**63 - 1, "lifetime": timedelta(0)},
    ],
    ids=["all fields", "no optional field", "extremes"],
)
def test_an_upload_comes_back_as_it_went_in(database: SqlDatabase, changes: dict[str, object]) -> None:
    upload = make_upload(1, open_account(database), **changes)

    with database.write() as tx:
        tx.uploads.add(upload)

    with database.read() as tx:
        assert tx.uploads.get(upload.account_id, upload.id) == upload
        assert tx.uploads.by_media_key(upload.media_key) == upload
        with pytest.raises(UploadNotFound):
            tx.uploads.by_media_key(MediaKey("unknown"))


@pytest.mark.parametrize(
    "changes",
    [{"expires_at": NOW + HOUR}, {"upload_id": None, "run_id": None, "sha256": None, "expires_at": None}],
    ids=["all fields", "no optional field"],
)
def test_an_asset_comes_back_as_it_went_in(database: SqlDatabase, changes: dict[str, object]) -> None:
    asset = make_asset(1, open_account(database), **changes)

    with database.write() as tx:
        tx.assets.add(asset)

    with database.read() as tx:
        assert tx.assets.get(asset.account_id, asset.id) == asset
        assert tx.assets.by_media_key(asset.media_key) == asset
        with pytest.raises(AssetNotFound):
            tx.assets.by_media_key(MediaKey("unknown"))
        assert tx.assets.of_anyone(asset.id) == asset
        with pytest.raises(AssetNotFound):
            tx.assets.of_anyone(AssetId("unknown"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"output": None, "error": None, "fault": None, "cost": None, "started_at": None, "finished_at": None},
        {"inputs": {"z": 1, "a": [None, True, 1e-9, 2**70, "\0", "\ud800", "é", {"": {}}]}, "output": [], "files": {}},
        {"held": Decimal(9_000_000_000), "cost": Decimal("0E-9"), "cancel_requested": True},
    ],
    ids=["all fields", "no optional field", "odd JSON", "extremes"],
)
def test_a_run_comes_back_as_it_went_in(database: SqlDatabase, changes: dict[str, object]) -> None:
    run = make_run(1, open_account(database), **changes)

    with database.write() as tx:
        tx.runs.add(run)

    with database.read() as tx:
        found = tx.runs.get(run.account_id, run.id)
    assert found == run
    assert list(found.inputs) == list(run.inputs)


def test_money_comes_back_exact_and_without_idle_zeros(database: SqlDatabase) -> None:
    account_id = open_account(database)
    amounts = ["0.000000001", "0.05", "50", "123456789.123456789"]

    with database.write() as tx:
        for amount in amounts:
            last = tx.ledger.last(account_id, lock=True)
            tx.ledger.add(ledger.credit(last, Decimal(amount), account_id=account_id, now=NOW))

    with database.read() as tx:
        entries = tx.ledger.page(account_id, below=None, limit=10)
    assert [f"{entry.amount:f}" for entry in reversed(entries)] == amounts
    assert entries[0].balance == sum(map(Decimal, amounts))


def test_an_amount_finer_than_the_ledger_is_refused_not_rounded(database: SqlDatabase) -> None:
    account_id = open_account(database)
    entry = replace(ledger.credit(None, Decimal(1), account_id=account_id, now=NOW), amount=Decimal("0.0000000001"))

    with pytest.raises(Exception, match="finer"), database.write() as tx:
        tx.ledger.add(entry)


def test_a_time_without_a_zone_is_refused(database: SqlDatabase) -> None:
    account = Account(id=AccountId("a"), name="acme", created_at=datetime(2026, 11, 21))  # noqa: DTZ001 - the point

    with pytest.raises(Exception, match="offset-naive"), database.write() as tx:
        tx.accounts.add(account)


# --- tenancy (S22): another account's thing is not found, exactly as an unknown one


@pytest.mark.parametrize("account", ["another", "", "ACCOUNT-ACME", "account-acme\0"])
def test_a_thing_of_another_account_is_not_found(database: SqlDatabase, account: str) -> None:
    owner = open_account(database, "acme")
    open_account(database, "another")
    stranger = AccountId("account-another" if account == "another" else account)
    with database.write() as tx:
        tx.uploads.add(make_upload(1, owner))
        tx.assets.add(make_asset(1, owner))
        tx.runs.add(make_run(1, owner))
        tx.events.add(owner, uuid_text(1), EventKind.RUN_QUEUED, {}, now=NOW)
        tx.idempotency.add(owner, "verb", "key", fingerprint="f", subject="s", now=NOW)

    with database.read() as tx:
        with pytest.raises(UploadNotFound):
            tx.uploads.get(stranger, UploadId(uuid_text(1)))
        with pytest.raises(AssetNotFound):
            tx.assets.get(stranger, AssetId(uuid_text(1)))
        with pytest.raises(RunNotFound):
            tx.runs.get(stranger, RunId(uuid_text(1)))
        assert tx.events.after(stranger, uuid_text(1), 0, limit=10) == []
        assert tx.idempotency.find(stranger, "verb", "key") is None
        assert tx.uploads.page(stranger, below=None, limit=10) == []
        assert tx.runs.page(stranger, below=None, limit=10) == []
        assert tx.ledger.last(stranger) is None


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "\ud800", "x" * 10_000, "'; DROP TABLE uploads; --", "%", "_"])
def test_any_text_may_be_looked_up_and_is_not_found(database: SqlDatabase, text: str) -> None:
    account_id = open_account(database)
    with database.write() as tx:
        tx.uploads.add(make_upload(1, account_id))

    with database.read() as tx:
        with pytest.raises(UploadNotFound):
            tx.uploads.get(account_id, UploadId(text))
        with pytest.raises(AssetNotFound):
            tx.assets.by_media_key(MediaKey(text))
        assert tx.events.after(account_id, text, 10**30, limit=10) == []
        assert tx.ledger.page(account_id, below=10**30, limit=10) == []


def test_a_row_is_not_replaced_under_another_account(database: SqlDatabase) -> None:
    owner, stranger = open_account(database, "acme"), open_account(database, "another")
    upload, asset, run = make_upload(1, owner), make_asset(1, owner), make_run(1, owner)
    with database.write() as tx:
        tx.uploads.add(upload)
        tx.assets.add(asset)
        tx.runs.add(run)

    with database.write() as tx:
        assert not tx.uploads.replace(replace(upload, account_id=stranger, name="x"), was=upload.state)
        assert not tx.runs.replace(replace(run, account_id=stranger, error="x"), was=run.state)
        tx.assets.replace(replace(asset, account_id=stranger, name="x"))

    with database.read() as tx:
        assert tx.uploads.get(owner, upload.id) == upload
        assert tx.runs.get(owner, run.id) == run
        assert tx.assets.get(owner, asset.id) == asset


# --- compare and set


def test_an_upload_is_replaced_only_in_the_state_it_was_seen_in(database: SqlDatabase) -> None:
    upload = make_upload(1, open_account(database))
    stored = replace(upload, state=UploadState.STORED, failure=None)
    with database.write() as tx:
        tx.uploads.add(upload)

    with database.write() as tx:
        assert tx.uploads.replace(stored, was=UploadState.PENDING)
        assert not tx.uploads.replace(replace(upload, state=UploadState.ABORTED), was=UploadState.PENDING)

    with database.read() as tx:
        assert tx.uploads.get(upload.account_id, upload.id) == stored


def test_a_run_is_replaced_only_in_the_state_it_was_seen_in(database: SqlDatabase) -> None:
    run = make_run(1, open_account(database))
    running = replace(run, state=RunState.RUNNING, output=["x"], cost=None)
    with database.write() as tx:
        tx.runs.add(run)

    with database.write() as tx:
        assert tx.runs.replace(running, was=RunState.QUEUED)
        assert not tx.runs.replace(replace(run, state=RunState.CANCELLED), was=RunState.QUEUED)

    with database.read() as tx:
        assert tx.runs.get(run.account_id, run.id) == running


def test_one_of_twenty_concurrent_changes_wins(database: SqlDatabase) -> None:
    upload = make_upload(1, open_account(database))
    with database.write() as tx:
        tx.uploads.add(upload)
    barrier = threading.Barrier(20)

    def change(number: int) -> bool:
        barrier.wait()
        with database.write() as tx:
            changed = replace(upload, state=UploadState.STORED, name=str(number))
            return tx.uploads.replace(changed, was=UploadState.PENDING)

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(change, range(20)))

    assert outcomes.count(True) == 1
    with database.read() as tx:
        assert tx.uploads.get(upload.account_id, upload.id).name == str(outcomes.index(True))


# --- listings


def test_listings_are_newest_first_and_go_on_below_a_position(database: SqlDatabase) -> None:
    account_id = open_account(database)
    uploads = [make_upload(number, account_id) for number in range(5)]
    with database.write() as tx:
        for upload in uploads:
            tx.uploads.add(upload)

    with database.read() as tx:
        first = tx.uploads.page(account_id, below=None, limit=2)
        second = tx.uploads.page(account_id, below=(first[-1].created_at, first[-1].id), limit=10)

    assert [*first, *second] == uploads[::-1]


def test_things_of_the_same_instant_are_each_listed_once(database: SqlDatabase) -> None:
    account_id = open_account(database)
    runs = [make_run(number, account_id, created_at=NOW) for number in range(9)]
    with database.write() as tx:
        for run in runs:
            tx.runs.add(run)

    with database.read() as tx:
        listed: list[Run] = []
        while page := tx.runs.page(account_id, below=_position(listed), limit=2):
            listed += page

    assert sorted(run.id for run in listed) == [run.id for run in runs]
    assert listed == sorted(runs, key=lambda run: run.id, reverse=True)


def test_a_history_shows_the_runs_that_fit(database: SqlDatabase) -> None:
    account_id, stranger = open_account(database), open_account(database, "stranger")
    runs = {
        1: make_run(1, account_id, fault=None, metadata={"env": "prod", "batch": "42"}),
        2: make_run(2, account_id, fault=None, model="acme/model"),
        3: make_run(3, account_id, state=RunState.FAILED, fault=RunFault.MODEL, metadata={"env": "Prod"}),
        4: make_run(4, account_id, state=RunState.FAILED, fault=RunFault.TIMEOUT, metadata={"env": "prod"}),
        5: make_run(5, account_id, fault=None, metadata={'x,"env': "prod"}),
        6: make_run(6, account_id, fault=None, metadata={"ü\0": "%_", "batch": "42"}),
    }
    removed = make_run(7, account_id, deleted_at=NOW, metadata={"env": "prod", "batch": "42"})
    with database.write() as tx:
        for run in (*runs.values(), removed, make_run(8, stranger, metadata={"env": "prod", "batch": "42"})):
            tx.runs.add(run)
    cases: list[tuple[RunFilter, list[int]]] = [
        (RunFilter(), [6, 5, 4, 3, 2, 1]),
        (RunFilter(model="acme/model"), [2]),
        (RunFilter(stands=frozenset({(RunState.QUEUED, None)})), [6, 5, 2, 1]),
        (RunFilter(stands=frozenset({(RunState.SUCCEEDED, None), (RunState.FAILED, RunFault.MODEL)})), [3]),
        (RunFilter(metadata={"env": "prod"}), [4, 1]),
        (RunFilter(metadata={"env": "prod", "batch": "42"}), [1]),
        (RunFilter(metadata={"env": "PROD"}), []),
        (RunFilter(metadata={"env": "pro"}), []),
        (RunFilter(metadata={"batch": "42"}), [6, 1]),
        (RunFilter(metadata={'x,"env': "prod"}), [5]),
        (RunFilter(metadata={"ü\0": "%_"}), [6]),
        (RunFilter(metadata={"env": "prod"}, model="acme/model"), []),
    ]

    for wanted, numbers in cases:
        with database.read() as tx:
            found = tx.runs.history(account_id, wanted, skip=0, limit=10)
            pages = [tx.runs.history(account_id, wanted, skip=skip, limit=1) for skip in range(len(numbers) + 1)]

        assert found == [runs[number] for number in numbers], wanted
        assert [run for page in pages for run in page] == found, wanted


def test_paging_shows_what_exists_throughout_exactly_once_while_others_write(database: SqlDatabase) -> None:  # F34
    account_id = open_account(database)
    with database.write() as tx:
        for number in range(0, 100, 2):
            tx.uploads.add(make_upload(number, account_id, created_at=NOW + timedelta(seconds=number // 10)))
    written = threading.Semaphore(0)
    paging_done = threading.Event()

    def write_in_between() -> None:
        for number in itertools.chain(range(1, 100, 2), range(101, 10_000)):
            with database.write() as tx:
                tx.uploads.add(make_upload(number, account_id, created_at=NOW + timedelta(seconds=number // 10)))
            written.release()
            if paging_done.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_in_between)
        listed: list[Upload] = []
        while written.acquire(timeout=LONG.total_seconds()):
            with database.read() as tx:
                page = tx.uploads.page(account_id, below=_position(listed), limit=7)
            if not page:
                break
            listed += page
        paging_done.set()
        writing.result()

    ids = [upload.id for upload in listed]
    assert len(ids) == len(set(ids))
    assert {uuid_text(number) for number in range(0, 100, 2)} <= set(ids)


# --- what sweeping looks for


def test_overdue_uploads_are_pending_ones_whose_url_has_expired(database: SqlDatabase) -> None:
    account_id = open_account(database)
    late, later = (make_upload(n, account_id, expires_at=NOW - timedelta(seconds=n)) for n in (1, 2))
    stored = make_upload(3, account_id, state=UploadState.STORED, expires_at=NOW)
    fresh = make_upload(4, account_id, expires_at=NOW + timedelta(microseconds=1))
    with database.write() as tx:
        for upload in (late, later, stored, fresh):
            tx.uploads.add(upload)

    with database.read() as tx:
        assert tx.uploads.overdue(now=NOW, limit=10) == [later, late]
        assert tx.uploads.overdue(now=NOW, limit=1) == [later]


def test_an_upload_that_waits_for_its_owners_word_is_overdue_when_that_comes_too_late(database: SqlDatabase) -> None:
    account_id = open_account(database)
    past = NOW - timedelta(hours=2)
    waiting = make_upload(1, account_id, expires_at=past, confirm_by=NOW + timedelta(microseconds=1))
    over = make_upload(2, account_id, expires_at=past, confirm_by=NOW)
    with database.write() as tx:
        tx.uploads.add(waiting)
        tx.uploads.add(over)

    with database.read() as tx:
        assert tx.uploads.overdue(now=NOW, limit=10) == [over]
        assert tx.uploads.overdue(now=NOW, after=(past, over.id), limit=10) == []
        assert tx.uploads.get(account_id, waiting.id) == waiting


def test_unswept_uploads_are_over_past_their_url_and_still_staged(database: SqlDatabase) -> None:
    account_id = open_account(database)
    done = [
        make_upload(n, account_id, state=state, expires_at=NOW + timedelta(seconds=n))
        for n, state in enumerate(UploadState)
    ]
    with database.write() as tx:
        for upload in done:
            tx.uploads.add(upload)
        assert tx.uploads.unswept(now=NOW + timedelta(seconds=3), limit=10) == done[1:4]
        tx.uploads.mark_swept([done[1].id, done[3].id])

    with database.write() as tx:
        assert tx.uploads.unswept(now=NOW + timedelta(seconds=3), limit=10) == [done[2]]
        tx.uploads.mark_swept([])
        assert tx.uploads.get(account_id, done[1].id) == done[1]


def test_a_deleted_asset_is_not_found_and_an_expired_one_is(database: SqlDatabase) -> None:
    account_id = open_account(database)
    kept = make_asset(1, account_id)
    expired = make_asset(2, account_id, expires_at=NOW)
    leased = make_asset(3, account_id, expires_at=NOW - HOUR)
    deleted = make_asset(4, account_id, deleted_at=NOW)
    with database.write() as tx:
        for asset in (kept, expired, leased, deleted):
            tx.assets.add(asset)
        tx.assets.lease(RunId("run"), [leased.id])

    with database.read() as tx:
        assert tx.assets.get(account_id, expired.id) == expired
        with pytest.raises(AssetNotFound):
            tx.assets.get(account_id, deleted.id)
        with pytest.raises(AssetNotFound):
            tx.assets.by_media_key(deleted.media_key)
        with pytest.raises(AssetNotFound):
            tx.assets.of_anyone(deleted.id)


def test_an_asset_is_over_when_expired_or_deleted_and_not_leased(database: SqlDatabase) -> None:
    account_id = open_account(database)
    kept = make_asset(1, account_id)
    expired = make_asset(2, account_id, expires_at=NOW)
    later = make_asset(3, account_id, expires_at=NOW + HOUR)
    with database.write() as tx:
        for asset in (kept, expired, later):
            tx.assets.add(asset)
        tx.assets.replace(replace(kept, deleted_at=NOW - 2 * HOUR, purge_at=NOW - HOUR))
        tx.assets.lease(RunId("run"), [expired.id, kept.id, expired.id])
        tx.assets.lease(RunId("run"), [expired.id])
        tx.assets.lease(RunId("other"), [expired.id])

    with database.write() as tx:
        assert due(tx, NOW) == []
        tx.assets.release(RunId("run"))
        assert tx.assets.is_leased(expired.id)
        assert not tx.assets.is_leased(kept.id)
        assert due(tx, NOW) == [kept.id]
        tx.assets.release(RunId("other"))
        assert due(tx, NOW - HOUR - TICK) == []
        assert due(tx, NOW) == [kept.id, expired.id]
        assert due(tx, NOW, after=(NOW - HOUR, kept.id)) == [expired.id]
        assert due(tx, NOW, after=(NOW, expired.id)) == []
        tx.asset_sweeps.remove([kept.id, expired.id])

    with database.read() as tx:
        assert due(tx, NOW + 2 * HOUR) == [later.id]
        with pytest.raises(AssetNotFound):
            tx.assets.get(account_id, expired.id)


def test_an_asset_whose_expiry_is_cancelled_is_not_over(database: SqlDatabase) -> None:
    account_id = open_account(database)
    asset = make_asset(1, account_id, expires_at=NOW)
    with database.write() as tx:
        tx.assets.add(asset)
        tx.assets.replace(replace(asset, expires_at=None))

    with database.read() as tx:
        assert due(tx, NOW + HOUR) == []


def due(tx: Transaction, now: datetime, *, after: Position | None = None) -> list[AssetId]:
    return [asset.id for asset in tx.asset_sweeps.due(now=now, after=after, limit=10)]


def test_what_is_purged_is_unsettled_then_a_tombstone_then_forgettable(database: SqlDatabase) -> None:
    account_id = open_account(database)
    over = [make_asset(number, account_id, expires_at=NOW) for number in (1, 2, 3)]
    with database.write() as tx:
        for asset in over:
            tx.assets.add(asset)
        tx.assets.lease(RunId("run"), [over[2].id])

    with database.write() as tx:
        purged = tx.asset_sweeps.purge(due=NOW, now=NOW + HOUR, limit=1)
        assert purged == [replace(over[0], purged_at=NOW + HOUR)]
    with database.write() as tx:
        assert [asset.id for asset in tx.asset_sweeps.purge(due=NOW, now=NOW + HOUR, limit=5)] == [over[1].id]
        assert tx.asset_sweeps.purge(due=NOW, now=NOW + HOUR, limit=5) == ()

    with database.write() as tx:
        with pytest.raises(AssetNotFound):
            tx.assets.get(account_id, over[0].id)
        with pytest.raises(AssetNotFound):
            tx.assets.by_media_key(over[0].media_key)
        assert tx.asset_sweeps.known(account_id, over[0].id) == purged[0]
        assert tx.asset_sweeps.known_by_media_key(over[0].media_key) == purged[0]
        assert [asset.id for asset in tx.asset_sweeps.unsettled(limit=5)] == [over[0].id, over[1].id]
        tx.asset_sweeps.remember({over[0].id: NOW + 3 * HOUR})
        assert [asset.id for asset in tx.asset_sweeps.unsettled(limit=5)] == [over[1].id]
        for now, found in ((3 * HOUR - TICK, []), (3 * HOUR, [(NOW + 3 * HOUR, over[0].id)])):
            told = tx.asset_sweeps.forgettable(now=NOW + now, after=None, limit=5)
            assert [(when, asset.id) for when, asset in told] == found
        assert tx.asset_sweeps.forgettable(now=NOW + 4 * HOUR, after=(NOW + 3 * HOUR, over[0].id), limit=5) == []


def test_a_key_is_unnamed_when_no_asset_that_is_not_purged_names_it(database: SqlDatabase) -> None:
    account_id = open_account(database)
    first = make_asset(1, account_id, object_key="assets/shared", thumbnail_key="thumbs/shared", expires_at=NOW)
    second = make_asset(2, account_id, object_key="assets/shared", thumbnail_key="thumbs/shared", deleted_at=NOW)
    keys = ("assets/shared", "thumbs/shared", "assets/other")
    with database.write() as tx:
        tx.assets.add(first)
        tx.assets.add(replace(second, purge_at=NOW + HOUR))

    with database.write() as tx:
        assert tx.asset_sweeps.unnamed(keys) == {"assets/other"}
        tx.asset_sweeps.purge(due=NOW, now=NOW, limit=5)
        assert tx.asset_sweeps.unnamed(keys) == {"assets/other"}
        tx.asset_sweeps.purge(due=NOW + HOUR, now=NOW, limit=5)
        assert tx.asset_sweeps.unnamed(keys) == set(keys)
        assert tx.asset_sweeps.unnamed(()) == frozenset()


# --- runs


def test_the_place_in_the_queue_counts_queued_runs_that_are_older(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")
    first, second, third = make_run(1, acme), make_run(2, zenith), make_run(3, acme)
    with database.write() as tx:
        for run in (first, second, third, make_run(0, acme, state=RunState.RUNNING)):
            tx.runs.add(run)

    with database.read() as tx:
        assert [tx.runs.queued_before(run) for run in (first, second, third)] == [0, 1, 2]


def test_the_wish_to_cancel_is_seen_and_a_run_that_is_gone_counts_as_cancelled(database: SqlDatabase) -> None:
    account_id = open_account(database)
    run = make_run(1, account_id, state=RunState.RUNNING)
    with database.write() as tx:
        tx.runs.add(run)
        assert not tx.runs.cancel_requested(run.id)
        tx.runs.replace(replace(run, cancel_requested=True), was=RunState.RUNNING)

    with database.read() as tx:
        assert tx.runs.cancel_requested(run.id)
        assert tx.runs.cancel_requested(RunId("gone"))


# --- the ledger


def test_of_a_hundred_holds_with_room_for_one_one_succeeds(database: SqlDatabase) -> None:  # F35
    account_id = open_account(database)
    with database.write() as tx:
        tx.ledger.add(ledger.credit(None, Decimal(1), account_id=account_id, now=NOW))
    barrier = threading.Barrier(100)

    def hold(number: int) -> bool:
        barrier.wait()
        try:
            with database.write() as tx:
                last = tx.ledger.last(account_id, lock=True)
                run_id = RunId(str(number))
                tx.ledger.add(ledger.hold(last, Decimal(1), account_id=account_id, run_id=run_id, now=NOW))
        except InsufficientCredits:
            return False
        return True

    with ThreadPoolExecutor(100) as pool:
        outcomes = list(pool.map(hold, range(100)))

    assert outcomes.count(True) == 1
    with database.read() as tx:
        assert [str(entry.balance) for entry in tx.ledger.page(account_id, below=None, limit=10)] == ["0", "1"]


def test_an_entry_that_exists_is_not_written_again(database: SqlDatabase) -> None:
    account_id = open_account(database)
    run_id = RunId("run")
    with database.write() as tx:
        credit = ledger.credit(None, Decimal(10), account_id=account_id, now=NOW)
        tx.ledger.add(credit)
        hold = ledger.hold(credit, Decimal(3), account_id=account_id, run_id=run_id, now=NOW)
        tx.ledger.add(hold)
        assert not tx.ledger.ended(run_id)
        end = ledger.refund(hold, held=Decimal(3), run_id=run_id, now=NOW)
        tx.ledger.add(end)
        assert tx.ledger.ended(run_id)

    with database.write() as tx:
        with pytest.raises(LedgerConflictError):
            tx.ledger.add(ledger.refund(end, held=Decimal(3), run_id=run_id, now=NOW))
        with pytest.raises(LedgerConflictError):
            tx.ledger.add(ledger.credit(hold, Decimal(1), account_id=account_id, now=NOW))
        assert tx.ledger.last(account_id) == end


def test_the_ledger_is_paged_newest_first(database: SqlDatabase) -> None:
    account_id = open_account(database)
    with database.write() as tx:
        for _ in range(5):
            last = tx.ledger.last(account_id, lock=True)
            tx.ledger.add(ledger.credit(last, Decimal(1), account_id=account_id, now=NOW))

    with database.read() as tx:
        assert [entry.number for entry in tx.ledger.page(account_id, below=None, limit=2)] == [5, 4]
        assert [entry.number for entry in tx.ledger.page(account_id, below=4, limit=10)] == [3, 2, 1]


def test_old_idempotency_keys_are_forgotten_a_batch_at_a_time_and_others_kept(database: SqlDatabase) -> None:
    account_id = open_account(database)
    with database.write() as tx:
        for number in range(5):
            moment = NOW + number * HOUR
            tx.idempotency.add(account_id, "verb", f"key-{number}", fingerprint="f", subject="s", now=moment)

    with database.write() as tx:
        assert [tx.idempotency.purge(before=NOW + 3 * HOUR, limit=2) for _ in range(3)] == [2, 1, 0]
        kept = [number for number in range(5) if tx.idempotency.find(account_id, "verb", f"key-{number}")]
    assert kept == [3, 4]


# --- events


def test_events_of_what_ended_long_ago_are_forgotten_and_those_of_what_goes_on_are_kept(database: SqlDatabase) -> None:
    account_id = open_account(database)
    stories = {
        "ended": (EventKind.RUN_QUEUED, EventKind.RUN_LOG, EventKind.RUN_SUCCEEDED),
        "given up": (EventKind.UPLOAD_ABORTED,),
        "waiting": (EventKind.RUN_QUEUED,),
        "stored": (EventKind.UPLOAD_STORED,),
    }
    with database.write() as tx:
        for subject, kinds in stories.items():
            for kind in kinds:
                tx.events.add(account_id, subject, kind, {}, now=NOW)
        tx.events.add(account_id, "late", EventKind.RUN_QUEUED, {}, now=NOW)
        tx.events.add(account_id, "late", EventKind.RUN_FAILED, {}, now=NOW + 2 * HOUR)

    with database.write() as tx:
        assert [tx.events.purge(before=NOW + HOUR, limit=1) for _ in range(3)] == [1, 1, 0]

    with database.read() as tx:
        left = [name for name in (*stories, "late") if tx.events.after(account_id, name, 0, limit=10)]
    assert left == ["waiting", "stored", "late"]


def test_events_are_numbered_within_their_subject(database: SqlDatabase) -> None:
    account_id = open_account(database)
    with database.write() as tx:
        first = tx.events.add(account_id, "run-1", EventKind.RUN_QUEUED, {"text": "\0\ud800"}, now=NOW)
        other = tx.events.add(account_id, "run-2", EventKind.RUN_QUEUED, {}, now=NOW)
        second = tx.events.add(account_id, "run-1", EventKind.RUN_STARTED, {"n": [1]}, now=NOW + HOUR)

    assert (first.number, other.number, second.number) == (1, 1, 2)
    with database.read() as tx:
        assert tx.events.after(account_id, "run-1", 0, limit=10) == [first, second]
        assert tx.events.after(account_id, "run-1", 1, limit=10) == [second]
        assert tx.events.after(account_id, "run-1", 0, limit=1) == [first]


def test_of_many_subjects_those_that_went_on_are_told_with_their_last_number(database: SqlDatabase) -> None:
    account_id = open_account(database)
    with database.write() as tx:
        for subject in ("one", "two", "two", "three", 'o"dd'):
            tx.events.add(account_id, subject, EventKind.RUN_LOG, {}, now=NOW)

    with database.read() as tx:
        known = {"one": 0, "two": 1, "three": 1, "four": 0, 'o"dd': 0, "": -1}
        assert tx.events.last_above(known) == {"one": 1, "two": 2, 'o"dd': 1}
        assert tx.events.last_above({"one": 10**30}) == {}
        assert tx.events.last_above({}) == {}


def test_concurrent_writers_of_one_subject_leave_no_gap_and_no_reader_sees_one(database: SqlDatabase) -> None:
    account_id = open_account(database)

    def write(_: int) -> None:
        for _ in range(10):
            with database.write() as tx:
                tx.events.add(account_id, "run", EventKind.RUN_LOG, {}, now=NOW)

    seen: list[Event] = []
    with ThreadPoolExecutor(6) as pool:
        writing = [pool.submit(write, number) for number in range(6)]
        while len(seen) < 60:
            with database.read() as tx:
                seen += tx.events.after(account_id, "run", len(seen), limit=7)
        for future in writing:
            future.result()

    assert [event.number for event in seen] == list(range(1, 61))


# --- idempotency


def test_one_of_twenty_requests_with_one_key_has_an_effect(database: SqlDatabase) -> None:
    account_id = open_account(database)
    barrier = threading.Barrier(20)

    def begin(number: int) -> str:
        upload = make_upload(number, account_id)
        barrier.wait()
        try:
            with database.write() as tx:
                tx.idempotency.add(account_id, "begin", "key", fingerprint="f", subject=upload.id, now=NOW)
                tx.uploads.add(upload)
        except IdempotencyRaceError:
            with database.read() as tx:
                known = tx.idempotency.find(account_id, "begin", "key")
            assert known is not None
            return known[1]
        return upload.id

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(begin, range(20)))

    with database.read() as tx:
        assert [upload.id for upload in tx.uploads.page(account_id, below=None, limit=10)] == list(answers)


def test_a_key_stands_for_one_request_per_account_and_verb(database: SqlDatabase) -> None:
    acme, zenith = open_account(database, "acme"), open_account(database, "zenith")

    with database.write() as tx:
        tx.idempotency.add(acme, "begin", "key", fingerprint="1", subject="a", now=NOW)
        tx.idempotency.add(acme, "submit", "key", fingerprint="2", subject="b", now=NOW)
        tx.idempotency.add(zenith, "begin", "key", fingerprint="3", subject="c", now=NOW)

    with database.read() as tx:
        assert tx.idempotency.find(acme, "begin", "key") == ("1", "a")
        assert tx.idempotency.find(acme, "submit", "key") == ("2", "b")
        assert tx.idempotency.find(zenith, "begin", "key") == ("3", "c")
        assert tx.idempotency.find(zenith, "submit", "key") is None


# --- transactions


class _FailureError(Exception):
    pass


def test_a_block_that_fails_leaves_nothing_behind(database: SqlDatabase) -> None:
    account_id = open_account(database)
    kept = make_upload(1, account_id)
    with database.write() as tx:
        tx.uploads.add(kept)

    with pytest.raises(_FailureError), database.write() as tx:  # noqa: PT012 - the block is what fails
        tx.accounts.add(Account(id=AccountId("new"), name="new", created_at=NOW))
        tx.accounts.add_key(make_key(1, account_id))
        tx.uploads.add(make_upload(2, account_id))
        tx.uploads.replace(replace(kept, state=UploadState.ABORTED), was=UploadState.PENDING)
        tx.assets.add(make_asset(1, account_id))
        tx.assets.lease(RunId("run"), [AssetId(uuid_text(1))])
        tx.runs.add(make_run(1, account_id))
        tx.ledger.add(ledger.credit(None, Decimal(1), account_id=account_id, now=NOW))
        tx.events.add(account_id, "subject", EventKind.RUN_LOG, {}, now=NOW)
        tx.idempotency.add(account_id, "verb", "key", fingerprint="f", subject="s", now=NOW)
        tx.jobs.enqueue("kind", {}, job_id=JobId("job"), now=NOW)
        raise _FailureError

    with database.write() as tx:
        assert [account.id for account in tx.accounts.all()] == [account_id]
        assert tx.accounts.keys(None) == []
        assert tx.uploads.page(account_id, below=None, limit=10) == [kept]
        assert not tx.assets.is_leased(AssetId(uuid_text(1)))
        assert tx.runs.page(account_id, below=None, limit=10) == []
        assert tx.ledger.last(account_id) is None
        assert tx.events.after(account_id, "subject", 0, limit=10) == []
        assert tx.idempotency.find(account_id, "verb", "key") is None
        assert tx.events.add(account_id, "subject", EventKind.RUN_LOG, {}, now=NOW).number == 1


def test_a_reader_sees_one_moment(database: SqlDatabase) -> None:
    account_id = open_account(database)

    with database.read() as before:
        assert before.uploads.page(account_id, below=None, limit=10) == []
        with database.write() as tx:
            tx.uploads.add(make_upload(1, account_id))
        assert before.uploads.page(account_id, below=None, limit=10) == []

    with database.read() as after:
        assert len(after.uploads.page(account_id, below=None, limit=10)) == 1


def test_what_is_not_committed_is_not_seen(database: SqlDatabase) -> None:
    account_id = open_account(database)

    with database.write() as tx:
        tx.uploads.add(make_upload(1, account_id))
        with database.read() as other:
            assert other.uploads.page(account_id, below=None, limit=10) == []


def test_a_read_transaction_cannot_write(database: SqlDatabase) -> None:
    with pytest.raises((DatabaseUnavailable, DBAPIError)), database.read() as tx:
        tx.accounts.add(Account(id=AccountId("a"), name="acme", created_at=NOW))

    with database.read() as tx:
        assert tx.accounts.all() == []


def test_writers_in_four_processes_lose_nothing(database: SqlDatabase, database_url: str) -> None:
    account_id = open_account(database)

    writers = [_start_writer(database_url, account_id, "40") for _ in range(4)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors

    with database.read() as tx:
        last = tx.ledger.last(account_id)
        uploads = _all_uploads(database, account_id)
    assert last is not None
    assert (last.number, last.balance) == (160, Decimal(160))
    assert len(uploads) == 160


def test_a_killed_writer_loses_nothing_it_was_told_is_there(database: SqlDatabase, database_url: str) -> None:  # P1
    account_id = open_account(database)
    writer = _start_writer(database_url, account_id, "100000")
    assert writer.stdout is not None

    told = [writer.stdout.readline() for _ in range(50)]
    writer.kill()
    told += writer.stdout.readlines()
    writer.communicate(timeout=30)

    acknowledged = {line.strip() for line in told if line.endswith("\n")}
    uploads = _all_uploads(database, account_id)
    assert acknowledged <= {upload.id for upload in uploads}
    assert len(uploads) <= len(acknowledged) + 1
    with database.read() as tx:
        last = tx.ledger.last(account_id)
    assert last is not None
    assert last.number == len(uploads)


def test_ping_answers_while_the_database_does(database: SqlDatabase) -> None:
    database.ping()


def test_ping_raises_without_a_schema(empty_database_url: str) -> None:
    from penstock.adapters.db.database import open_database  # noqa: PLC0415 - the fixture's own import

    database = open_database(empty_database_url)

    with pytest.raises(DatabaseUnavailable):
        database.ping()
    database.close()


# --- changes


def test_a_commit_of_another_process_wakes_a_waiter(database: SqlDatabase, database_url: str) -> None:
    account_id = open_account(database)
    changes = database.changes()
    writer = _start_writer(database_url, account_id, "1")

    woken = changes.wait(LONG)
    writer.communicate(timeout=60)
    changes.close()

    assert woken


def test_a_commit_of_our_own_wakes_a_waiter(database: SqlDatabase) -> None:
    account_id = open_account(database)
    changes = database.changes()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(changes.wait, LONG)
        with database.write() as tx:
            tx.events.add(account_id, "run", EventKind.RUN_LOG, {}, now=NOW)
        assert waiting.result()
    changes.close()


def test_a_commit_before_the_wait_is_not_missed(database: SqlDatabase) -> None:
    account_id = open_account(database)
    changes = database.changes()

    with database.write() as tx:
        tx.events.add(account_id, "run", EventKind.RUN_LOG, {}, now=NOW)

    assert changes.wait(LONG)
    changes.close()


def test_without_a_commit_a_wait_ends_at_its_timeout(database: SqlDatabase) -> None:
    changes = database.changes()

    assert not changes.wait(AT_ONCE)
    assert not changes.wait(timedelta(milliseconds=50))
    changes.close()


def test_closing_ends_a_wait(database: SqlDatabase) -> None:
    changes = database.changes()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(changes.wait, LONG)
        changes.close()
        waiting.result(timeout=LONG.total_seconds() / 2)

    changes.wait(LONG)


# --- what a write transaction has read stays so until it ends


def test_a_change_waits_for_whoever_has_read_the_asset_in_order_to_change_it(database: SqlDatabase) -> None:
    acme = open_account(database)
    asset = make_asset(1, acme, sha256=None, expires_at=NOW + HOUR)
    with database.write() as tx:
        tx.assets.add(asset)

    def delete() -> None:
        with database.write() as tx:
            tx.assets.replace(replace(tx.assets.get(acme, asset.id), deleted_at=NOW))

    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            read = tx.assets.get(acme, asset.id)
            deleting = pool.submit(delete)
            wait([deleting], A_CHANCE)
            tx.assets.replace(replace(read, sha256="ab" * 32))
        deleting.result(timeout=LONG.total_seconds())

    with database.read() as tx, pytest.raises(AssetNotFound):
        tx.assets.get(acme, asset.id)


def test_a_wish_to_cancel_is_not_lost_to_whoever_starts_the_run_again(database: SqlDatabase) -> None:
    acme = open_account(database)
    run = make_run(1, acme, state=RunState.RUNNING, cancel_requested=False)
    with database.write() as tx:
        tx.runs.add(run)

    def cancel() -> None:
        with database.write() as tx:
            tx.runs.replace(replace(tx.runs.get(acme, run.id), cancel_requested=True), was=RunState.RUNNING)

    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            read = tx.runs.get(acme, run.id)
            cancelling = pool.submit(cancel)
            wait([cancelling], A_CHANCE)
            tx.runs.replace(replace(read, error="again"), was=RunState.RUNNING)
        cancelling.result(timeout=LONG.total_seconds())

    with database.read() as tx:
        now = tx.runs.get(acme, run.id)
    assert (now.cancel_requested, now.error) == (True, "again")


def test_an_upload_that_is_being_changed_is_read_as_it_then_is(database: SqlDatabase) -> None:
    acme = open_account(database)
    upload = make_upload(1, acme)
    with database.write() as tx:
        tx.uploads.add(upload)

    def state_when_it_is_our_turn() -> UploadState:
        with database.write() as tx:
            return tx.uploads.get(acme, upload.id).state

    with ThreadPoolExecutor(1) as pool:
        with database.write() as tx:
            tx.uploads.replace(replace(upload, state=UploadState.STORED), was=UploadState.PENDING)
            reading = pool.submit(state_when_it_is_our_turn)
            wait([reading], A_CHANCE)
        assert reading.result(timeout=LONG.total_seconds()) is UploadState.STORED


def _position(listed: Sequence[Asset | Run | Upload]) -> tuple[datetime, str] | None:
    return (listed[-1].created_at, listed[-1].id) if listed else None


def _all_uploads(database: SqlDatabase, account_id: AccountId) -> list[Upload]:
    with database.read() as tx:
        return list(tx.uploads.page(account_id, below=None, limit=1_000_000))


def _start_writer(url: str, account_id: AccountId, count: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.database_writer", url, account_id, count],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_runs_took_and_gave_back_is_told_by_day_and_model(database: SqlDatabase) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    account_id, other = open_account(database, "acme"), open_account(database, "other")
    moves = [("b", 3, -1, 1), ("a", 5, -1, 2), ("a", 4, 24 * 60 - 1, None), ("a", 6, 24 * 60, 24 * 60 + 1)]
    for owner in (account_id, other):
        with database.write() as tx:
            tx.ledger.add(ledger.credit(None, Decimal(99), account_id=owner, now=midnight))
    for number, (model, usd, held_at, refunded_at) in enumerate(moves):
        run = make_run(number, account_id, model=model, held=Decimal(usd), deleted_at=midnight)
        with database.write() as tx:
            tx.runs.add(run)
            for minute in (held_at, refunded_at):
                last = tx.ledger.last(account_id, lock=True)
                now = midnight + timedelta(minutes=minute or 0)
                if minute is held_at:
                    entry = ledger.hold(last, run.held, account_id=account_id, run_id=run.id, now=now)
                    tx.ledger.add(entry)
                elif minute is not None:
                    assert last is not None
                    tx.ledger.add(ledger.refund(last, held=run.held, run_id=run.id, now=now))

    with database.read() as tx:
        day = timedelta(days=1)
        all_days = tx.ledger.spent(account_id, since=midnight - day, before=midnight + 9 * day)
        one_day = tx.ledger.spent(account_id, since=midnight, before=midnight + day)
        nobodys = tx.ledger.spent(other, since=midnight - day, before=midnight + 9 * day)

    yesterday, today = date(2026, 11, 20), date(2026, 11, 21)
    assert one_day == [
        Spent(day=today, model="a", amount=Decimal(-1)),
        Spent(day=today, model="b", amount=Decimal(-3)),
    ]
    assert all_days == [
        Spent(day=yesterday, model="a", amount=Decimal(5)),
        Spent(day=yesterday, model="b", amount=Decimal(3)),
        *one_day,
    ]
    assert nobodys == []


def test_runs_are_counted_by_model_since_a_time_also_those_that_were_removed(database: SqlDatabase) -> None:
    account_id = open_account(database)
    runs = [
        make_run(1, account_id, model="a", created_at=NOW - TICK),
        make_run(2, account_id, model="a", created_at=NOW),
        make_run(3, account_id, model="a", created_at=NOW + HOUR, deleted_at=NOW + HOUR),
        make_run(4, account_id, model="b", created_at=NOW),
    ]
    with database.write() as tx:
        for run in runs:
            tx.runs.add(run)

    with database.read() as tx:
        assert tx.runs.counted(account_id, since=NOW) == {"a": 2, "b": 1}
        assert tx.runs.counted(AccountId("nobody"), since=NOW) == {}


def test_of_many_who_mark_a_database_at_once_one_is_right_for_all(database: SqlDatabase) -> None:
    barrier = threading.Barrier(8)

    def make(number: int) -> str:
        barrier.wait()
        with database.write() as tx:
            return tx.installation.make_mark(f"{number}" * 32).id

    with database.read() as tx:
        assert tx.installation.mark() is None
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(make, range(8)))

    with database.read() as tx:
        mark = tx.installation.mark()
    assert mark is not None
    assert made == {mark.id}
    with database.write() as tx:
        assert [tx.installation.advance(above=above).generation for above in (0, 0, 7)] == [1, 2, 8]
