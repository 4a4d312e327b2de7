"""Quotas: counted where things change, exact whoever races, given back when it is over (F35)."""

from __future__ import annotations

import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import (
    AccountNotFound,
    FileTypeMismatch,
    InvalidField,
    PenstockError,
    QuotaExceeded,
    UploadNotCompletable,
)
from penstock.domain.quotas import NO_LIMIT, Limits, Usage
from penstock.domain.runs import RunState
from penstock.domain.uploads import SizePolicy, TypePolicy, Upload, UploadState
from penstock.ports.runners import OutputFile
from tests.support.core import HOUR, PNG, POLICY, at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.domain.ids import AccountId
    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.core import Core

SIZE = len(PNG)
ADVISORY = replace(POLICY, size_policy=SizePolicy.ADVISORY)
REFUSING = replace(POLICY, type_policy=TypePolicy.REFUSE)
NOTHING = Usage()
ONE_FILE = Usage(bytes=SIZE, files=1)
INLINE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAAC0lEQVR42mNgAAIAAAUAAen63NgAAAAASUVORK5CYII="
)


def usage(core: Core, account_id: AccountId) -> Usage:
    return core.quotas.get(account_id).usage


def limit(core: Core, **limits: int) -> None:
    core.quotas.set_limits("acme", Limits(**limits))


def recounted(core: Core) -> bool:
    """Whether counting everything anew finds what was kept."""
    return all(before == after for _, before, after in core.quotas.recount())


# --- what counts


def test_an_open_upload_holds_a_place_and_the_bytes_that_were_declared(core: Core) -> None:
    acme = core.open_account()

    core.begin(acme, size=SIZE)
    core.begin(acme)

    assert usage(core, acme) == Usage(reserved=SIZE, open_uploads=2)


