"""A run's attempts: whatever happens, it ends once, with a result and its price, or without and with the money back."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.domain.errors import AssetNotFound, ObjectStoreUnavailable, RunnerFailed, RunNotFound
from penstock.domain.ids import AssetId, JobId, RunId
from penstock.domain.jobs import LEASE, MAX_ATTEMPTS
from penstock.domain.runs import RunFault, RunState, output_assets
from penstock.ports.jobs import LeaseLostError
from penstock.ports.runners import FileInput, OutputFile, RunCancelledError
from penstock.services.run_ends import RUN_JOB
from penstock.services.runs import NewRun
from tests.support.core import EVERYTHING, HOUR, PNG, open_core
from tests.support.records import uuid_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from penstock.domain.runs import Run
    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.core import Core

LATER = timedelta(minutes=16)
"""Longer than any pause between two attempts."""


class Crash(BaseException):
    """The process dies here."""


def spelled(asset: Asset) -> str:
    return f"asset_{asset.id.replace('-', '')}"


def picture(context: RunContext, data: bytes = PNG, name: str = "out.png") -> OutputFile:
    path = context.workdir / name
    path.write_bytes(data)
    return OutputFile(path=path, name=name, content_type="application/octet-stream")


def leased(core: Core, run: Run) -> list[str]:
    with core.database.read() as tx:
        return [asset.id for asset in tx.assets.leased_by(run.id)]


def outputs(core: Core, account_id: AccountId, run: Run) -> list[Asset]:
    named = output_assets(core.runs.get(account_id, run.id).output)
    return [core.assets.get(account_id, AssetId(asset_id)) for asset_id in named]


def kinds(core: Core, account_id: AccountId) -> list[str]:
    return [entry.kind.value for entry in core.ledger(account_id)]


def assert_failed_with_the_money_back(core: Core, account_id: AccountId, run: Run, error: str) -> None:
    ended = core.runs.get(account_id, run.id)
    assert (ended.state, ended.cost, ended.output) == (RunState.FAILED, None, None)
    assert ended.error is not None
    assert error in ended.error
    assert kinds(core, account_id) == ["credit", "hold", "refund"]
    assert core.events(account_id, run.id)[-1] == "run.failed"
    assert leased(core, run) == []


# --- success


def test_a_model_is_told_what_its_input_is_and_not_what_it_was_declared(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme, PNG, content_type="image/jpeg")
    core.models.behaviours["model"] = lambda inputs, _: cast("FileInput", inputs["image"]).content_type
    run = core.submit(acme, image=spelled(asset))

    core.worker.drain()

    assert asset.content_type == "image/jpeg"
    assert core.runs.get(acme, run.id).output == "image/png"


@pytest.mark.parametrize(
    ("data", "declared", "content_type", "found"),
    [
        (PNG, "image/jpeg", "image/png", "image/png"),
        (b"<!-- note -->\n# Title\n", "text/markdown", "text/markdown", "text/html"),
        (b"a,b\n", "text/csv", "text/csv", "text/plain"),
        (b"\x00\x01", "video/mp4", "application/octet-stream", "application/octet-stream"),
        (b"\x00\x01", "application/x-own", "application/x-own", "application/octet-stream"),
    ],
)
def test_the_bytes_of_an_output_decide_where_they_do_not_bear_out_its_model(
    core: Core, data: bytes, declared: str, content_type: str, found: str
) -> None:
    acme = core.open_account()
    core.models.behaviours["model"] = lambda _, context: replace(picture(context, data), content_type=declared)
    run = core.submit(acme)

    core.worker.drain()

    (output,) = outputs(core, acme, run)
    assert (output.content_type, output.declared_type, output.found_type) == (content_type, declared, found)


def test_a_run_that_succeeds_has_its_files_and_its_price(core_on_each_database: Core, tmp_path: Path) -> None:
    core = core_on_each_database
    acme = core.open_account(credits_usd="1")
    asset = core.upload(acme, filename="photo.png")
    seen: dict[str, object] = {}

    def model(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        image = inputs["image"]
        assert isinstance(image, FileInput)
        seen.update(text=inputs["text"], bytes=context.fetch(image).read_bytes(), again=context.fetch(image))
        return {"image": picture(context), "more": (picture(context, b"words", "notes.txt"), {"seed": 7}), "none": None}

    core.models.behaviours["model"] = model
    run = core.submit(acme, image=spelled(asset), text="a dam")
    core.clock.advance(timedelta(seconds=2))

    assert core.worker.drain() == 1

    ended = core.runs.get(acme, run.id)
    image, notes = outputs(core, acme, run)
    assert (ended.state, ended.error, ended.cost) == (RunState.SUCCEEDED, None, Decimal("0.25"))
    assert (ended.started_at, ended.finished_at) == (core.clock.now(), core.clock.now())
    assert ended.output == {"image": {"$asset": image.id}, "more": [{"$asset": notes.id}, {"seed": 7}], "none": None}
    assert (image.content_type, image.size, image.sha256) == ("image/png", len(PNG), hashlib.sha256(PNG).hexdigest())
    assert (image.run_id, image.upload_id, image.expires_at) == (run.id, None, None)
    assert (notes.name, notes.content_type) == ("notes.txt", "application/octet-stream")
    assert b"".join(core.objects.read(image.object_key)) == PNG
    assert (seen["text"], seen["bytes"]) == ("a dam", PNG)
    assert core.balance(acme) == Decimal("0.75")
    assert kinds(core, acme) == ["credit", "hold", "settle"]
    assert core.events(acme, run.id) == ["run.queued", "run.started", "run.succeeded"]
    assert leased(core, run) == []
    assert not core.has_jobs()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_free_run_leaves_the_ledger_alone(core: Core) -> None:
    acme = core.open_account(credits_usd="0")
    core.models.behaviours["model"] = lambda _inputs, _context: {"n": 1}
    run = core.submit(acme, "acme/free")

    core.worker.drain()

    assert (core.runs.get(acme, run.id).state, core.ledger(acme)) == (RunState.SUCCEEDED, [])


def test_outputs_live_as_long_as_the_caller_asked_from_the_end_of_the_run(core: Core) -> None:
    acme = core.open_account()
    core.models.behaviours["model"] = lambda _inputs, context: picture(context)
    run = core.runs.submit(
        acme, NewRun(dialect="native", model="acme/model", inputs={}, output_lifetime=timedelta(seconds=90))
    )
    core.clock.advance(HOUR)

    core.worker.drain()

    (made,) = outputs(core, acme, run)
    assert made.expires_at == core.clock.now() + timedelta(seconds=90)


def test_an_input_that_is_deleted_or_expires_under_a_run_can_be_read_to_its_end(core: Core) -> None:
    acme = core.open_account()
    deleted, expired = core.upload(acme), core.upload(acme, lifetime=HOUR)
    read: list[bytes] = []
    lives: list[int] = []

    def model(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        for name in ("image", "second"):
            file = inputs[name]
            assert isinstance(file, FileInput)
            read.append(context.fetch(file).read_bytes())
            lives.append(int(parse_qs(urlsplit(context.url(file)).query)["X-Amz-Expires"][0]))
        return None

    core.models.behaviours["model"] = model
    run = core.submit(acme, image=spelled(deleted), second=spelled(expired))
    core.assets.delete(acme, deleted.id, permanent=True)
    core.clock.advance(5 * HOUR)
    core.purging.purge(limit=10)

    core.worker.drain()

    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert read == [PNG, PNG]
    assert lives == [3600, 3600]
    core.purging.purge(limit=10)
    assert core.keys("assets/") == []


# --- failure


def test_a_model_that_fails_ends_the_run_with_its_words_and_the_money_back(core_on_each_database: Core) -> None:
    core = core_on_each_database

    def model(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        raise RunnerFailed("no subject was found")

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme, image=spelled(core.upload(acme)))

    assert core.worker.drain() == 1

    assert_failed_with_the_money_back(core, acme, run, "no subject was found")
    assert core.runs.get(acme, run.id).fault is RunFault.MODEL
    assert not core.has_jobs()


def test_a_model_without_a_runner_fails_the_run(core: Core) -> None:
    acme = core.open_account()
    run = core.submit(acme, "acme/orphan")

    core.worker.drain()

    assert_failed_with_the_money_back(core, acme, run, "no runner named nobody")
    assert core.runs.get(acme, run.id).fault is RunFault.UNAVAILABLE


@pytest.mark.parametrize("output", [{"n": float("nan")}, [float("inf")], {1, 2}, b"bytes", {"path": object()}])
def test_an_output_that_is_no_json_fails_the_run_at_once(core: Core, output: object) -> None:
    acme = core.open_account()
    core.models.behaviours["model"] = lambda _inputs, _context: output
    run = core.submit(acme)

    assert core.worker.drain() == 1

    assert_failed_with_the_money_back(core, acme, run, "not JSON")


def test_halves_of_surrogate_pairs_in_an_output_are_replaced_for_no_answer_could_hold_them(core: Core) -> None:
    acme = core.open_account()
    said: JsonLike = {"half \ud800": ["\udc00", "gr\u00fcn \U0001f4a9"], "pair": "\ud83d\udca9"}
    core.models.behaviours["model"] = lambda _inputs, _context: said
    run = core.runs.submit(acme, NewRun(dialect="native", model="acme/free", inputs={}))

    core.worker.drain()

    kept = {"half \ufffd": ["\ufffd", "gr\u00fcn \U0001f4a9"], "pair": "\U0001f4a9"}
    assert core.runs.get(acme, run.id).output == kept


def test_an_unexpected_error_is_tried_again_and_in_the_end_given_up(core_on_each_database: Core) -> None:
    core = core_on_each_database

    def model(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        raise ZeroDivisionError("secret detail")

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    attempts = 0
    while core.has_jobs():
        attempts += core.worker.drain()
        core.clock.advance(LATER)

    assert attempts == MAX_ATTEMPTS
    assert_failed_with_the_money_back(core, acme, run, "internal error (ZeroDivisionError)")
    assert core.runs.get(acme, run.id).fault is RunFault.SERVER
    assert "secret detail" not in repr(core.runs.get(acme, run.id))
    assert [job.payload["run_id"] for job in core.queue.dead(limit=10)] == [run.id]


def test_an_outage_is_waited_out_for_longer_than_a_fault(core: Core) -> None:
    outages = iter(range(3 * MAX_ATTEMPTS))

    def model(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        for _ in outages:
            raise ObjectStoreUnavailable("the store does not answer")
        return {"n": 1}

    acme = core.open_account(credits_usd="1")
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    assert core.worker.drain() == 1
    assert core.runs.get(acme, run.id).state is RunState.RUNNING
    assert core.worker.drain() == 0  # not before its time
    while core.has_jobs():
        core.clock.advance(LATER)
        core.worker.drain()

    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert kinds(core, acme) == ["credit", "hold", "settle"]
    assert core.events(acme, run.id).count("run.started") == 3 * MAX_ATTEMPTS + 1


def test_an_outage_without_end_ends_the_run_and_gives_the_money_back(core: Core) -> None:
    def model(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        raise ObjectStoreUnavailable("the store does not answer")

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    for _ in range(300):
        core.worker.drain()
        core.clock.advance(LATER)
    assert not core.has_jobs()

    assert_failed_with_the_money_back(core, acme, run, "the store does not answer")


# --- cancellation and time


def test_a_run_that_was_cancelled_in_the_queue_never_starts(core: Core) -> None:
    acme = core.open_account()
    run = core.submit(acme)
    core.runs.cancel(acme, run.id)

    assert core.worker.drain() == 1

    assert core.events(acme, run.id) == ["run.queued", "run.cancelled"]
    assert kinds(core, acme) == ["credit", "hold", "refund"]
    assert not core.has_jobs()


def test_a_running_model_that_notices_the_wish_ends_the_run_as_cancelled(core_on_each_database: Core) -> None:
    core = core_on_each_database

    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        core.runs.cancel(acme, run.id)
        assert context.cancelled()
        raise RunCancelledError

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme, image=spelled(core.upload(acme)))

    core.worker.drain()

    ended = core.runs.get(acme, run.id)
    assert (ended.state, ended.error, ended.cost) == (RunState.CANCELLED, None, None)
    assert kinds(core, acme) == ["credit", "hold", "refund"]
    assert core.events(acme, run.id) == ["run.queued", "run.started", "run.cancelled"]
    assert leased(core, run) == []
    assert not core.has_jobs()


def test_a_model_that_finishes_in_spite_of_the_wish_has_succeeded(core: Core) -> None:
    def model(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        core.runs.cancel(acme, run.id)
        return {"n": 1}

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    core.worker.drain()

    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert kinds(core, acme) == ["credit", "hold", "settle"]


def test_a_wish_that_came_while_no_worker_lived_is_kept_on_the_next_attempt(core: Core) -> None:
    def dies(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        raise Crash

    acme = core.open_account()
    core.models.behaviours["model"] = dies
    run = core.submit(acme)
    with pytest.raises(Crash):
        core.worker.drain()
    core.runs.cancel(acme, run.id)
    core.clock.advance(LEASE)

    core.worker.drain()

    assert core.runs.get(acme, run.id).state is RunState.CANCELLED
    assert kinds(core, acme) == ["credit", "hold", "refund"]


def test_a_model_that_is_stopped_by_its_time_limit_has_failed(sqlite_url: str, tmp_path: Path) -> None:
    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        while not context.cancelled():
            context.progress(0.5)
        raise RunCancelledError

    with open_core(sqlite_url, tmp_path / "scratch", run_timeout=timedelta(seconds=0.2)) as core:
        acme = core.open_account()
        core.models.behaviours["model"] = model
        run = core.submit(acme)

        core.worker.drain()

        assert_failed_with_the_money_back(core, acme, run, "the run took longer than")
        assert core.runs.get(acme, run.id).fault is RunFault.TIMEOUT


# --- stops


def test_any_number_of_planned_stops_costs_a_run_nothing(core: Core) -> None:
    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        if context.cancelled():
            raise RunCancelledError
        return {"n": 1}

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)
    core.interrupt.set()
    for _ in range(MAX_ATTEMPTS + 1):
        core.worker.drain()
        assert core.runs.get(acme, run.id).state is RunState.RUNNING
        core.clock.advance(LATER)

    core.interrupt.clear()
    core.worker.drain()

    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert kinds(core, acme) == ["credit", "hold", "settle"]


def test_a_wish_to_cancel_counts_more_than_a_stop(core: Core) -> None:
    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        core.runs.cancel(acme, run.id)
        core.interrupt.set()
        assert context.cancelled()
        raise RunCancelledError

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    core.worker.drain()

    assert core.runs.get(acme, run.id).state is RunState.CANCELLED


# --- what a failed attempt leaves behind


@pytest.mark.parametrize("which", [1, 2, 3])
def test_outputs_of_an_attempt_that_could_not_store_all_are_removed(core: Core, which: int) -> None:
    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        return [picture(context, name=f"{number}.png") for number in range(3)]

    puts = [0]

    def put() -> None:
        puts[0] += 1
        if puts[0] == which:
            raise ObjectStoreUnavailable("the object store does not answer")

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)
    core.objects.before["put"] = put

    assert core.worker.drain() == 1
    assert core.keys() == []

    core.clock.advance(LATER)
    core.worker.drain()
    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert len(core.keys("assets/")) == 3


# --- crashes and lost leases


@pytest.mark.parametrize("moment", ["before the model", "in the model", "between two outputs"])
def test_a_crash_at_any_moment_leaves_one_result_and_one_charge(core: Core, moment: str) -> None:
    def die() -> None:
        core.objects.before.clear()
        raise Crash

    def model(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        attempts.append(1)
        image = inputs["image"]
        assert isinstance(image, FileInput)
        context.fetch(image)
        if moment == "in the model" and len(attempts) == 1:
            raise Crash
        return [picture(context, PNG, "one.png"), picture(context, PNG, "two.png")]

    def second_put_dies() -> None:
        core.objects.before["put"] = die

    attempts: list[int] = []
    acme = core.open_account(credits_usd="1")
    core.models.behaviours["model"] = model
    run = core.submit(acme, image=spelled(core.upload(acme)))
    if moment == "before the model":
        core.objects.before["read"] = die
    if moment == "between two outputs":
        core.objects.before["put"] = second_put_dies

    with pytest.raises(Crash):
        core.worker.drain()
    assert core.runs.get(acme, run.id).state is RunState.RUNNING
    assert core.worker.drain() == 0  # the lease still holds
    core.clock.advance(LEASE)
    assert core.worker.drain() == 1

    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert [asset.name for asset in outputs(core, acme, run)] == ["one.png", "two.png"]
    assert [b"".join(core.objects.read(asset.object_key)) for asset in outputs(core, acme, run)] == [PNG, PNG]
    assert kinds(core, acme) == ["credit", "hold", "settle"]
    assert core.balance(acme) == Decimal("0.75")
    assert core.events(acme, run.id).count("run.succeeded") == 1
    assert len(core.library.page(acme, EVERYTHING, cursor=None, limit=10).items) == 3


def test_a_job_that_kills_its_worker_each_time_is_given_up(core: Core) -> None:
    def model(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
        raise Crash

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    deaths = 0
    while core.has_jobs() and deaths < 100:
        try:
            core.worker.drain()
        except Crash:
            deaths += 1
        core.clock.advance(LEASE)

    assert deaths == MAX_ATTEMPTS
    assert_failed_with_the_money_back(core, acme, run, "could not be carried out")
    assert len(core.queue.dead(limit=10)) == 1


def test_an_attempt_whose_lease_was_taken_over_writes_nothing_from_the_start(core: Core) -> None:
    acme = core.open_account()
    core.models.behaviours["model"] = lambda _inputs, _context: {"n": 1}
    run = core.submit(acme)
    late = core.claim()
    core.clock.advance(LEASE)
    core.claim()

    with pytest.raises(LeaseLostError):
        core.run_flow.run(late)

    assert core.runs.get(acme, run.id).state is RunState.QUEUED
    assert core.events(acme, run.id) == ["run.queued"]


def test_an_attempt_whose_lease_is_taken_over_on_the_way_writes_nothing_any_more(core_on_each_database: Core) -> None:
    core = core_on_each_database

    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        attempts.append(1)
        if len(attempts) > 1:
            return picture(context)
        core.clock.advance(LEASE)
        core.worker.drain()  # another worker carries the run to its end
        told.extend(core.events(acme, run.id))
        return [picture(context, b"late"), picture(context, b"later")]

    attempts: list[int] = []
    told: list[str] = []
    acme = core.open_account(credits_usd="1")
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    core.worker.drain()

    (made,) = outputs(core, acme, run)
    assert core.runs.get(acme, run.id).state is RunState.SUCCEEDED
    assert b"".join(core.objects.read(made.object_key)) == PNG
    assert core.events(acme, run.id) == told
    assert kinds(core, acme) == ["credit", "hold", "settle"]
    assert core.keys("assets/") == [made.object_key]


@pytest.mark.parametrize("word", ["log", "progress"])
def test_a_late_attempt_does_not_speak_into_the_run_of_its_successor(core: Core, word: str) -> None:
    def first(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        core.clock.advance(LEASE)
        successor = core.claim()
        core.models.behaviours["model"] = lambda inputs, its: speaks_between(inputs, its, context)
        core.run_flow.run(successor)
        return {}

    def speaks_between(_inputs: Mapping[str, JsonLike], _its: RunContext, late: RunContext) -> JsonLike:
        with pytest.raises(LeaseLostError):
            late.log("late") if word == "log" else late.progress(0.9)
        return {"n": 2}

    acme = core.open_account()
    core.models.behaviours["model"] = first
    run = core.submit(acme)

    core.worker.drain()

    ended = core.runs.get(acme, run.id)
    assert (ended.state, ended.output) == (RunState.SUCCEEDED, {"n": 2})
    assert core.events(acme, run.id) == ["run.queued", "run.started", "run.started", "run.succeeded"]


def test_a_job_of_a_run_that_nobody_knows_ends_quietly(core: Core) -> None:
    acme = core.open_account()
    with core.database.write() as tx:
        payload = {"run_id": RunId(uuid_text(7)), "account_id": acme}
        tx.jobs.enqueue(RUN_JOB, payload, job_id=JobId(uuid_text(8)), now=core.clock.now(), account_id=acme)

    assert core.worker.drain() == 1

    assert not core.has_jobs()
    assert core.queue.dead(limit=10) == []


def test_an_input_whose_bytes_are_lost_fails_the_run(core: Core) -> None:
    def model(inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        image = inputs["image"]
        assert isinstance(image, FileInput)
        return context.fetch(image).read_text()

    acme = core.open_account()
    asset = core.upload(acme)
    core.models.behaviours["model"] = model
    run = core.submit(acme, image=spelled(asset))
    core.objects.delete([asset.object_key])

    core.worker.drain()

    assert_failed_with_the_money_back(core, acme, run, "photo.png is gone")
    assert core.runs.get(acme, run.id).fault is RunFault.SERVER


def test_an_input_whose_row_is_lost_fails_the_run(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)
    run = core.submit(acme, image=spelled(asset))
    with core.database.write() as tx:
        tx.asset_sweeps.remove([asset.id])

    core.worker.drain()

    assert_failed_with_the_money_back(core, acme, run, "the input file of image is gone")
    assert core.runs.get(acme, run.id).fault is RunFault.SERVER


# --- what a model says


def test_log_lines_are_kept_up_to_a_limit(core: Core) -> None:
    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        context.log("x" * 5000, level="warning")
        for number in range(600):
            context.log(str(number))
        return None

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    core.worker.drain()

    lines = core.runs.logs(acme, run.id)
    assert len(lines) == 500
    assert lines[0].data == {"message": "x" * 2000, "level": "warning", "source": "test"}


def test_a_new_attempt_begins_without_the_progress_of_the_last(core: Core) -> None:
    read: list[float | None] = []

    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        read.append(core.runs.get(acme, run.id).progress)
        context.progress(0.75)
        if len(read) == 1:
            raise ObjectStoreUnavailable("away")
        return "done"

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)
    core.worker.drain()
    assert core.runs.get(acme, run.id).progress == 0.75
    core.clock.advance(LATER)

    core.worker.drain()

    assert read == [None, None]


def test_progress_is_told_within_bounds_and_the_last_of_it_before_the_end(core: Core) -> None:
    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        for fraction in (-1.0, 0.2, float("nan"), 0.5, 7.0):
            context.progress(fraction)
        return None

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    core.worker.drain()

    with core.database.read() as tx:
        told = [
            event.data["fraction"]
            for event in tx.events.after(acme, run.id, 0, limit=100)
            if event.kind.value == "run.progress"
        ]
    assert told[-1] == 1.0
    assert core.events(acme, run.id)[-2:] == ["run.progress", "run.succeeded"]
    assert core.runs.get(acme, run.id).progress == 1.0


def test_how_far_a_run_is_can_be_read_while_it_goes_on(core: Core) -> None:
    read: list[float | None] = []

    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        read.append(core.runs.get(acme, run.id).progress)
        context.progress(0.25)
        read.append(core.runs.get(acme, run.id).progress)
        return None

    acme = core.open_account()
    core.models.behaviours["model"] = model
    run = core.submit(acme)

    core.worker.drain()

    assert read == [None, 0.25]


# --- removal


@pytest.mark.parametrize("heeds", [True, False])
def test_a_run_that_is_removed_while_it_goes_on_leaves_nothing_that_it_made(
    core_on_each_database: Core, *, heeds: bool
) -> None:
    core = core_on_each_database

    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        core.runs.delete(acme, run.id)
        if heeds and context.cancelled():
            raise RunCancelledError
        path = context.workdir / "made.png"
        path.write_bytes(PNG)
        return {"image": OutputFile(path=path, name="made.png", content_type="image/png")}

    acme = core.open_account()
    core.models.behaviours["model"] = model
    asset = core.upload(acme)
    run = core.submit(acme, image=spelled(asset))

    core.worker.drain()

    with pytest.raises(RunNotFound):
        core.runs.get(acme, run.id)
    with core.database.read() as tx:
        left = tx.runs.get(acme, run.id)
    assert (left.inputs, left.values, left.files, left.output) == ({}, {}, {}, None)
    assert core.keys("assets/") == [asset.object_key]
    assert kinds(core, acme) == ["credit", "hold", "refund" if heeds else "settle"]
    assert leased(core, run) == []
    assert not core.has_jobs()


def test_the_output_of_a_run_is_an_asset_like_any_other(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    core.models.behaviours["model"] = lambda _inputs, context: picture(context)
    run = core.submit(acme)
    core.worker.drain()
    (made,) = outputs(core, acme, run)

    again = core.submit(acme, image=spelled(made))

    assert again.files == {"image": made.id}
    with pytest.raises(AssetNotFound):
        core.assets.get(zenith, made.id)
