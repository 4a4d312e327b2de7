"""Tasks from their creation to their end: what each status shows, deleting, failing, and who may see them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from penstock.domain.errors import RunnerFailed
from tests.dialects.runway.client import PICTURE
from tests.support.exchange import exchange, fetch
from tests.support.native import Native

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.dialects.runway.client import Runway
    from tests.support.house import House

MEMBERS = {
    "PENDING": {"estimatedCost"},
    "THROTTLED": {"estimatedCost"},
    "RUNNING": {"progress", "estimatedCost"},
    "SUCCEEDED": {"output", "cost"},
    "FAILED": {"failure", "failureCode", "cost"},
    "CANCELLED": {"cost"},
}


def look(api: Runway, path: str, status: str) -> dict[str, object]:
    """A task that must be of that status, and show what that status shows."""
    said: dict[str, object] = api.call("GET", path).must(200)
    assert said["status"] == status
    assert set(said) == {"id", "createdAt", "status"} | MEMBERS[status]
    assert said["id"] == path.rpartition("/")[2]
    return said


def broken(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunnerFailed("the picture shows nothing")


@pytest.mark.statement("RW-01")
def test_a_wrong_or_missing_key_is_unauthenticated(acme: Runway) -> None:
    wrong = replace(acme, key="wrong").call("GET", "/v1/organization")
    missing = exchange("GET", f"{acme.base}/v1/organization", headers={"X-Runway-Version": "2024-11-06"})

    assert [set(answer.must(401)) for answer in (wrong, missing)] == [{"error"}] * 2


def test_a_key_without_the_right_is_refused_as_if_it_were_none(acme: Runway, house: House) -> None:
    path = acme.task(acme.upload())
    needs = {
        "files:write": ("POST", "/v1/uploads", {"filename": "a.png", "type": "ephemeral"}),
        "runs:read": ("GET", path, None),
        "runs:write": ("POST", "/v1/image_upscale", {"model": "x", "imageUri": "y"}),
        "account:read": ("POST", "/v1/organization/usage", {}),
    }
    account = f"scoped-{acme.key[-8:]}"
    house.create_key(account)

    for needed, (method, route, body) in needs.items():
        others = tuple(scope for scope in (*needs, "files:read") if scope != needed)
        weak = replace(acme, key=house.accounts.create_key(account, others)[1])
        assert set(weak.call(method, route, body).must(401)) == {"error"}
    weak = replace(acme, key=house.accounts.create_key(account, ("runs:read",))[1])
    assert [weak.call("DELETE", path).status, weak.call("GET", "/v1/organization").status] == [401, 401]


@pytest.mark.statement("RW-02")
@pytest.mark.parametrize("version", [None, "2023-01-01", ""])
def test_a_missing_or_other_version_is_refused(acme: Runway, version: str | None) -> None:
    assert replace(acme, version=version).call("GET", "/v1/organization").must(400)["error"]


@pytest.mark.statement("RW-03")
def test_headers_that_nobody_knows_are_ignored_and_a_deletion_may_name_a_type(acme: Runway) -> None:
    path = acme.task(acme.upload())
    headers = {"X_Stainless_Retry_Count": "1", "X_Runway_Source_Application": "a", "Idempotency_Key": "b"}

    acme.call("GET", path, **headers).must(200)
    gone = acme.call("DELETE", path, Accept="*/*", **headers)

    assert (gone.status, gone.body) == (204, b"")


@pytest.mark.statement("RW-40", "RW-42")
def test_a_task_shows_the_members_of_its_status(acme: Runway, house: House) -> None:
    seen: list[dict[str, object]] = []

    def slow(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        context.progress(0.25)
        seen.append(look(acme, path, "RUNNING"))
        return usual(_inputs, context)

    usual, house.models["gen4.5"] = house.models["gen4.5"], slow
    created = acme.generate(acme.upload()).must(200)
    path = f"/v1/tasks/{created['id']}"

    waiting = look(acme, path, "PENDING")
    house.work()
    done = look(acme, path, "SUCCEEDED")

    assert UUID(created["id"]).version == 4
    assert created["estimatedCost"] == waiting["estimatedCost"] == seen[0]["estimatedCost"] == {"credits": 60}
    assert seen[0]["progress"] == 0.25
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(waiting["createdAt"]))
    assert datetime.fromisoformat(str(waiting["createdAt"])).utcoffset() == timedelta(0)
    assert done["cost"] == {"credits": 60}
    assert isinstance(done["output"], list)
    assert [fetch(url).body for url in done["output"]] == [PICTURE]


@pytest.mark.statement("RW-44")
def test_a_later_look_gives_urls_that_work_for_another_day(acme: Runway, house: House) -> None:
    path = acme.task(acme.upload())
    house.work()
    (early,) = acme.call("GET", path).must(200)["output"]
    house.clock.advance(timedelta(hours=23))
    assert fetch(early).body == PICTURE

    house.clock.advance(timedelta(hours=25))

    (late,) = acme.call("GET", path).must(200)["output"]
    assert exchange("GET", early).status == 403
    assert fetch(late).body == PICTURE


@pytest.mark.statement("RW-41")
def test_a_task_never_costs_more_than_was_estimated(acme: Runway, house: House) -> None:
    created = acme.generate(acme.upload(), model="gen4_turbo").must(200)  # 25.25 credits
    house.work()

    done = look(acme, f"/v1/tasks/{created['id']}", "SUCCEEDED")

    assert created["estimatedCost"] == done["cost"] == {"credits": 26}


@pytest.mark.statement("RW-48")
def test_a_failed_task_says_why_and_costs_nothing(acme: Runway, house: House) -> None:
    house.models["gen4.5"] = broken
    path = acme.task(acme.upload())
    house.work()

    failed = look(acme, path, "FAILED")

    assert failed["failure"] == "the picture shows nothing"
    assert str(failed["failureCode"]).startswith("INTERNAL.BAD_OUTPUT.")
    assert failed["cost"] == {"credits": 0}
    assert acme.call("GET", "/v1/organization").must(200)["creditBalance"] == 10_000


@pytest.mark.statement("RW-03", "RW-45")
def test_a_deleted_task_is_not_found_any_more(acme: Runway, house: House) -> None:
    output = []

    def delete_meanwhile(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        look(acme, running, "RUNNING")
        assert acme.call("DELETE", running).status == 204
        return usual(_inputs, context)

    usual = house.models["gen4.5"]
    finished, failed = acme.task(acme.upload()), acme.task(acme.upload(), model="gen4_turbo")
    house.models["gen4_turbo"] = broken
    house.work()
    output += acme.call("GET", finished).must(200)["output"]
    house.models["gen4.5"] = delete_meanwhile
    running = acme.task(acme.upload())
    house.work()
    house.models["gen4.5"] = usual
    pending = acme.task(acme.upload())

    gone = [acme.call("DELETE", path) for path in (finished, failed, pending)]

    assert [(answer.status, answer.body) for answer in gone] == [(204, b"")] * 3
    for path in (finished, failed, running, pending):
        for method in ("GET", "DELETE"):
            assert set(acme.call(method, path).must(404)) == {"error"}
    assert acme.call("GET", "/v1/organization").must(200)["creditBalance"] == 10_000 - 2 * 60  # what had begun goes on
    house.work()
    house.clock.advance(timedelta(days=1))
    house.sweep()
    assert exchange("GET", output[0]).status in {403, 404}


@pytest.mark.statement("RW-49")
def test_what_ends_a_task_otherwise_shows_as_an_end(acme: Runway, house: House) -> None:
    native = Native(url=house.url, key=acme.key)
    path = acme.task(acme.upload())

    native.post(f"/runs/run_{path.rpartition('/')[2].replace('-', '')}/cancel").must(200)

    assert look(acme, path, "CANCELLED")["cost"] == {"credits": 0}


@pytest.mark.statement("RW-25", "RW-46")
def test_an_unknown_or_foreign_task_is_not_found(acme: Runway, rival: Runway) -> None:
    theirs = rival.task(rival.upload())
    for path in (theirs, "/v1/tasks/5f0c4a52-8f0e-4d0a-9a0b-0c1d2e3f4a5b", "/v1/tasks/x", "/v1/tasks/%00"):
        for method in ("GET", "DELETE"):
            assert set(acme.call(method, path).must(404)) == {"error"}
    look(rival, theirs, "PENDING")


def test_a_run_of_another_api_is_no_task(acme: Runway, house: House) -> None:
    native = Native(url=house.url, key=acme.key)
    run = native.start("gen4.5", {"promptImage": acme.upload()})
    path = f"/v1/tasks/{UUID(run['id'].removeprefix('run_'))}"

    assert [acme.call(method, path).status for method in ("GET", "DELETE")] == [404, 404]
    assert native.get(f"/runs/{run['id']}").must(200)["state"] == "queued"


@pytest.mark.statement("RW-55", "RW-56")
def test_a_refusal_is_nothing_but_error_and_issues(acme: Runway) -> None:
    refusals = [
        acme.call("PUT", "/v1/uploads", {}),
        acme.call("PATCH", "/v1/tasks/x", {}),
        acme.call("GET", "/v1/image_to_video"),
        acme.call("GET", "/v1/no/such/route"),
        acme.call("POST", "/v1/uploads", [1]),
        acme.call("POST", "/v1/uploads", b"null"),
        acme.call("POST", "/v1/uploads", b"x" * 70_000),
        acme.generate(None),
        replace(acme, key="").call("GET", "/v1/organization"),
    ]

    assert [answer.status for answer in refusals] == [405, 405, 405, 404, 400, 400, 413, 400, 401]
    for answer in refusals:
        assert answer.headers["content-type"] == "application/json"
        assert {"error"} <= set(answer.json()) <= {"error", "issues", "docUrl"}
    assert refusals[0].headers["allow"] == "POST"


@pytest.mark.statement("RW-60")
def test_the_organization_shows_credits_models_and_the_days_use(acme: Runway, house: House) -> None:
    acme.task(acme.upload())
    acme.call("DELETE", acme.task(acme.upload()))

    said = acme.call("GET", "/v1/organization").must(200)

    assert set(said) == {"creditBalance", "tier", "usage"}
    assert said["creditBalance"] == 10_000 - 60
    assert set(said["tier"]) == {"maxMonthlyCreditSpend", "models"}
    assert isinstance(said["tier"]["maxMonthlyCreditSpend"], int)
    assert set(said["tier"]["models"]["gen4.5"]) == {"maxConcurrentGenerations", "maxDailyGenerations"}
    assert said["usage"] == {"models": {"gen4.5": {"dailyGenerations": 2}}}
    house.clock.advance(timedelta(hours=24))
    assert acme.call("GET", "/v1/organization").must(200)["usage"] == {"models": {}}


@pytest.mark.statement("RW-61")
def test_the_usage_tells_what_each_day_cost(acme: Runway, house: House) -> None:
    today = house.clock.now().date()
    acme.task(acme.upload())
    acme.task(acme.upload(), model="gen4_turbo")
    acme.call("DELETE", acme.task(acme.upload()))
    house.work()
    house.clock.advance(timedelta(days=1))
    tomorrow = today + timedelta(days=1)
    acme.task(acme.upload())
    house.work()
    spans = [
        {},
        None,
        {"startDate": f"{today}"},
        {"startDate": f"{today}", "beforeDate": f"{tomorrow}"},
        {"startDate": f"{today + timedelta(days=2)}"},
    ]

    answers = [acme.call("POST", "/v1/organization/usage", span).must(200) for span in spans]

    first = {"date": f"{today}", "usedCredits": [_used("gen4.5", 60), _used("gen4_turbo", 26)]}
    second = {"date": f"{tomorrow}", "usedCredits": [_used("gen4.5", 60)]}
    both = {"results": [first, second], "models": ["gen4.5", "gen4_turbo"]}
    assert answers[2] == both
    assert answers[3] == {**both, "results": [first]}
    assert answers[4] == {"results": [], "models": []}
    # Unless said otherwise it is the 30 days before this one.
    assert answers[0] == answers[1] == {"results": [first], "models": ["gen4.5", "gen4_turbo"]}
    for wrong in (
        {"startDate": "21.11.2026"},
        {"startDate": "9999-12-31"},
        {"startDate": f"{today}", "beforeDate": f"{today + 91 * (tomorrow - today)}"},
    ):
        said = acme.call("POST", "/v1/organization/usage", wrong).must(400)
        assert len(said["issues"]) == 1


def _used(model: str, amount: int) -> dict[str, object]:
    return {"model": model, "amount": amount}
