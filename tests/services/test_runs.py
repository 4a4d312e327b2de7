"""Runs: queued with everything they need or not at all; cancelled, listed, and their money given back once."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from penstock.domain.errors import (
    AssetNotFound,
    FileTypeRefused,
    IdempotencyMismatch,
    InsufficientCredits,
    InvalidField,
    InvalidFields,
    ModelNotFound,
    ReferenceInvalid,
    RunNotFinished,
    RunNotFound,
)
from penstock.domain.events import EventKind
from penstock.domain.foreign import ReferenceRules, UrlRules
from penstock.domain.idempotency import IdempotentRequest
from penstock.domain.ids import AssetId, RunId
from penstock.domain.runs import Run, RunState, Standing, output_assets
from penstock.ports.runners import OutputFile
from penstock.services.run_ends import end_money_and_leases
from penstock.services.runs import NewRun, Variant
from tests.support.core import BASE_URL, EVERYTHING, HOUR, PNG, at_once
from tests.support.records import uuid_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.domain.assets import Asset
    from penstock.domain.ids import AccountId
    from penstock.ports.runners import JsonLike, RunContext
    from tests.support.core import Core

INLINE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def spelled(asset: Asset) -> str:
    return f"asset_{asset.id.replace('-', '')}"


def leased(core: Core, run: Run) -> list[str]:
    with core.database.read() as tx:
        return [asset.id for asset in tx.assets.leased_by(run.id)]


def assert_nothing_happened(core: Core, account_id: AccountId, *, balance: str) -> None:
    assert core.runs.page(account_id, cursor=None, limit=10).items == []
    assert core.balance(account_id) == Decimal(balance)
    assert [entry.kind.value for entry in core.ledger(account_id)] == (["credit"] if Decimal(balance) else [])
    assert not core.has_jobs()


# --- submit


def test_a_submitted_run_is_queued_paid_for_and_holds_its_files(core: Core) -> None:
    acme = core.open_account(credits_usd="1")
    asset = core.upload(acme)
    asked = NewRun(
        dialect="native",
        model="acme/model",
        inputs={"image_url": spelled(asset), "text": "a dam"},
        metadata={"order": "7"},
    )

    run = core.runs.submit(acme, asked)

    assert core.runs.get(acme, run.id) == run
    assert (run.state, run.held, run.cost, run.metadata) == (RunState.QUEUED, Decimal("0.25"), None, {"order": "7"})
    assert (run.inputs, run.values, run.files) == (asked.inputs, {"text": "a dam"}, {"image": asset.id})
    assert core.balance(acme) == Decimal("0.75")
    assert [(entry.kind.value, entry.run_id) for entry in core.ledger(acme)[1:]] == [("hold", run.id)]
    assert leased(core, run) == [asset.id]
    assert core.events(acme, run.id) == ["run.queued"]
    assert core.claim().payload == {"run_id": run.id, "account_id": acme}


def test_a_free_run_needs_no_money(core: Core) -> None:
    acme = core.open_account(credits_usd="0")

    run = core.submit(acme, "acme/free")

    assert (run.state, run.held) == (RunState.QUEUED, Decimal(0))
    assert core.ledger(acme) == []


def test_one_file_may_be_given_twice(core: Core) -> None:
    acme = core.open_account()
    asset = core.upload(acme)

    run = core.submit(acme, image=spelled(asset), second=spelled(asset))

    assert leased(core, run) == [asset.id]


@pytest.mark.parametrize("credits_usd", ["0", "0.249999999"])
@pytest.mark.parametrize("image", ["asset", "inline", None])
def test_too_little_money_leaves_nothing(core: Core, credits_usd: str, image: str | None) -> None:
    acme = core.open_account(credits_usd=credits_usd)
    asset = core.upload(acme)
    inputs = {"asset": {"image": spelled(asset)}, "inline": {"image": INLINE}, None: {}}[image]

    with pytest.raises(InsufficientCredits) as caught:
        core.submit(acme, **inputs)

    assert (caught.value.needed, caught.value.balance) == (Decimal("0.25"), Decimal(credits_usd))
    assert_nothing_happened(core, acme, balance=credits_usd)
    assert [kept.id for kept in core.library.page(acme, EVERYTHING, cursor=None, limit=10).items] == [asset.id]
    core.assets.delete(acme, asset.id, permanent=True)
    core.clock.advance(3 * HOUR)
    core.purging.purge(limit=10)
    assert core.keys("assets/") == []


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"model": "acme/none"}, ModelNotFound),
        ({"inputs": {"image": 7}}, InvalidField),
        ({"inputs": {"more": 7}}, InvalidField),
        ({"inputs": {"image": 7, "more": 7}}, InvalidFields),
        ({"inputs": {"image": "nonsense"}}, ReferenceInvalid),
        ({"inputs": {"image": INLINE, "second": "nonsense"}}, ReferenceInvalid),
        ({"inputs": {"image": f"asset_{uuid_text(7).replace('-', '')}"}}, AssetNotFound),
        ({"inputs": {"image": "data:text/plain,words"}}, FileTypeRefused),
        ({"inputs": {"text": "x" * 300_000}}, InvalidField),
        ({"metadata": {"": "x"}}, InvalidField),
        ({"metadata": {"a": 1}}, InvalidField),
    ],
)
def test_a_request_that_does_not_fit_leaves_nothing(
    core: Core, asked: dict[str, object], error: type[Exception]
) -> None:
    acme = core.open_account(credits_usd="1")
    usual = {"dialect": "native", "model": "acme/model", "inputs": {}}

    with pytest.raises(error):
        core.runs.submit(acme, NewRun(**{**usual, **asked}))  # type: ignore[arg-type]  # fields of `NewRun`

    assert_nothing_happened(core, acme, balance="1")
    assert core.library.page(acme, EVERYTHING, cursor=None, limit=10).items == []


def test_where_files_must_be_uploaded_first_neither_urls_nor_data_uris_are_taken(core: Core) -> None:
    acme = core.open_account(credits_usd="1")
    asset = core.upload(acme)
    ours = f"{BASE_URL}/media/{asset.media_key}"

    for text in (ours, "HTTPS://files.example/photo.png", INLINE, "data:broken"):
        with pytest.raises(InvalidField) as refused:
            core.runs.submit(
                acme, NewRun(dialect="x", model="acme/model", inputs={"image_url": text}, takes_urls=False)
            )
        assert (refused.value.path, refused.value.rule) == (("input", "image_url"), "url")
    core.runs.submit(
        acme, NewRun(dialect="x", model="acme/model", inputs={"image": spelled(asset), "text": ours}, takes_urls=False)
    )


def test_references_named_outside_of_file_fields_must_name_files_and_are_not_held(core: Core) -> None:
    acme, rival = core.open_account(credits_usd="1"), core.open_account("rival")
    asset, other, foreign = core.upload(acme), core.upload(acme), core.upload(rival)
    usual = NewRun(dialect="x", model="acme/model", inputs={"image": spelled(asset)})

    for name in (f"asset_{uuid_text(7).replace('-', '')}", spelled(foreign)):
        with pytest.raises(AssetNotFound):
            core.runs.submit(acme, replace(usual, named=(spelled(other), name)))
    run = core.runs.submit(acme, replace(usual, named=(spelled(other), spelled(asset))))

    assert len(core.runs.page(acme, cursor=None, limit=10).items) == 1
    assert leased(core, run) == [asset.id]


def test_the_place_of_a_misfit_is_told_from_the_request(core: Core) -> None:
    acme = core.open_account()

    with pytest.raises(InvalidField) as value:
        core.submit(acme, text=7)
    with pytest.raises(ReferenceInvalid) as reference:
        core.submit(acme, image_url="nonsense")

    assert value.value.path == ("input", "text")
    assert reference.value.path == ("input", "image_url")


def test_an_asset_that_is_over_cannot_be_used_any_more(core: Core) -> None:
    acme = core.open_account(credits_usd="1")
    asset = core.upload(acme, lifetime=HOUR)
    core.clock.advance(HOUR)

    with pytest.raises(AssetNotFound):
        core.submit(acme, image=spelled(asset))

    assert_nothing_happened(core, acme, balance="1")


@pytest.mark.parametrize("end", ["expires", "is deleted"])
def test_an_asset_that_goes_between_the_look_and_the_commit_is_not_used(core: Core, end: str) -> None:
    def go() -> None:
        core.objects.before.clear()
        if end == "expires":
            core.clock.advance(HOUR)
        else:
            core.assets.delete(acme, going.id)

    acme = core.open_account(credits_usd="1")
    going, arriving = core.upload(acme, lifetime=HOUR), core.begin(acme)
    core.put(arriving)
    core.objects.before["peek"] = go  # the second file is looked at after the first

    with pytest.raises(AssetNotFound):
        core.submit(acme, image=spelled(going), second=f"upload_{arriving.id.replace('-', '')}")

    assert_nothing_happened(core, acme, balance="1")


def test_a_run_may_keep_its_own_input_and_not_anothers(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    own, foreign = core.upload(acme, lifetime=HOUR), core.upload(zenith, lifetime=HOUR)
    foreign_url = f"http://api.test/v1/media/{foreign.media_key}"

    core.runs.submit(
        acme,
        NewRun(
            dialect="native",
            model="acme/model",
            inputs={"image": spelled(own), "second": foreign_url},
            keeps_inputs=True,
        ),
    )

    assert core.assets.get(acme, own.id).expires_at is None
    assert core.assets.get(zenith, foreign.id).expires_at == foreign.expires_at


def test_parallel_runs_never_take_more_than_the_balance(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account(credits_usd="1")

    outcomes = at_once(12, lambda: core.submit(acme))

    assert Counter(type(outcome) for outcome in outcomes) == {Run: 4, InsufficientCredits: 8}
    assert core.balance(acme) == 0
    assert len(core.runs.page(acme, cursor=None, limit=100).items) == 4


def test_runs_that_name_the_same_files_in_another_order_do_not_wait_for_each_other_for_ever(
    core_on_each_database: Core,
) -> None:
    core = core_on_each_database
    acme = core.open_account()
    one, two = spelled(core.upload(acme)), spelled(core.upload(acme))
    orders = iter([{"image": one, "second": two}, {"image": two, "second": one}] * 8)

    outcomes = at_once(16, lambda: core.submit(acme, "acme/free", **next(orders)))

    assert [outcome for outcome in outcomes if not isinstance(outcome, Run)] == []


# --- idempotency


def ask(core: Core, account_id: AccountId, *, key: str = "k", fingerprint: str = "f", **inputs: object) -> Run:
    asked = NewRun(dialect="native", model="acme/model", inputs=inputs)
    return core.runs.submit(account_id, asked, idempotency=IdempotentRequest(key=key, fingerprint=fingerprint))


def test_a_repeated_request_is_the_first_run_and_costs_nothing_more(core: Core) -> None:
    acme = core.open_account(credits_usd="0.25")

    first = ask(core, acme)
    core.runs.cancel(acme, first.id)
    again = ask(core, acme)

    assert again.id == first.id
    assert again.state is RunState.CANCELLED
    assert [entry.kind.value for entry in core.ledger(acme)] == ["credit", "hold", "refund"]


def test_a_repeat_with_a_data_uri_leaves_one_asset(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()

    runs = at_once(6, lambda: ask(core, acme, image=INLINE))

    assert len({run.id for run in runs if isinstance(run, Run)}) == 1
    assert len(core.library.page(acme, EVERYTHING, cursor=None, limit=10).items) == 1
    assert len(core.ledger(acme)) == 2


def test_a_key_for_another_request_is_refused_without_effect_in_sequence_and_at_once(
    core_on_each_database: Core,
) -> None:
    core = core_on_each_database
    acme = core.open_account(credits_usd="100")
    fingerprints = iter(str(n) for n in range(12))

    outcomes = at_once(12, lambda: ask(core, acme, fingerprint=next(fingerprints)))
    with pytest.raises(IdempotencyMismatch):
        ask(core, acme, fingerprint="another")

    assert Counter(type(outcome) for outcome in outcomes) == {Run: 1, IdempotencyMismatch: 11}
    assert core.balance(acme) == Decimal("99.75")
    assert len(core.runs.page(acme, cursor=None, limit=100).items) == 1


def test_a_refused_request_does_not_use_up_its_key(core: Core) -> None:
    acme = core.open_account(credits_usd="0.1")

    with pytest.raises(InsufficientCredits):
        ask(core, acme)
    core.accounts.credit_account("acme", Decimal(1))

    assert ask(core, acme).state is RunState.QUEUED


# --- cancel


def test_a_queued_run_is_cancelled_at_once_and_its_money_comes_back_once(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account(credits_usd="1")
    asset = core.upload(acme)
    run = core.submit(acme, image=spelled(asset))

    outcomes = at_once(8, lambda: core.runs.cancel(acme, run.id))

    assert {outcome.state for outcome in outcomes if isinstance(outcome, Run)} == {RunState.CANCELLED}
    assert [outcome for outcome in outcomes if isinstance(outcome, Exception)] == []
    assert core.balance(acme) == Decimal(1)
    assert [entry.kind.value for entry in core.ledger(acme)] == ["credit", "hold", "refund"]
    assert leased(core, run) == []
    assert core.events(acme, run.id) == ["run.queued", "run.cancelled"]


def test_money_that_was_given_back_is_not_given_back_again(core: Core) -> None:
    acme = core.open_account(credits_usd="1")
    run = core.submit(acme)
    ended = core.runs.cancel(acme, run.id)

    with core.database.write() as tx:
        end_money_and_leases(tx, ended, now=core.clock.now())

    assert core.balance(acme) == Decimal(1)
    assert len(core.ledger(acme)) == 3


def test_a_foreign_run_reads_like_an_unknown_one(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    run = core.submit(acme)

    for act in (core.runs.get, core.runs.cancel, core.runs.logs, core.runs.delete, core.runs.delete_payloads):
        with pytest.raises(RunNotFound) as foreign:
            act(zenith, run.id)
        with pytest.raises(RunNotFound) as unknown:
            act(zenith, RunId(uuid_text(7)))
        assert foreign.value.message.replace(run.id, "…") == unknown.value.message.replace(uuid_text(7), "…")

    assert core.runs.get(acme, run.id).state is RunState.QUEUED


def test_where_runs_stand_is_told_of_the_newest_and_of_those_asked_for(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    free = NewRun(dialect="native", model="acme/free", inputs={})
    first, second, removed, third = [core.runs.submit(acme, free) for _ in range(4)]
    foreign = core.runs.submit(zenith, free)
    core.runs.cancel(acme, first.id)
    core.runs.delete(acme, removed.id)

    by_age = sorted((first, second, third), key=lambda run: (run.created_at, run.id), reverse=True)
    states = {first.id: RunState.CANCELLED, second.id: RunState.QUEUED, third.id: RunState.QUEUED}
    told = [Standing(id=run.id, state=states[run.id], created_at=run.created_at) for run in by_age]

    assert core.runs.standings(acme, newest=10, beside=()) == told
    assert core.runs.standings(acme, newest=1, beside=()) == told[:1]
    beside = [by_age[0].id, by_age[2].id, removed.id, foreign.id]
    assert core.runs.standings(acme, newest=1, beside=beside) == [told[0], told[2]]


# --- removal


def test_the_payloads_of_an_ended_run_are_removed_for_good_and_the_run_stays(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    run, made = _with_a_picture(core, acme)

    cleared, gone = core.runs.delete_payloads(acme, run.id)

    assert core.runs.get(acme, run.id) == cleared
    assert (cleared.inputs, cleared.values, cleared.files, cleared.output, cleared.error) == ({}, {}, {}, None, None)
    assert (cleared.state, cleared.payloads_deleted_at, gone) == (RunState.SUCCEEDED, core.clock.now(), [made])
    with pytest.raises(AssetNotFound):
        core.assets.get(acme, made)
    with pytest.raises(AssetNotFound):
        core.library.restore(acme, made)
    core.clock.advance(HOUR)
    assert core.runs.delete_payloads(acme, run.id) == (cleared, [])


def test_the_payloads_of_a_run_that_goes_on_stay(core: Core) -> None:
    acme = core.open_account()
    run = core.submit(acme)

    with pytest.raises(RunNotFinished):
        core.runs.delete_payloads(acme, run.id)

    assert core.runs.get(acme, run.id) == run


def test_a_removed_run_is_found_no_more_nor_what_it_made(core_on_each_database: Core) -> None:
    core = core_on_each_database
    acme = core.open_account()
    run, made = _with_a_picture(core, acme)

    assert core.runs.delete(acme, run.id) == run

    for act in (core.runs.get, core.runs.cancel, core.runs.logs, core.runs.delete, core.runs.delete_payloads):
        with pytest.raises(RunNotFound):
            act(acme, run.id)
    assert core.runs.page(acme, cursor=None, limit=10).items == []
    with pytest.raises(AssetNotFound):
        core.assets.get(acme, made)


def test_a_queued_run_that_is_removed_ends_and_its_money_comes_back(core: Core) -> None:
    acme = core.open_account(credits_usd="1")
    asset = core.upload(acme)
    run = core.submit(acme, image=spelled(asset))

    assert core.runs.delete(acme, run.id).state is RunState.QUEUED

    assert core.balance(acme) == Decimal(1)
    assert leased(core, run) == []
    assert core.worker.drain() == 1
    assert core.events(acme, run.id) == ["run.queued", "run.cancelled"]


def _with_a_picture(core: Core, account_id: AccountId) -> tuple[Run, AssetId]:
    """A run that succeeded, and the file that it made."""

    def model(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        path = context.workdir / "made.png"
        path.write_bytes(PNG)
        return {"image": OutputFile(path=path, name="made.png", content_type="image/png")}

    core.models.behaviours["model"] = model
    run = core.submit(account_id, text="a dam")
    core.worker.drain()
    ended = core.runs.get(account_id, run.id)
    (made,) = output_assets(ended.output)
    return ended, AssetId(made)


# --- looking


def test_the_place_in_the_queue_counts_the_runs_before(core: Core) -> None:
    acme, zenith = core.open_account("acme"), core.open_account("zenith")
    runs = []
    for account_id in (acme, zenith, acme):
        runs.append(core.submit(account_id))
        core.clock.advance(timedelta(milliseconds=1))

    assert [core.runs.place_in_queue(run) for run in runs] == [0, 1, 2]
    core.runs.cancel(zenith, runs[1].id)
    assert core.runs.place_in_queue(runs[2]) == 1


def test_all_log_lines_of_a_long_run_are_found_among_its_other_events(core: Core) -> None:
    acme = core.open_account()
    run = core.submit(acme)
    with core.database.write() as tx:
        for number in range(2500):
            kind = EventKind.RUN_PROGRESS if number % 100 else EventKind.RUN_LOG
            tx.events.add(acme, run.id, kind, {"message": str(number)}, now=core.clock.now())

    lines = core.runs.logs(acme, run.id)

    assert [event.data["message"] for event in lines] == [str(number) for number in range(0, 2500, 100)]


def test_every_run_that_was_there_all_along_is_listed_once_while_others_come(core: Core) -> None:
    acme = core.open_account()
    there: list[str] = []
    for number in range(20):
        core.clock.advance(timedelta(0) if number % 3 else timedelta(milliseconds=1))
        there.append(core.submit(acme, "acme/free").id)
    seen: list[str] = []
    cursor: str | None = None

    for _ in range(20):
        page = core.runs.page(acme, cursor=cursor, limit=7)
        seen += [run.id for run in page.items]
        cursor = page.next_cursor
        core.clock.advance(timedelta(milliseconds=1))
        core.submit(acme, "acme/free")
        if cursor is None:
            break

    assert cursor is None
    assert sorted(seen) == sorted(there)


# --- several at once


def several(core: Core, account_id: AccountId, texts: list[str], **inputs: object) -> list[Run]:
    """Runs of one model that differ in a text, each under a key of its own."""
    asked = NewRun(
        dialect="native",
        model="acme/model",
        inputs=inputs,
        references=ReferenceRules(urls=UrlRules(max_bytes=1000, https_only=False)),
    )
    variants = [
        Variant(inputs={"text": text}, idempotency=IdempotentRequest(key=f"key {text}", fingerprint="same"))
        for text in texts
    ]
    return list(core.runs.submit_several(account_id, asked, variants))


def test_several_runs_share_their_files_and_are_the_same_when_they_are_asked_for_again(core: Core) -> None:
    acme = core.open_account()
    image = core.upload(acme)
    spelled = f"asset_{image.id.replace('-', '')}"

    runs = several(core, acme, ["a", "b", "c"], image=spelled)
    again = several(core, acme, ["a", "b", "c"], image=spelled)

    assert [run.values["text"] for run in runs] == ["a", "b", "c"]
    assert [run.id for run in again] == [run.id for run in runs]
    assert sorted(runs, key=lambda run: run.created_at) == runs
    assert [set(run.files.values()) for run in runs] == [{image.id}] * 3
    assert core.balance(acme) == Decimal("99.25")
    first = core.runs.submitted(acme, "key a")
    assert first is not None
    assert first.id == runs[0].id
    assert core.runs.submitted(acme, "key z") is None


def test_of_several_runs_none_is_queued_when_one_of_them_cannot_be(core: Core) -> None:
    poor = core.open_account(credits_usd="0.60")

    with pytest.raises(InsufficientCredits):
        several(core, poor, ["a", "b", "c"])

    assert core.balance(poor) == Decimal("0.6")
    assert core.runs.page(poor, cursor=None, limit=10).items == []
    assert not core.has_jobs()


def test_a_file_of_another_server_is_fetched_for_each_of_several_runs(core: Core) -> None:
    acme = core.open_account()

    runs = several(core, acme, ["a", "b"], image="http://127.0.0.1:9/cat.png")

    assert len({asset_id for run in runs for asset_id in run.files.values()}) == 2
