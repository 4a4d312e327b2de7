"""Imports: a file of somebody's server becomes an asset, whatever that server, the store or the worker do meanwhile."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.domain.errors import (
    AssetNotFound,
    FileNotStored,
    IdempotencyMismatch,
    InvalidField,
    ObjectStoreUnavailable,
    UploadNotCompletable,
)
from penstock.domain.idempotency import idempotent_request
from penstock.domain.ids import format_prefixed
from penstock.domain.jobs import LEASE
from penstock.domain.quotas import Limits
from penstock.domain.uploads import TypePolicy, UploadMethod, UploadPolicy, UploadState
from penstock.ports.jobs import LeaseLostError
from penstock.services.imports import NewImport
from tests.support.core import HOUR, PART_BYTES, PNG
from tests.support.remote import Remote, Visit, remote_server, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from penstock.domain.uploads import Upload
    from tests.support.core import Core

LARGE = PNG + bytes(range(251)) * 43_000  # two parts and a bit
OTHER = PNG + bytes(reversed(range(251))) * 43_000
POLICY = UploadPolicy(max_bytes=2**31, url_ttl=HOUR, fetch_ttl=24 * HOUR, type_policy=TypePolicy.REFUSE)


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        yield running


@pytest.fixture
def acme(core: Core) -> AccountId:
    return core.open_account()


def begin(core: Core, acme: AccountId, url: str, **wanted: Any) -> Upload:  # noqa: ANN401 - fields of `NewImport`
    return core.imports.begin_import(acme, NewImport(dialect="native", source_url=url, **wanted), POLICY)


def now(core: Core, upload: Upload) -> Upload:
    return core.uploads.get(upload.account_id, upload.id)


def asset_of(core: Core, upload: Upload) -> Asset:
    asset_id = now(core, upload).asset_id
    assert asset_id is not None
    return core.assets.get(upload.account_id, asset_id)


def content(core: Core, upload: Upload) -> bytes:
    return b"".join(core.objects.read(asset_of(core, upload).object_key))


def told(core: Core, upload: Upload, kind: str) -> list[dict[str, Any]]:
    with core.database.read() as tx:
        events = tx.events.after(upload.account_id, upload.id, 0, limit=1000)
    return [dict(event.data) for event in events if event.kind.value == kind]


def files(core: Core) -> list[str]:
    """The objects in the store, but for thumbnails."""
    return [key for key in core.keys("") if not key.startswith("thumbs/")]


def has_parts(core: Core) -> bool:
    """Whether there are parts that no object was made of."""
    return any(core.objects.multiparts.all(""))


def work(core: Core, *, rounds: int = 40) -> None:
    """Everything that waits, each rest cut short."""
    for _ in range(rounds):
        core.worker.drain()
        core.intake_worker.drain()
        due = core.queue.next_due(kinds=("asset_fetch", "asset_intake"))
        if due is None:
            return
        core.clock.advance(max(timedelta(0), due - core.clock.now()))


def assert_whole(core: Core, upload: Upload, data: bytes = LARGE) -> None:
    """The asset has these bytes, and nothing else is left: no job, no other object, no parts."""
    work(core)
    assert now(core, upload).state is UploadState.READY, now(core, upload).failure
    asset = asset_of(core, upload)
    assert content(core, upload) == data
    assert (asset.size, asset.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert files(core) == [asset.object_key]
    assert not has_parts(core)
    assert not core.has_jobs()


def test_a_small_file_becomes_an_asset(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/a/photo%20one.png", serving(PNG))
    upload = begin(core, acme, remote.url("/a/photo%20one.png?signature=secret"))
    assert (upload.method, upload.state, upload.name) == (UploadMethod.FETCH, UploadState.PENDING, "photo one.png")

    assert_whole(core, upload, PNG)

    assert asset_of(core, upload).content_type == "image/png"
    assert core.events(acme, upload.id) == ["upload.progress", "upload.stored", "upload.ready"]
    assert told(core, upload, "upload.progress") == [{"received": 0, "size": len(PNG)}]


def test_a_large_file_comes_in_parts_and_its_hash_is_known_at_once(core_on_each_database: Core, remote: Remote) -> None:
    core = core_on_each_database
    acme = core.open_account()
    core.objects.tells_sha256 = False
    remote.on("/file", serving(LARGE))
    upload = begin(core, acme, remote.url())

    core.worker.drain(limit=1)

    assert now(core, upload).state is UploadState.READY
    assert_whole(core, upload)
    assert now(core, upload).final_key == asset_of(core, upload).object_key


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
def test_files_of_every_size_come_whole(core: Core, acme: AccountId, remote: Remote, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    remote.on("/file", serving(data))

    assert_whole(core, begin(core, acme, remote.url()), data)


def test_a_file_of_unknown_size_comes_whole(core: Core, acme: AccountId, remote: Remote) -> None:
    def chunked(visit: Visit) -> None:
        visit.head("200 OK", Transfer_Encoding="chunked")
        visit.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LARGE), LARGE))

    remote.on("/file", chunked)

    assert_whole(core, begin(core, acme, remote.url()))


def test_the_queries_secret_is_kept_only_as_long_as_it_is_needed(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", serving(PNG))
    kept = begin(core, acme, remote.url("/file?signature=secret"))
    refused = begin(core, acme, remote.url("/nothing?signature=secret"))
    given_up = begin(core, acme, remote.url("/file?signature=secret"))
    core.uploads.abort_upload(acme, given_up.id)
    assert now(core, kept).source_url == remote.url("/file?signature=secret")

    work(core)

    assert now(core, kept).source_url == now(core, given_up).source_url == remote.url("/file")
    assert now(core, refused).source_url == remote.url("/nothing")


def test_the_name_the_type_and_the_life_may_be_given(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", serving(PNG))
    upload = begin(core, acme, remote.url(), filename="../me.png", content_type="image/png", lifetime=HOUR)

    assert_whole(core, upload, PNG)

    asset = asset_of(core, upload)
    assert (asset.name, asset.declared_type) == ("me.png", "image/png")
    assert asset.expires_at is not None


def test_a_repeat_under_one_key_is_one_import(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", serving(PNG))

    def ask(url: str) -> Upload:
        same = idempotent_request("key", {"url": url})
        return core.imports.begin_import(acme, NewImport(dialect="native", source_url=url), POLICY, idempotency=same)

    first = ask(remote.url())

    assert ask(remote.url()) == first
    with pytest.raises(IdempotencyMismatch):
        ask(remote.url("/other"))
    before = len(remote.visits)
    work(core)
    assert len(remote.visits) == before + 1


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/x", "http://user@a.example/", "http://0x7f.1/", "http://169.254.169.254/", "http://10.0.0.1/x"],
)
def test_a_url_that_is_never_fetched_is_refused_when_it_is_asked_for(core: Core, acme: AccountId, url: str) -> None:
    with pytest.raises(InvalidField) as raised:
        begin(core, acme, url)

    assert raised.value.path == ("source_url",)
    assert not core.has_jobs()


def test_before_its_bytes_are_there_an_import_is_no_file(core: Core, acme: AccountId, remote: Remote) -> None:
    upload = begin(core, acme, remote.url())

    with pytest.raises(FileNotStored):
        core.uploads.complete_upload(acme, upload.id)
    with pytest.raises(AssetNotFound):
        core.references.resolve(acme, format_prefixed("asset", upload.id), path=())


def test_a_type_that_is_not_the_declared_one_is_refused_before_the_body_moves(
    core: Core, acme: AccountId, remote: Remote
) -> None:
    sent = 0

    def page(visit: Visit) -> None:
        nonlocal sent
        visit.head("200 OK", Content_Length=str(2**30))
        with suppress(OSError):
            while not visit.gone.is_set():
                visit.send(b"<!doctype html><title>Please log in</title>" * 1000)
                sent += 43_000

    remote.on("/file", page)
    upload = begin(core, acme, remote.url(), content_type="image/png")

    work(core)

    assert now(core, upload).state is UploadState.FAILED
    assert now(core, upload).failure == "the file was declared image/png, but its bytes are text/html (HTML page)"
    assert told(core, upload, "upload.failed")[0]["code"] == "file_type_mismatch"
    assert sent < 2**26
    assert (files(core), core.has_jobs()) == ([], False)


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_that_is_too_large_is_refused(core: Core, acme: AccountId, remote: Remote, *, announced: bool) -> None:
    def large(visit: Visit) -> None:
        visit.head("200 OK", **({"Content_Length": str(len(LARGE))} if announced else {}))
        with suppress(OSError):
            visit.send(LARGE)

    remote.on("/file", large)
    small = UploadPolicy(max_bytes=len(LARGE) - 1, url_ttl=HOUR)
    wanted = NewImport(dialect="native", source_url=remote.url())
    upload = core.imports.begin_import(acme, wanted, small)

    work(core)

    assert now(core, upload).state is UploadState.FAILED
    assert told(core, upload, "upload.failed")[0]["code"] == "file_too_large"
    assert (files(core), has_parts(core), core.has_jobs()) == ([], False, False)


@pytest.mark.parametrize("data", [PNG, LARGE])
def test_a_hash_that_was_asked_for_is_checked_before_the_asset_is_there(
    core: Core, acme: AccountId, remote: Remote, data: bytes
) -> None:
    remote.on("/file", serving(data))
    right = begin(core, acme, remote.url(), sha256=hashlib.sha256(data).hexdigest())
    wrong = begin(core, acme, remote.url(), sha256="0" * 64)

    work(core)

    assert now(core, right).state is UploadState.READY
    assert (now(core, wrong).state, now(core, wrong).asset_id) == (UploadState.FAILED, None)
    assert told(core, wrong, "upload.failed")[0]["code"] == "file_hash_mismatch"
    assert files(core) == [asset_of(core, right).object_key]
    assert not has_parts(core)


def test_a_broken_connection_is_followed_by_the_next_one_at_once(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", serving(LARGE, cut=2 * 2**20 + 5), serving(LARGE))
    before = len(remote.visits)
    upload = begin(core, acme, remote.url())

    core.worker.drain(limit=1)

    first, second = remote.visits[before:]
    assert "range" not in first.headers
    assert int(second.headers["range"].removeprefix("bytes=").removesuffix("-")) > 2**20
    assert second.headers["if-range"] == '"v1"'
    assert_whole(core, upload)


def test_a_source_that_fails_for_a_while_is_asked_again_later(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on(
        "/file",
        lambda visit: visit.answer("503 Service Unavailable", Retry_After="120"),
        Visit.reset,
        serving(LARGE),
    )
    upload = begin(core, acme, remote.url())
    began = core.clock.now()

    core.worker.drain()

    (first,) = told(core, upload, "upload.delayed")
    assert first["code"] == "source_failed"
    assert first["retry_at"] == (began + timedelta(seconds=120)).isoformat()
    assert_whole(core, upload)
    assert core.events(acme, upload.id).count("upload.delayed") == 2


def test_parts_that_are_there_are_not_fetched_again(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", serving(LARGE, cut=PART_BYTES + 7), Visit.reset, serving(LARGE))
    before = len(remote.visits)
    upload = begin(core, acme, remote.url())

    core.worker.drain(limit=1)
    assert core.events(acme, upload.id)[-1] == "upload.delayed"
    assert_whole(core, upload)

    ranges = [visit.headers.get("range") for visit in remote.visits[before:]]
    assert ranges == [None, f"bytes={PART_BYTES + 7}-", f"bytes={PART_BYTES}-"]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(serving(OTHER, etag='"v2"'), id="another version"),
        pytest.param(serving(OTHER, etag='"v1"', ranges=False), id="no ranges"),
        pytest.param(serving(OTHER, etag=None), id="no version"),
    ],
)
@pytest.mark.parametrize("between", [(), (Visit.reset,)], ids=["in one attempt", "in two attempts"])
def test_two_versions_are_never_spliced(
    core: Core,
    acme: AccountId,
    remote: Remote,
    second: Callable[[Visit], None],
    between: tuple[Callable[[Visit], None], ...],
) -> None:
    remote.on("/file", serving(LARGE, cut=2 * PART_BYTES), *between, second)

    assert_whole(core, begin(core, acme, remote.url()), OTHER)


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_strong_version_all_begins_anew(
    core: Core, acme: AccountId, remote: Remote, etag: str | None
) -> None:
    remote.on("/file", serving(LARGE, etag=etag, cut=2 * PART_BYTES), serving(OTHER, etag=etag))
    upload = begin(core, acme, remote.url())

    assert_whole(core, upload, OTHER)

    assert "range" not in remote.visits[-1].headers


def test_a_source_that_says_no_ends_the_import(core: Core, acme: AccountId, remote: Remote) -> None:
    upload = begin(core, acme, remote.url("/nothing?signature=secret"))

    core.worker.drain()

    assert now(core, upload).state is UploadState.FAILED
    assert now(core, upload).failure == f"127.0.0.1:{remote.port} answered 404 (Not Found)"
    assert not core.has_jobs()
    with pytest.raises(UploadNotCompletable):
        core.uploads.complete_upload(acme, upload.id)


def test_a_place_that_cannot_be_reached_is_given_up_within_minutes(core: Core, acme: AccountId) -> None:
    upload = begin(core, acme, "http://nowhere.invalid/file")
    began = core.clock.now()

    work(core)

    assert now(core, upload).failure == "nowhere.invalid cannot be reached"
    assert told(core, upload, "upload.failed")[0]["code"] == "source_unreachable"
    assert core.clock.now() - began < timedelta(minutes=2)


def test_a_source_that_always_breaks_off_is_given_up_in_the_end(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", serving(LARGE, cut=250_000))
    upload = begin(core, acme, remote.url())

    work(core)

    assert now(core, upload).state is UploadState.FAILED
    assert "broke" in (now(core, upload).failure or "")
    assert core.events(acme, upload.id).count("upload.delayed") == 11


def test_an_import_whose_time_is_over_fails(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", lambda visit: visit.answer("503 Service Unavailable"))
    upload = begin(core, acme, remote.url())
    core.worker.drain()
    core.clock.advance(25 * HOUR)

    work(core)

    assert now(core, upload).state is UploadState.FAILED
    assert not core.has_jobs()


def test_the_sweep_ends_an_import_that_no_worker_ended(core: Core, acme: AccountId, remote: Remote) -> None:
    upload = begin(core, acme, remote.url())
    core.clock.advance(26 * HOUR)

    core.uploads.expire_overdue(limit=10)
    work(core)

    assert now(core, upload).state is UploadState.EXPIRED
    assert not core.has_jobs()


def limit_bytes(core: Core, acme: AccountId, limit: int) -> None:
    with core.database.write() as tx:
        tx.quotas.set_limits(acme, Limits(bytes=limit))


@pytest.mark.parametrize("announced", [True, False])
def test_an_account_without_room_for_the_file_is_told_so(
    core: Core, acme: AccountId, remote: Remote, *, announced: bool
) -> None:
    def sending(visit: Visit) -> None:
        visit.head("200 OK", **({"Content_Length": str(len(LARGE))} if announced else {}))
        with suppress(OSError):
            visit.send(LARGE)

    remote.on("/file", sending)
    limit_bytes(core, acme, len(LARGE) - 1)
    upload = begin(core, acme, remote.url())

    work(core)

    assert now(core, upload).state is UploadState.FAILED
    assert told(core, upload, "upload.failed")[0]["code"] == "quota_exceeded"
    assert (files(core), has_parts(core), core.has_jobs()) == ([], False, False)
    assert bool(told(core, upload, "upload.progress")) is not announced


def test_while_it_comes_a_file_takes_its_room(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", serving(LARGE))
    limit_bytes(core, acme, len(LARGE))
    first, second = begin(core, acme, remote.url()), begin(core, acme, remote.url())
    core.objects.before["put_part"] = lambda: core.worker.drain(limit=1)

    core.worker.drain(limit=1)
    core.objects.before.clear()

    assert told(core, second, "upload.failed")[0]["code"] == "quota_exceeded"
    assert_whole(core, first)


def silent_after(data: bytes, size: int) -> Callable[[Visit], None]:
    def handle(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(size), ETag='"v1"')
        visit.send(data)
        visit.stay_silent()

    return handle


def test_giving_up_an_import_stops_it_and_leaves_nothing(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", silent_after(LARGE[: 2 * PART_BYTES], len(LARGE)))
    upload = begin(core, acme, remote.url())
    core.objects.before["put_part"] = lambda: core.uploads.abort_upload(acme, upload.id)

    work(core)

    assert now(core, upload).state is UploadState.ABORTED
    assert (files(core), has_parts(core), core.has_jobs()) == ([], False, False)
    assert core.events(acme, upload.id)[-1] == "upload.aborted"


def test_a_stop_of_the_server_hands_the_job_back_and_the_next_one_goes_on(
    core: Core, acme: AccountId, remote: Remote
) -> None:
    remote.on("/file", silent_after(LARGE[: 2 * PART_BYTES + 9], len(LARGE)), serving(LARGE))
    upload = begin(core, acme, remote.url())
    core.objects.before["put_part"] = core.interrupt.set

    core.worker.drain(limit=1)
    core.interrupt.clear()
    core.objects.before.clear()

    assert core.has_jobs()
    assert_whole(core, upload)
    assert remote.visits[-1].headers["range"] == f"bytes={2 * PART_BYTES}-"


STEPS = ("begin", "put_part", "complete", "peek", "delete")


@pytest.mark.parametrize("verb", STEPS)
@pytest.mark.parametrize("sha256", [None, hashlib.sha256(LARGE).hexdigest()])
def test_a_death_at_any_step_ends_in_the_same_state(
    core: Core, acme: AccountId, remote: Remote, verb: str, sha256: str | None
) -> None:
    def die() -> None:
        core.objects.before.clear()
        raise Crash

    remote.on("/file", serving(LARGE))
    upload = begin(core, acme, remote.url(), sha256=sha256)
    core.objects.before[verb] = die

    with pytest.raises(Crash):
        core.worker.drain()
    core.clock.advance(LEASE)

    assert_whole(core, upload)
    assert core.events(acme, upload.id).count("upload.stored") == 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_death_between_parts_goes_on_behind_the_last_one(
    core: Core, acme: AccountId, remote: Remote, count: int
) -> None:
    """After `count` parts were stored, before the worker could note anything."""
    put = 0

    def die() -> None:
        nonlocal put
        put += 1
        if put > count:
            core.objects.before.clear()
            raise Crash

    remote.on("/file", serving(LARGE))
    upload = begin(core, acme, remote.url())
    core.objects.before["put_part"] = die

    with pytest.raises(Crash):
        core.worker.drain()
    core.clock.advance(LEASE)
    assert_whole(core, upload)

    assert remote.visits[-1].headers["range"] == f"bytes={count * PART_BYTES}-"


def test_a_death_after_the_object_was_made_needs_the_source_no_more(
    core: Core, acme: AccountId, remote: Remote
) -> None:
    def die() -> None:
        core.objects.before.clear()
        raise Crash

    remote.on("/file", serving(LARGE), Visit.reset)
    upload = begin(core, acme, remote.url())
    core.objects.before["peek"] = die

    with pytest.raises(Crash):
        core.worker.drain()
    core.clock.advance(LEASE)

    assert_whole(core, upload)


def test_a_worker_that_lost_its_job_admits_nothing(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/file", serving(LARGE))
    upload = begin(core, acme, remote.url())
    late = core.claim()

    def overtaken() -> None:
        core.objects.before.clear()
        core.clock.advance(LEASE)
        core.claim()

    core.objects.before["complete"] = overtaken

    with pytest.raises(LeaseLostError):
        core.fetch.run(late)

    assert now(core, upload).state is UploadState.PENDING
    core.clock.advance(LEASE)
    assert_whole(core, upload)


def test_a_store_that_is_away_is_waited_for(core: Core, acme: AccountId, remote: Remote) -> None:
    failures = 0

    def fail() -> None:
        nonlocal failures
        failures += 1
        if failures <= 3:
            raise ObjectStoreUnavailable("the store does not answer")

    remote.on("/file", serving(LARGE))
    upload = begin(core, acme, remote.url())
    core.objects.before["put_part"] = fail

    assert_whole(core, upload)


def test_a_job_that_kills_its_workers_ends_the_import(core: Core, acme: AccountId, remote: Remote) -> None:
    def die() -> None:
        raise Crash

    remote.on("/file", serving(LARGE))
    upload = begin(core, acme, remote.url("/file?signature=secret"))
    core.objects.before["put_part"] = die
    for _ in range(8):
        with pytest.raises(Crash):
            core.worker.drain()
        core.clock.advance(LEASE)

    core.worker.drain()

    assert now(core, upload).state is UploadState.FAILED
    assert now(core, upload).source_url == remote.url("/file")
    assert len(core.queue.dead(limit=10)) == 1