def test_what_is_set_aside_can_follow_what_becomes_known(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    limit(core, bytes=2 * SIZE)
    upload = core.begin(acme)

    def reserve(size: int) -> None:
        with core.database.write() as tx:
            tx.uploads.reserve(upload, size)

    for size in (SIZE, 2 * SIZE, 2 * SIZE, SIZE):
        reserve(size)
        assert usage(core, acme) == Usage(reserved=size, open_uploads=1)
    with pytest.raises(QuotaExceeded):
        reserve(2 * SIZE + 1)
    assert usage(core, acme).reserved == SIZE

    core.uploads.abort_upload(acme, upload.id)
    reserve(SIZE)  # too late

    assert usage(core, acme) == NOTHING
    assert recounted(core)


@pytest.mark.parametrize("declared", [SIZE, None])
def test_an_admitted_upload_takes_what_was_measured(core: Core, declared: int | None) -> None:
    acme = core.open_account()

    core.upload(acme, size=declared)

    assert usage(core, acme) == ONE_FILE
    assert recounted(core)


def test_an_upload_that_comes_to_nothing_gives_everything_back(core: Core) -> None:
    acme = core.open_account()
    aborted, _overdue, refused = (core.begin(acme, size=SIZE, policy=REFUSING) for _ in range(3))
    core.put(refused, b"%PDF-1.7".ljust(SIZE))

    core.uploads.abort_upload(acme, aborted.id)
    core.uploads.abort_upload(acme, aborted.id)
    with pytest.raises(FileTypeMismatch):
        core.uploads.complete_upload(acme, refused.id)
    core.clock.advance(4 * HOUR)
    core.uploads.expire_overdue(limit=10)

    assert usage(core, acme) == NOTHING
    assert recounted(core)


def test_a_deleted_file_counts_until_its_bytes_go(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)

    core.assets.delete(acme, asset.id)
    in_the_trash = usage(core, acme)
    core.clock.advance(timedelta(days=400))
    core.purging.purge(limit=10)
    purged = usage(core, acme)
    core.clock.advance(timedelta(days=400))
    core.purging.forget(limit=10)

    assert (in_the_trash, purged, usage(core, acme)) == (ONE_FILE, NOTHING, NOTHING)
    assert recounted(core)


def test_bytes_that_files_share_count_once_and_go_with_the_last(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)
    twin = replace(asset, id=type(asset.id)("twin"), media_key=type(asset.media_key)("twin"))
    with core.database.write() as tx:
        tx.assets.add(twin)
    both = usage(core, acme)

    with core.database.write() as tx:
        tx.assets.replace(replace(asset, purged_at=core.clock.now()))
    one = usage(core, acme)
    with core.database.write() as tx:
        tx.assets.replace(replace(twin, purged_at=core.clock.now()))

    assert (both, one, usage(core, acme)) == (Usage(bytes=SIZE, files=2), ONE_FILE, NOTHING)
    assert recounted(core)


def test_two_that_share_bytes_and_go_at_once_give_them_back_once(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    asset = core.upload(acme)
    sharers = [asset]
    for name in ("second", "third", "fourth"):
        twin = replace(asset, id=type(asset.id)(name), media_key=type(asset.media_key)(name))
        with core.database.write() as tx:
            tx.assets.add(twin)
        sharers.append(twin)
    turns = iter(sharers)
    lock = threading.Lock()

    def purge() -> None:
        with lock:
            mine = next(turns)
        with core.database.write() as tx:
            tx.assets.replace(replace(mine, purged_at=core.clock.now()))

    assert at_once(4, purge) == [None] * 4
    assert usage(core, acme) == NOTHING


def test_a_data_uri_counts_as_a_file(core: Core) -> None:
    acme = core.open_account()

    kept = core.references.resolve(acme, INLINE, path=("image",))

    assert usage(core, acme) == Usage(bytes=kept.size, files=1)


# --- what fits


def test_of_a_hundred_uploads_with_room_for_one_one_is_begun(core_on_each_database: Core) -> None:  # F35
    core = core_on_each_database
    acme = core.open_account()
    limit(core, bytes=2 * SIZE - 1)

    begun = at_once(100, lambda: core.begin(acme, size=SIZE))

    assert sum(isinstance(one, Upload) for one in begun) == 1
    assert sum(isinstance(one, QuotaExceeded) for one in begun) == 99
    assert usage(core, acme) == Usage(reserved=SIZE, open_uploads=1)


def test_room_is_there_again_when_a_reservation_has_expired(core: Core) -> None:  # F35
    acme = core.open_account()
    limit(core, bytes=SIZE)
    core.begin(acme, size=SIZE)
    with pytest.raises(QuotaExceeded):
        core.begin(acme, size=1)

    core.clock.advance(4 * HOUR)
    core.uploads.expire_overdue(limit=10)

    assert core.begin(acme, size=SIZE).state is UploadState.PENDING


@pytest.mark.parametrize("limits", [{"bytes": SIZE - 1}, {"files": 0}, {"open_uploads": 0}])
def test_an_upload_that_does_not_fit_leaves_nothing(core: Core, limits: dict[str, int]) -> None:
    acme = core.open_account()
    limit(core, **limits)

    with pytest.raises(QuotaExceeded):
        core.begin(acme, size=SIZE)

    assert core.uploads.page(acme, cursor=None, limit=10).items == []
    assert usage(core, acme) == NOTHING


def test_bytes_of_unknown_size_that_do_not_fit_are_refused_and_removed(core: Core) -> None:
    acme = core.open_account()
    limit(core, bytes=SIZE - 1)
    upload = core.begin(acme)
    core.put(upload)

    with pytest.raises(QuotaExceeded):
        core.uploads.complete_upload(acme, upload.id)

    ended = core.uploads.get(acme, upload.id)
    assert (ended.state, ended.failure) == (
        UploadState.FAILED,
        f"this needs {SIZE} more bytes; 0 of {SIZE - 1} are taken",
    )
    assert core.events(acme, upload.id) == ["upload.failed"]
    assert core.keys("assets/") == []
    assert usage(core, acme) == NOTHING
    with pytest.raises(UploadNotCompletable):
        core.uploads.complete_upload(acme, upload.id)


def test_more_bytes_than_a_hint_said_must_fit_too(core: Core) -> None:
    acme = core.open_account()
    limit(core, bytes=SIZE - 1)
    upload = core.begin(acme, size=1, policy=ADVISORY)
    core.put(upload)

    with pytest.raises(QuotaExceeded):
        core.uploads.complete_upload(acme, upload.id)

    assert usage(core, acme) == NOTHING


def test_what_was_promised_at_the_beginning_is_kept_though_the_limit_was_lowered(core: Core) -> None:
    acme = core.open_account()
    upload = core.begin(acme, size=SIZE)
    core.put(upload)

    limit(core, bytes=0, files=0, open_uploads=0)

    assert core.uploads.complete_upload(acme, upload.id).size == SIZE
    assert usage(core, acme) == ONE_FILE


def test_a_data_uri_that_does_not_fit_is_refused_and_removed(core: Core) -> None:
    acme = core.open_account()
    limit(core, files=0)

    with pytest.raises(QuotaExceeded):
        core.references.resolve(acme, INLINE, path=("image",))

    assert core.keys() == []


def test_the_output_of_a_run_is_kept_and_counted_though_it_does_not_fit(core: Core) -> None:
    acme = core.open_account()

    def paint(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        path = context.workdir / "out.png"
        path.write_bytes(PNG)
        return {"image": OutputFile(path=path, name="out.png", content_type="image/png")}

    core.models.behaviours["model"] = paint
    limit(core, bytes=0, files=0)
    run = core.submit(acme, text="a lake")

    core.run_flow.run(core.claim())

    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert usage(core, acme) == ONE_FILE
    with pytest.raises(QuotaExceeded):
        core.begin(acme)


def test_an_upload_under_a_known_key_is_not_counted_again(core: Core) -> None:
    from penstock.domain.idempotency import IdempotentRequest  # noqa: PLC0415 - of this test alone

    acme = core.open_account()
    limit(core, open_uploads=1)
    same = IdempotentRequest(key="k", fingerprint="f")

    first = core.begin(acme, size=SIZE, idempotency=same)
    again = core.begin(acme, size=SIZE, idempotency=same)

    assert again == first
    assert usage(core, acme) == Usage(reserved=SIZE, open_uploads=1)


def test_one_account_takes_nothing_of_another(core: Core) -> None:
    acme, zenith = core.open_account(), core.open_account("zenith")
    limit(core, files=0)

    core.upload(zenith)

    assert (usage(core, acme), usage(core, zenith)) == (NOTHING, ONE_FILE)


# --- limits


def test_limits_that_say_nothing_stay_and_a_reset_forgets_all(core: Core) -> None:
    acme = core.open_account()

    core.quotas.set_limits("acme", Limits(bytes=5))
    core.quotas.set_limits("acme", Limits(files=NO_LIMIT))

    assert core.quotas.get(acme).own == Limits(bytes=5, files=NO_LIMIT)
    assert core.quotas.reset_limits("acme").own == Limits()


def test_limits_of_nobody_and_limits_below_zero_are_refused(core: Core) -> None:
    core.open_account()

    with pytest.raises(AccountNotFound):
        core.quotas.set_limits("nobody", Limits(bytes=5))
    with pytest.raises(InvalidField):
        core.quotas.set_limits("acme", Limits(bytes=-5))


def test_recounting_corrects_what_went_wrong(core: Core) -> None:
    from sqlalchemy import text  # noqa: PLC0415 - of this test alone

    acme = core.open_account()
    core.upload(acme)
    core.begin(acme, size=7)
    with core.database.gate.write() as connection:
        connection.execute(text("UPDATE account_quotas SET bytes = 1, files = -4, reserved = 9, open_uploads = 0"))

    ((name, before, after),) = core.quotas.recount()

    right = Usage(bytes=SIZE, files=1, reserved=7, open_uploads=1)
    assert (name, before, after) == ("acme", Usage(bytes=1, files=-4, reserved=9), right)
    assert usage(core, acme) == right


# --- all at once


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_storm_the_count_is_what_is_there_and_no_limit_was_ever_exceeded(
    core_on_each_database: Core, seed: int
) -> None:
    core = core_on_each_database
    acme = core.open_account()
    limit(core, bytes=12 * SIZE, files=14, open_uploads=6)
    storm = _Storm(core, acme)
    chances = random.Random(seed)  # noqa: S311 - a repeatable storm
    seeds = [chances.random() for _ in range(6)]

    with ThreadPoolExecutor(6) as pool:
        overs = list(pool.map(storm.blow, seeds))

    assert overs == [0] * 6
    assert storm.refused
    assert recounted(core)
    final = usage(core, acme)
    assert final.bytes + final.reserved <= 12 * SIZE
    assert final.files > 0


_SHA256 = hashlib.sha256(PNG).hexdigest()
_HALF = 0.5


class _Storm:
    """Everything that can happen to uploads and assets, in any order, by many at once."""

    def __init__(self, core: Core, account_id: AccountId) -> None:
        self._core = core
        self._account_id = account_id
        self._uploads: list[Upload] = []
        self.refused = 0

    def blow(self, seed: float) -> int:
        """How often a limit was seen exceeded."""
        chances = random.Random(seed)  # noqa: S311 - a repeatable storm
        deeds: list[Callable[[random.Random], object]] = [
            self._begin, self._begin, self._complete, self._complete, self._abort, self._refuse, self._delete,
            self._sweep, self._inline, self._instant, self._instant,
        ]  # fmt: skip
        overs = 0
        for _ in range(40):
            try:
                chances.choice(deeds)(chances)
            except QuotaExceeded:
                self.refused += 1
            except PenstockError:
                pass  # gone, over, or somebody was faster
            seen = self._core.quotas.get(self._account_id)
            taken, limits = seen.usage, seen.limits
            overs += (
                taken.bytes + taken.reserved > (limits.bytes or 0)
                or taken.files + taken.open_uploads > (limits.files or 0)
                or taken.open_uploads > (limits.open_uploads or 0)
                or min(taken.bytes, taken.files, taken.reserved, taken.open_uploads) < 0
            )
        return overs

    def _begin(self, chances: random.Random) -> None:
        size = chances.choice([SIZE, None])
        self._uploads.append(self._core.begin(self._account_id, size=size, policy=REFUSING))

    def _instant(self, chances: random.Random) -> None:
        asset_id = self._core.begin(self._account_id, sha256=_SHA256, lifetime=chances.choice([HOUR, None])).asset_id
        if asset_id is not None and chances.random() < _HALF:
            self._core.assets.delete(self._account_id, asset_id)

    def _complete(self, chances: random.Random) -> None:
        upload = self._one(chances)
        self._core.put(upload)
        self._core.uploads.complete_upload(self._account_id, upload.id)

    def _refuse(self, chances: random.Random) -> None:
        upload = self._one(chances)
        self._core.put(upload, b"%PDF-1.7".ljust(SIZE))
        self._core.uploads.complete_upload(self._account_id, upload.id)

    def _abort(self, chances: random.Random) -> None:
        self._core.uploads.abort_upload(self._account_id, self._one(chances).id)

    def _delete(self, chances: random.Random) -> None:
        asset_id = self._core.uploads.get(self._account_id, self._one(chances).id).asset_id
        if asset_id is not None:
            self._core.assets.delete(self._account_id, asset_id)

    def _inline(self, _chances: random.Random) -> None:
        self._core.references.resolve(self._account_id, INLINE, path=())

    def _sweep(self, chances: random.Random) -> None:
        self._core.clock.advance(timedelta(hours=chances.choice([0, 0, 0, 1, 50])))
        self._core.uploads.expire_overdue(limit=5)
        self._core.purging.purge(limit=5)

    def _one(self, chances: random.Random) -> Upload:
        return chances.choice(self._uploads[-8:]) if self._uploads else self._core.begin(self._account_id)
