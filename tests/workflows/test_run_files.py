"""Files of other servers as inputs of a run: fetched before it begins, or its end with the money back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest

from penstock.domain.egress import EgressRules
from penstock.domain.errors import ReferenceInvalid
from penstock.domain.foreign import FetchManner, InlineRules, ReferenceRules, UrlRules
from penstock.domain.ids import UploadId
from penstock.domain.jobs import LEASE, MAX_ATTEMPTS
from penstock.domain.runs import RunFault, RunState
from penstock.domain.uploads import UploadState
from penstock.services.references import References
from penstock.services.run_terms import RunTerms
from penstock.services.runs import NewRun, Runs
from tests.support.core import EVERYTHING, HOUR, PNG, at_once
from tests.support.remote import Remote, Visit, remote_server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from penstock.domain.runs import Run
    from penstock.ports.runners import FileInput, JsonLike, RunContext
    from tests.support.core import Core

URLS = UrlRules(max_bytes=10_000, max_bytes_by_kind={"image": 1000}, https_only=False, within=HOUR)


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with remote_server() as running:
        running.on("/photo.png", serving(PNG))
        running.on("/large.png", serving(PNG + bytes(1000)))
        running.on("/text", serving(b"no picture at all"))
        yield running


@pytest.fixture
def acme(core: Core) -> AccountId:
    return core.open_account(credits_usd="1")


def submit(core: Core, account_id: AccountId, *, rules: UrlRules = URLS, **inputs: object) -> Run:
    asked = NewRun(dialect="native", model="acme/model", inputs=inputs, references=ReferenceRules(urls=rules))
    return core.runs.submit(account_id, asked)


def work(core: Core, *, rounds: int = 20) -> None:
    """Everything that waits, each rest cut short."""
    for _ in range(rounds):
        core.worker.drain()
        due = core.queue.next_due(kinds=("run", "run_fetch"))
        if due is None:
            return
        core.clock.advance(max(timedelta(0), due - core.clock.now()))


def read_all(inputs: dict[str, JsonLike], context: RunContext) -> JsonLike:
    files = {name: value for name, value in inputs.items() if name != "text"}
    return {name: context.fetch(cast("FileInput", file)).read_bytes().hex() for name, file in files.items()}


def leased(core: Core, run: Run) -> list[Asset]:
    with core.database.read() as tx:
        return list(tx.assets.leased_by(run.id))


def uploads_of(core: Core, run: Run) -> list[UploadState]:
    return [core.uploads.get(run.account_id, UploadId(asset_id)).state for asset_id in run.files.values()]


def assert_refunded(core: Core, run: Run, error: str) -> None:
    ended = core.runs.get(run.account_id, run.id)
    assert (ended.state, ended.fault) == (RunState.FAILED, RunFault.INPUT)
    assert error in (ended.error or "")
    assert core.balance(run.account_id) == Decimal(1)
    assert core.events(run.account_id, run.id)[-1] == "run.failed"
    assert leased(core, run) == []
    assert not core.has_jobs()


def test_a_file_of_another_server_is_fetched_before_the_run_begins(core_on_each_database: Core, remote: Remote) -> None:
    core = core_on_each_database
    acme = core.open_account(credits_usd="1")
    core.models.behaviours["model"] = read_all  # type: ignore[assignment]  # the inputs are a dict
    url = remote.url("/photo.png?signature=secret")

    run = submit(core, acme, image_url=url, text="a dam")

    assert (run.state, run.inputs) == (RunState.QUEUED, {"image_url": url, "text": "a dam"})
    assert core.claim().kind == "run_fetch"
    core.clock.advance(2 * LEASE)
    work(core)
    ended = core.runs.get(acme, run.id)
    assert (ended.state, ended.output) == (RunState.SUCCEEDED, {"image": PNG.hex()})
    assert core.events(acme, run.id) == ["run.queued", "run.log", "run.started", "run.succeeded"]
    (line,) = core.runs.logs(acme, run.id)
    assert line.data["message"] == f"image_url: fetched {len(PNG)} bytes, image/png"
    (asset,) = core.library.page(acme, EVERYTHING, cursor=None, limit=10).items
    assert (asset.id, asset.name, asset.content_type) == (run.files["image"], "photo.png", "image/png")
    assert asset.expires_at is not None
    assert core.uploads.get(acme, UploadId(asset.id)).source_url == remote.url("/photo.png")


def test_a_run_begins_when_the_last_of_its_files_has_come(core: Core, acme: AccountId, remote: Remote) -> None:
    core.models.behaviours["model"] = read_all  # type: ignore[assignment]  # the inputs are a dict
    run = submit(core, acme, image=remote.url("/photo.png"), second=remote.url("/text"))

    core.worker.drain(limit=1)
    assert (core.runs.get(acme, run.id).state, len(leased(core, run))) == (RunState.QUEUED, 1)
    assert core.runs.place_in_queue(run) == 0
    work(core)

    assert core.runs.get(acme, run.id).output == {"image": PNG.hex(), "second": b"no picture at all".hex()}


def test_two_files_that_come_at_once_begin_the_run_once(core_on_each_database: Core, remote: Remote) -> None:
    core = core_on_each_database
    acme = core.open_account(credits_usd="1")
    core.models.behaviours["model"] = read_all  # type: ignore[assignment]  # the inputs are a dict
    run = submit(core, acme, image=remote.url("/photo.png"), second=remote.url("/photo.png"))
    jobs = [core.claim(), core.claim()]

    assert at_once(2, lambda: core.fetch.run(jobs.pop())) == [None, None]

    assert core.worker.drain() == 1
    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert not core.has_jobs()


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/nothing", "image: 127.0.0.1"),
        ("/nothing", "answered 404"),
        ("/text", "image: application/octet-stream is not accepted here; accepted: image"),
        ("/large.png", "more than the 1000 bytes that are allowed"),
    ],
)
def test_a_file_that_cannot_be_had_ends_its_run(
    core: Core, acme: AccountId, remote: Remote, path: str, error: str
) -> None:
    run = submit(core, acme, image=remote.url(path))
    assert core.balance(acme) == Decimal("0.75")

    work(core)

    assert_refunded(core, run, error)


def test_the_limit_of_a_kind_holds_where_a_field_takes_several(core: Core, acme: AccountId, remote: Remote) -> None:
    run = submit(core, acme, second=remote.url("/large.png"))

    work(core)

    assert_refunded(core, run, "second: the file has 1208 bytes; at most 1000 are allowed")


def test_a_file_that_does_not_fit_is_refused_by_its_beginning(core: Core, acme: AccountId, remote: Remote) -> None:
    def endless(visit: Visit) -> None:
        visit.head("200 OK", Content_Length=str(10**9))
        visit.send(b"<!doctype html>" + bytes(2**20))
        visit.stay_silent()

    remote.on("/page", endless)
    rules = UrlRules(max_bytes=2 * 10**9, https_only=False)

    run = submit(core, acme, rules=rules, image=remote.url("/page"))
    work(core)

    assert_refunded(core, run, "is not accepted here; accepted: image")
    assert core.keys() == []


def test_the_files_still_to_come_for_a_failed_run_are_given_up(core: Core, acme: AccountId, remote: Remote) -> None:
    run = submit(core, acme, image=remote.url("/nothing"), second=remote.url("/photo.png"))

    work(core)

    assert_refunded(core, run, "answered 404")
    assert uploads_of(core, run) == [UploadState.FAILED, UploadState.ABORTED]
    assert core.keys("staging/") == []


def test_a_cancelled_run_fetches_no_more(core: Core, acme: AccountId, remote: Remote) -> None:
    run = submit(core, acme, image=remote.url("/photo.png"))
    before = len(remote.visits)

    assert core.runs.cancel(acme, run.id).state is RunState.CANCELLED

    assert uploads_of(core, run) == [UploadState.ABORTED]
    work(core)
    assert len(remote.visits) == before
    assert core.balance(acme) == Decimal(1)
    assert not core.has_jobs()


def test_the_end_of_the_upload_is_the_end_of_the_run(core: Core, acme: AccountId, remote: Remote) -> None:
    run = submit(core, acme, image=remote.url("/photo.png"))
    core.uploads.abort_upload(acme, UploadId(run.files["image"]))

    work(core)

    assert_refunded(core, run, "image: the upload by which the file was to come was given up")


def test_a_file_that_does_not_come_in_time_ends_its_run(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/busy", lambda visit: visit.answer("503 Service Unavailable", Retry_After="3000"))
    run = submit(core, acme, image=remote.url("/busy"))

    work(core)

    assert_refunded(core, run, "answered 503")


def test_a_worker_that_dies_between_two_steps_changes_nothing(core: Core, acme: AccountId, remote: Remote) -> None:
    core.models.behaviours["model"] = read_all  # type: ignore[assignment]  # the inputs are a dict
    run = submit(core, acme, image=remote.url("/photo.png"))

    def die() -> None:
        raise Crash

    for verb in ("put", "copy", "delete"):
        core.objects.before[verb] = die
        with pytest.raises(Crash):
            core.worker.drain()
        del core.objects.before[verb]
        core.clock.advance(2 * LEASE)
    work(core)

    assert core.runs.get(acme, run.id).output == {"image": PNG.hex()}
    assert core.events(acme, run.id).count("run.log") == 1


def test_a_fetch_that_kills_its_worker_again_and_again_ends_the_run(
    core: Core, acme: AccountId, remote: Remote
) -> None:
    run = submit(core, acme, image=remote.url("/photo.png"))
    for _ in range(MAX_ATTEMPTS):
        core.claim()
        core.clock.advance(2 * LEASE)

    work(core)

    ended = core.runs.get(acme, run.id)
    assert (ended.fault, ended.error) == (RunFault.INPUT, "image: the file could not be fetched")
    assert core.balance(acme) == Decimal(1)


def test_the_manner_of_the_product_reaches_the_other_server(core: Core, acme: AccountId, remote: Remote) -> None:
    remote.on("/told.png", serving(PNG, Content_Type="image/png"))
    manner = FetchManner(user_agent="Product API/1", most_redirects=0, asks_first=True, needs_size=True)
    rules = UrlRules(max_bytes=1000, https_only=False, tells_kind=True, manner=manner)
    core.models.behaviours["model"] = read_all  # type: ignore[assignment]  # the inputs are a dict
    fine = submit(core, acme, rules=rules, image=remote.url("/told.png"))
    untold = submit(core, acme, rules=rules, image=remote.url("/photo.png"))

    work(core)

    assert core.runs.get(acme, fine.id).state is RunState.SUCCEEDED
    assert "does not say that it is image" in (core.runs.get(acme, untold.id).error or "")
    told = [visit for visit in remote.visits if visit.target == "/told.png"]
    assert [(visit.method, visit.headers["user-agent"]) for visit in told] == [
        ("HEAD", "Product API/1"),
        ("GET", "Product API/1"),
    ]


def test_a_url_that_a_product_does_not_take_leaves_nothing(core: Core, acme: AccountId, remote: Remote) -> None:
    for rules in (None, UrlRules(max_bytes=1)):
        asked = NewRun(
            dialect="native",
            model="acme/model",
            inputs={"image_url": remote.url("/photo.png")},
            references=ReferenceRules(urls=rules),
        )
        with pytest.raises(ReferenceInvalid) as refused:
            core.runs.submit(acme, asked)
        assert refused.value.at == refused.value.path == ("input", "image_url")

    assert core.balance(acme) == Decimal(1)
    assert not core.has_jobs()
    assert core.uploads.page(acme, cursor=None, limit=10).items == []


def test_private_addresses_are_refused_before_anything_is_queued(core: Core, acme: AccountId, remote: Remote) -> None:
    references = References(
        core.database,
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
    terms = RunTerms(core.catalog, timeout=HOUR, deadline=HOUR)
    runs = Runs(core.database, core.catalog, references, terms=terms, clock=core.clock, entropy=core.entropy)
    asked = NewRun(
        dialect="native",
        model="acme/model",
        inputs={"image": remote.url("/photo.png")},
        references=ReferenceRules(urls=URLS),
    )

    with pytest.raises(ReferenceInvalid) as refused:
        runs.submit(acme, asked)

    assert refused.value.rule == "url_host"
    assert not core.has_jobs()


def test_a_data_uri_is_held_to_the_products_rules(core: Core, acme: AccountId) -> None:
    inline = InlineRules(max_characters={"image": 100})
    asked = NewRun(
        dialect="native",
        model="acme/model",
        inputs={"image": "data:image/png;base64," + "A" * 100},
        references=ReferenceRules(inline=inline),
    )

    with pytest.raises(ReferenceInvalid) as refused:
        core.runs.submit(acme, asked)

    assert (refused.value.rule, refused.value.at) == ("data_uri_length", ("input", "image"))
