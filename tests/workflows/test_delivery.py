"""Deliveries: one body under one id until the receiver took it, whatever happens in between."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.domain.egress import parse_rules
from penstock.domain.errors import DeliveryNotFound, EndpointNotFound
from penstock.domain.ids import ModelUploadId
from penstock.domain.jobs import LEASE, MAX_ATTEMPTS
from penstock.domain.model_uploads import ModelUpload, Phase
from penstock.domain.webhooks import Callback, DeliveryFilter, DeliveryState, Moment
from penstock.ports.jobs import AttemptInterruptedError, LeaseLostError
from penstock.services.callbacks import DELIVERY_JOB, Callbacks
from penstock.services.runs import NewRun
from penstock.services.webhooks import EndpointChange, NewEndpoint
from tests.support.core import HOUR, TELLING, open_core
from tests.support.remote import Remote, remote_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from penstock.domain.ids import AccountId
    from penstock.domain.runs import Run
    from penstock.domain.webhooks import Attempt, Delivery
    from tests.support.core import Core
    from tests.support.remote import Visit

MINUTE = timedelta(minutes=1)
PATIENCE_SECONDS = 30.0


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
def receiver() -> Iterator[Remote]:
    with remote_server() as running:
        running.on("/hook", lambda visit: visit.answer("200 OK", b"thanks"))
        yield running


def submit(core: Core, account_id: AccountId, url: str, *moments: Moment) -> Run:
    core.models.behaviours.setdefault("model", lambda _inputs, _context: {"text": "done"})
    callback = Callback(url=url, moments=moments or (Moment.ENDED,))
    return core.runs.submit(account_id, NewRun(dialect="native", model="acme/free", inputs={}, callback=callback))


def told(core: Core, account_id: AccountId) -> list[tuple[Delivery, Sequence[Attempt]]]:
    """Every delivery with its log, newest first."""
    page = core.webhooks.page(account_id, DeliveryFilter(dialect="native"), cursor=None, limit=100)
    logs = core.webhooks.logs(page.items)
    return [(delivery, logs[delivery.id]) for delivery in page.items]


def one(core: Core, account_id: AccountId) -> tuple[Delivery, Sequence[Attempt]]:
    (only,) = told(core, account_id)
    return only


def work(core: Core) -> None:
    core.worker.drain()
    core.delivery_worker.drain()


def later(core: Core, by: timedelta) -> None:
    core.clock.advance(by)
    core.delivery_worker.drain()


def test_what_a_receiver_answers_is_logged(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    receiver.on("/hook", lambda visit: visit.answer("503 Later", b"busy\0\xff"), lambda visit: visit.answer("200 OK"))
    run = submit(core, acme, receiver.url("/hook"))

    work(core)
    delivery, (first,) = one(core, acme)

    assert (delivery.state, delivery.event, delivery.run_id) == (DeliveryState.PENDING, "run.succeeded", run.id)
    assert delivery.next_at == core.clock.now() + MINUTE
    assert (first.number, first.status, first.reply, first.error) == (1, 503, "busy\ufffd\ufffd", None)

    later(core, MINUTE)
    delivery, log = one(core, acme)
    assert (delivery.state, delivery.next_at) == (DeliveryState.DELIVERED, None)
    assert [(a.number, a.status) for a in log] == [(1, 503), (2, 200)]
    assert not core.has_jobs(DELIVERY_JOB)


def test_a_redelivery_weeks_later_has_the_same_bytes_and_id_and_a_signature_of_its_own(
    core: Core, receiver: Remote
) -> None:
    acme = core.open_account()
    submit(core, acme, receiver.url("/hook"))
    work(core)
    delivery, _ = one(core, acme)

    core.clock.advance(timedelta(days=20))
    assert core.webhooks.redeliver(acme, delivery.id, dialect="native").state is DeliveryState.PENDING
    core.webhooks.redeliver(acme, delivery.id, dialect="native")
    core.delivery_worker.drain()

    first, second = receiver.visits
    assert second.body == first.body
    assert second.headers["webhook-id"] == first.headers["webhook-id"] == delivery.id
    assert second.headers["webhook-timestamp"] != first.headers["webhook-timestamp"]
    assert [attempt.number for attempt in one(core, acme)[1]] == [1, 2]


def test_no_answer_is_an_error_in_the_log_and_is_tried_again(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    receiver.on("/hook", lambda visit: visit.reset(), lambda visit: visit.answer("200 OK"))
    submit(core, acme, receiver.url("/hook"))
    work(core)

    _, (first,) = one(core, acme)
    later(core, MINUTE)

    assert (first.status, first.reply) == (None, None)
    assert first.error is not None
    assert "127.0.0.1" in first.error
    assert one(core, acme)[0].state is DeliveryState.DELIVERED


def test_a_worker_that_dies_after_the_post_posts_the_same_again(
    core: Core, receiver: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = core.open_account()
    submit(core, acme, receiver.url("/hook"))
    core.worker.drain()

    def die(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as dying:
        dying.setattr(type(core.delivery), "_write", die)
        with pytest.raises(Crash):
            core.delivery.run(core.claim(DELIVERY_JOB))
    later(core, LEASE + MINUTE)

    first, second = receiver.visits
    assert (second.body, second.headers["webhook-id"]) == (first.body, first.headers["webhook-id"])
    delivery, log = one(core, acme)
    assert (delivery.state, [attempt.number for attempt in log]) == (DeliveryState.DELIVERED, [1])


def test_a_late_worker_writes_nothing(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    submit(core, acme, receiver.url("/hook"))
    core.worker.drain()
    late = core.claim(DELIVERY_JOB)
    later(core, LEASE + MINUTE)
    with pytest.raises(LeaseLostError):
        core.delivery.run(late)

    assert len(receiver.visits) == 1
    assert len(one(core, acme)[1]) == 1


def test_a_delivery_that_kills_its_worker_again_and_again_fails(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    submit(core, acme, receiver.url("/hook"))
    core.worker.drain()
    for _ in range(MAX_ATTEMPTS + 1):
        core.claim(DELIVERY_JOB)
        core.clock.advance(LEASE + MINUTE)
    core.delivery_worker.drain()

    delivery, log = one(core, acme)
    assert (delivery.state, log[-1].error) == (DeliveryState.FAILED, "the callback could not be made")
    assert receiver.visits == []
    core.webhooks.redeliver(acme, delivery.id, dialect="native")
    core.delivery_worker.drain()
    assert len(receiver.visits) == 1


def test_a_planned_stop_hands_a_delivery_back(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    submit(core, acme, receiver.url("/hook"))
    core.worker.drain()
    core.interrupt.set()
    core.delivery.run(core.claim(DELIVERY_JOB))
    core.interrupt.clear()

    assert one(core, acme)[1] == []
    core.delivery_worker.drain()
    assert one(core, acme)[0].state is DeliveryState.DELIVERED


def test_a_start_is_told_once_however_often_the_run_begins(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    calls: list[int] = []

    def interrupted_once(_inputs: object, _context: object) -> dict[str, str]:
        calls.append(1)
        if len(calls) == 1:
            raise AttemptInterruptedError
        return {"text": "done"}

    core.models.behaviours["model"] = interrupted_once
    submit(core, acme, receiver.url("/hook"), Moment.STARTED, Moment.ENDED)
    core.worker.drain()
    core.clock.advance(HOUR)
    work(core)

    assert len(calls) == 2
    assert sorted(delivery.event for delivery, _ in told(core, acme)) == ["run.running", "run.succeeded"]
    assert len(receiver.visits) == 2


def test_a_run_that_is_removed_is_not_told_of(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    receiver.on("/hook", lambda visit: visit.answer("500 No"))
    run = submit(core, acme, receiver.url("/hook"))
    work(core)
    waiting = submit(core, acme, receiver.url("/hook"))

    core.runs.delete_payloads(acme, run.id)
    core.runs.delete(acme, waiting.id)
    work(core)
    later(core, HOUR)

    assert told(core, acme) == []
    assert len(receiver.visits) == 1
    assert not core.has_jobs(DELIVERY_JOB)


@pytest.mark.parametrize("status", ["200 OK", "500 No"])
def test_an_answer_that_comes_after_the_payloads_were_removed_is_not_kept(
    core_on_each_database: Core, receiver: Remote, status: str
) -> None:
    core = core_on_each_database
    acme = core.open_account()
    run = submit(core, acme, receiver.url("/hook"))
    core.worker.drain()
    delivery, _ = one(core, acme)

    def answer(visit: Visit) -> None:
        core.runs.delete_payloads(acme, run.id)
        visit.answer(status, b"what the run made")

    receiver.on("/hook", answer)
    core.delivery_worker.drain()
    later(core, HOUR)

    assert len(receiver.visits) == 1
    assert core.webhooks.logs([delivery]) == {delivery.id: []}
    assert not core.has_jobs(DELIVERY_JOB)


def test_a_place_that_is_allowed_no_more_ends_the_delivery(sqlite_url: str, tmp_path: Path) -> None:
    with open_core(sqlite_url, tmp_path) as core:
        acme = core.open_account()
        submit(core, acme, "http://127.0.0.1:9/hook")
        core.worker.drain()
    with open_core(sqlite_url, tmp_path, egress="") as stricter:
        stricter.delivery_worker.drain()

        delivery, (attempt,) = one(stricter, acme)
        assert delivery.state is DeliveryState.FAILED
        assert attempt.error == "its address or port is not one that callbacks are sent to"


def test_an_endpoint_hears_of_what_it_wants_with_its_headers_and_its_secret(core: Core, receiver: Remote) -> None:
    acme, rival = core.open_account(), core.open_account("rival")
    core.models.behaviours["model"] = lambda _inputs, _context: {}
    receiver.on("/all", lambda visit: visit.answer("200 OK"))
    every, _ = core.webhooks.add_endpoint(acme, NewEndpoint(url=receiver.url("/all")), dialect="native")
    wanted = NewEndpoint(
        url=receiver.url("/hook"), events=("run.cancelled",), headers={"X-Tenant": "7", "webhook-id": "forged"}
    )
    core.webhooks.add_endpoint(acme, wanted, dialect="native")
    core.submit(acme, "acme/free")
    core.submit(rival, "acme/free")
    cancelled = core.submit(acme, "acme/free")
    core.runs.cancel(acme, cancelled.id)

    work(core)

    heard: dict[str, list[Visit]] = {"/all": [], "/hook": []}
    for visit in receiver.visits:
        heard[visit.target].append(visit)
    assert len(heard["/all"]) == 3  # one began, it ended, the other was cancelled
    (visit,) = heard["/hook"]
    assert json.loads(visit.body)["run"] == cancelled.id
    assert visit.headers["x-tenant"] == "7"
    assert visit.headers["webhook-id"] != "forged"
    assert core.webhooks.endpoint(acme, every.id, dialect="native").succeeded_at == core.clock.now()


def test_an_endpoint_that_fails_in_a_row_is_turned_off_until_its_owner_turns_it_on(
    core: Core, receiver: Remote
) -> None:
    acme = core.open_account()
    core.models.behaviours["model"] = lambda _inputs, _context: {}
    receiver.on("/hook", lambda visit: visit.answer("500 No"))
    asked = NewEndpoint(url=receiver.url("/hook"), events=("run.succeeded",))
    endpoint, _ = core.webhooks.add_endpoint(acme, asked, dialect="native")
    for _ in range(2):
        core.submit(acme, "acme/free")
    work(core)
    later(core, MINUTE)
    later(core, HOUR)

    off = core.webhooks.endpoint(acme, endpoint.id, dialect="native")
    assert (off.active, off.failures) == (False, 4)
    assert len(receiver.visits) == 4
    assert {delivery.state for delivery, _ in told(core, acme)} == {DeliveryState.FAILED}
    core.submit(acme, "acme/free")
    work(core)
    assert len(told(core, acme)) == 2

    receiver.on("/hook", lambda visit: visit.answer("200 OK"))
    on = core.webhooks.change_endpoint(acme, endpoint.id, EndpointChange(active=True), dialect="native")
    assert (on.active, on.failures) == (True, 0)
    core.submit(acme, "acme/free")
    work(core)
    assert len(receiver.visits) == 5


def test_what_waits_for_an_endpoint_goes_where_it_is_now_or_nowhere(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    core.models.behaviours["model"] = lambda _inputs, _context: {}
    receiver.on("/moved", lambda visit: visit.answer("200 OK"))
    asked = NewEndpoint(url=receiver.url("/hook"), events=("run.succeeded",))
    endpoint, _ = core.webhooks.add_endpoint(acme, asked, dialect="native")
    core.submit(acme, "acme/free")
    core.worker.drain()
    change = EndpointChange(url=receiver.url("/moved"), description="here now")
    core.webhooks.change_endpoint(acme, endpoint.id, change, dialect="native")
    core.delivery_worker.drain()
    core.clock.advance(MINUTE)
    core.submit(acme, "acme/free")
    core.worker.drain()
    core.webhooks.remove_endpoint(acme, endpoint.id, dialect="native")
    core.delivery_worker.drain()

    assert [visit.target for visit in receiver.visits] == ["/moved"]
    (gone, (attempt,)), _ = told(core, acme)
    assert (gone.state, attempt.error) == (DeliveryState.FAILED, "the endpoint was removed")
    with pytest.raises(EndpointNotFound):
        core.webhooks.endpoint(acme, endpoint.id, dialect="native")


def test_a_test_is_sent_as_it_was_given_even_to_an_endpoint_that_is_off(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    endpoint, _ = core.webhooks.add_endpoint(acme, NewEndpoint(url=receiver.url("/hook")), dialect="native")
    core.webhooks.change_endpoint(acme, endpoint.id, EndpointChange(active=False), dialect="native")

    core.webhooks.send(
        acme, endpoint.id, dialect="native", event="test", body=lambda _delivery: b'{"test": "\xc3\xbc"}'
    )
    core.delivery_worker.drain()

    assert receiver.visits[0].body == b'{"test": "\xc3\xbc"}'
    assert one(core, acme)[0].event == "test"


def test_a_delivery_is_its_accounts_and_its_dialects_alone(core: Core, receiver: Remote) -> None:
    acme, rival = core.open_account(), core.open_account("rival")
    submit(core, acme, receiver.url("/hook"))
    work(core)
    delivery, _ = one(core, acme)

    for account_id, dialect in ((rival, "native"), (acme, "other")):
        with pytest.raises(DeliveryNotFound):
            core.webhooks.redeliver(account_id, delivery.id, dialect=dialect)
        with pytest.raises(DeliveryNotFound):
            core.webhooks.delivery(account_id, delivery.id, dialect=dialect)
    assert told(core, rival) == []


def test_a_receiver_that_hangs_delays_nobody_else(core: Core, receiver: Remote) -> None:
    acme, rival = core.open_account(), core.open_account("rival")
    reached = threading.Event()

    def reach(visit: Visit) -> None:
        visit.answer("200 OK")
        reached.set()

    receiver.on("/hangs", lambda visit: visit.stay_silent())
    receiver.on("/hook", reach)
    for _ in range(12):
        submit(core, acme, receiver.url("/hangs"))
    submit(core, rival, receiver.url("/hook", host="localhost"))
    core.worker.drain()
    stop, ready = threading.Event(), threading.Event()
    serving = threading.Thread(target=core.delivery_worker.serve, args=(stop,), kwargs={"ready": ready.set})
    serving.start()
    try:
        assert reached.wait(PATIENCE_SECONDS)
        hanging = [visit for visit in receiver.visits if visit.target == "/hangs"]
        assert len(hanging) <= 2
    finally:
        core.interrupt.set()
        stop.set()
        serving.join(PATIENCE_SECONDS)
    assert not serving.is_alive()


def test_the_end_of_a_model_upload_is_told_once_and_as_it_was(core: Core, receiver: Remote) -> None:
    acme = core.open_account()
    receiver.on("/hook", lambda visit: visit.answer("503 Later"), lambda visit: visit.answer("200 OK"))
    telling = replace(TELLING, model_body=lambda upload: json.dumps({"air": upload.air}).encode())
    callbacks = Callbacks({"native": telling, "silent": TELLING}, parse_rules("127.0.0.0/8"))
    upload = ModelUpload(
        id=ModelUploadId("2c6f1a9e-2f0b-4d0e-9d5b-0a7d5a8f1c11"),
        account_id=acme,
        dialect="native",
        client_ref=None,
        air="acme:1@1",
        given={},
        fingerprint="",
        source_url=None,
        asset_id=None,
        phase=Phase.READY,
        callback_url=receiver.url("/hook?token=t"),
        created_at=core.clock.now(),
        finished_at=core.clock.now(),
    )
    with core.database.write() as tx:
        for ended in (upload, upload, replace(upload, dialect="silent"), replace(upload, callback_url=None)):
            callbacks.model_ended(tx, ended)
    core.delivery_worker.drain()
    later(core, MINUTE * 2)

    delivery, attempts = one(core, acme)
    assert (delivery.state, delivery.event, delivery.run_id) == (DeliveryState.DELIVERED, "model.ready", None)
    assert [attempt.status for attempt in attempts] == [503, 200]
    assert [(visit.target, visit.body) for visit in receiver.visits] == [("/hook?token=t", b'{"air": "acme:1@1"}')] * 2
