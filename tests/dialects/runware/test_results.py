"""Uploads that nobody waits for: accepted at once, asked about later, told to a webhook at their end."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.dialects.runware import routes
from penstock.dialects.runware.callbacks import PLAN
from tests.dialects.runware.client import Runware, uuid
from tests.dialects.runware.shelf import ORDER, Shelf, ask, found, phases, upload

if TYPE_CHECKING:
    from tests.support.exchange import Answer
    from tests.support.house import House


def error_of(answer: Answer, status: int) -> Any:  # noqa: ANN401 - JSON
    said = answer.must(status)
    assert list(said) == ["errors"]
    (error,) = said["errors"]
    return error


@pytest.mark.statement("RU-50", "RU-65", "RU-52")
def test_an_asynchronous_upload_is_accepted_and_asked_about(
    acme: Runware, rival: Runware, shelf: Shelf, house: House
) -> None:
    task = {**shelf.task(acme), "deliveryMethod": "async"}
    names = {"taskType": "modelUpload", "taskUUID": task["taskUUID"]}

    with acme.socket() as wire:
        assert wire.ask(task) == {"data": [names]}
        processing = ask(acme, task)
        house.work()
        assert wire.quiet()  # nothing is pushed

    assert processing == {"data": [{**names, "status": "processing", "progress": 0, "air": task["air"]}]}
    message = "Model successfully deployed and ready for use."
    done = {"data": [{**names, "status": "success", "message": message, "air": task["air"]}]}
    assert ask(acme, task) == done
    house.clock.advance(timedelta(hours=25))
    house.sweep()
    assert ask(acme, task) == done
    for asker, wanted in ((rival, task["taskUUID"]), (acme, uuid())):
        asked = {"taskType": "getResponse", "taskUUID": wanted}
        error = error_of(asker.post(asked), 404)
        assert (error["code"], error["taskUUID"]) == ("taskNotFound", wanted)


@pytest.mark.statement("RU-51")
def test_an_asynchronous_failure_is_what_is_answered(acme: Runware, shelf: Shelf, house: House) -> None:
    task = {**shelf.task(acme, downloadURL=shelf.remote.url("/missing")), "deliveryMethod": "async"}
    acme.post(task).must(200)
    house.work()

    error = error_of(acme.post({"taskType": "getResponse", "taskUUID": task["taskUUID"]}), 400)
    assert error["message"]
    assert {**error, "message": ""} == {
        "code": "downloadFailed",
        "message": "",
        "parameter": "downloadURL",
        "taskType": "modelUpload",
        "taskUUID": task["taskUUID"],
    }


@pytest.mark.statement("RU-53")
def test_a_synchronous_post_ends_with_the_last_phase_and_lists_all_five(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    task, answers = shelf.task(acme), list[Any]()
    asking = threading.Thread(target=lambda: answers.append(acme.post(task).must(200)))
    asking.start()
    while asking.is_alive():  # whenever it has begun, it is worked on
        house.work()
        asking.join(0.05)

    assert answers == [{"data": [phase["data"][0] for phase in phases(task, *ORDER)]}]


@pytest.mark.statement("RU-95")
def test_an_upload_that_outlasts_the_window_goes_on(
    acme: Runware, shelf: Shelf, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "WINDOW_SECONDS", 1.0)
    task = shelf.task(acme)

    answer = acme.post(task).must(200)

    assert answer == phases(task, "validated")[0]
    assert ask(acme, task)["data"][0]["status"] == "processing"
    assert found(acme, task["air"]) is None
    house.work()
    assert ask(acme, task)["data"][0]["status"] == "success"
    assert found(acme, task["air"]) is not None


def test_the_details_of_a_task_are_what_was_asked_and_what_was_answered(
    acme: Runware, rival: Runware, shelf: Shelf, house: House
) -> None:
    case = "embeddings/sd15_diffusers_token"
    urls = {"downloadURL": shelf.url(case, "?secret=s"), "webhookURL": shelf.remote.url("/details?secret=s")}
    task = shelf.task(acme, tags=["one"], positiveTriggerWords="a, b", deliveryMethod="async", **urls)
    acme.post(task).must(200)
    (before,) = ask(acme, task, "getTaskDetails")["data"]
    house.work()

    (details,) = ask(acme, task, "getTaskDetails")["data"]

    kept = {name: value for name, value in task.items() if name != "deliveryMethod"}
    kept |= {name: url.removesuffix("?secret=s") for name, url in urls.items()}
    assert before["request"] == [kept]
    assert details["request"] == [kept]
    assert details["response"] == ask(acme, task)
    assert ask(rival, task, "getTaskDetails")["errors"][0]["code"] == "taskNotFound"


@pytest.mark.statement("RU-54", "RU-94")
def test_each_upload_with_a_webhook_is_told_once_at_its_end(acme: Runware, shelf: Shelf, house: House) -> None:
    shelf.remote.on("/hook", lambda visit: visit.answer("200 OK"))
    hooks = [shelf.remote.url(f"/hook?token=t%20{n}&projectId=7") for n in range(2)]
    tasks = [{**shelf.task(acme), "webhookURL": hook, "deliveryMethod": "async"} for hook in hooks]

    acme.post(*tasks).must(200)
    house.work()
    house.clock.advance(timedelta(hours=5))
    house.work()

    for task in tasks:
        (visit,) = shelf.visits(task["webhookURL"])
        assert (visit.method, visit.headers["content-type"]) == ("POST", "application/json")
        assert json.loads(visit.body) == phases(task, "ready")[0]


@pytest.mark.statement("RU-55", "RU-56")
def test_failures_are_told_too_and_a_receiver_that_fails_gets_the_same_again(
    acme: Runware, shelf: Shelf, house: House
) -> None:
    shelf.remote.on("/failing", lambda visit: visit.answer("500 No"))
    hook = shelf.remote.url("/failing")
    task = shelf.task(acme, downloadURL=shelf.remote.url("/missing"), webhookURL=hook, deliveryMethod="async")

    acme.post(task).must(200)
    house.work()
    for number, pause in enumerate(PLAN.delays, start=1):
        assert len(shelf.visits(hook)) == number
        house.clock.advance(pause * 1.1 + timedelta(seconds=1))
        house.work()
    house.clock.advance(timedelta(days=1))
    house.work()

    visits = shelf.visits(hook)
    assert len(visits) == len(PLAN.delays) + 1 == 7
    assert timedelta(hours=1.9) < sum(PLAN.delays, timedelta()) < timedelta(hours=2.1)
    assert len({visit.body for visit in visits}) == 1
    assert json.loads(visits[0].body) == ask(acme, task)


def test_a_webhook_is_never_posted_to_private_places_nor_redirected(acme: Runware, shelf: Shelf, house: House) -> None:
    task = shelf.task(acme, webhookURL="http://10.0.0.1/hook")
    assert error_of(acme.post(task), 400)["parameter"] == "webhookURL"
    shelf.remote.on("/moved", lambda visit: visit.answer("302 Found", Location=shelf.remote.url("/elsewhere")))
    upload(acme, house, {**task, "webhookURL": shelf.remote.url("/moved")})

    assert len(shelf.visits(shelf.remote.url("/moved"))) == 1
    assert shelf.visits(shelf.remote.url("/elsewhere")) == []
    assert found(acme, task["air"]) is not None
