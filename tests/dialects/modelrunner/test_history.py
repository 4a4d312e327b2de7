"""The history of requests, the removal of payloads, and the files of an account."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tests.dialects.modelrunner.client import PNG, envelope, issues
from tests.dialects.modelrunner.test_requests import broken, nothing, picture
from tests.support.exchange import fetch

if TYPE_CHECKING:
    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.house import House


def listed(modelrunner: ModelRunner, **query: object) -> list[str]:
    """Ids of the requests that a history shows."""
    said = modelrunner.call("GET", f"/requests?{urlencode(query)}").must(200)
    return [item["id"] for item in said["items"]]


def test_the_history_shows_results_newest_first_page_by_page(
    acme: ModelRunner, rival: ModelRunner, house: House
) -> None:
    house.models.update({"acme/model": picture, "workflows/acme/flow": broken})
    ids = [acme.submit(body={"text": "a", "metadata": {"n": str(n)}})["request_id"] for n in range(2)]
    ids.append(acme.submit("workflows/acme/flow")["request_id"])
    rival.submit()
    house.work()
    ids.append(acme.submit()["request_id"])

    first = acme.call("GET", "/requests?limit=3").must(200)
    second = acme.call("GET", "/requests?limit=3&page=2").must(200)

    assert [item["id"] for item in (*first["items"], *second["items"])] == ids[::-1]
    assert [(page["page"], page["limit"], page["hasMore"]) for page in (first, second)] == [(1, 3, True), (2, 3, False)]
    waiting, failed, done = first["items"]
    assert (waiting["status"], waiting["output"], waiting["billingStatus"]) == ("IN_QUEUE", {}, "pending")
    assert (failed["status"], failed["error"], failed["billingStatus"]) == (
        "COMPLETED",
        "the picture shows nothing",
        "failed",
    )
    assert fetch(done["output"]["images"][0]["url"]).body == PNG
    result = acme.call("GET", f"/requests/{ids[1]}").must(200)
    assert {**done, "logs": ""} == {**result, "logs": ""}


def test_the_history_is_filtered_by_status_model_and_metadata(acme: ModelRunner, house: House) -> None:
    house.models.update({"acme/model": nothing, "workflows/acme/flow": broken})
    done = acme.submit(body={"metadata": {"env": "prod", "batch": "42"}})["request_id"]
    failed = acme.submit("workflows/acme/flow", {"metadata": {"env": "prod"}})["request_id"]
    house.work()
    cancelled, waiting = acme.submit(), acme.submit()["request_id"]
    acme.call("PUT", cancelled["cancel_url"]).must(200)

    assert listed(acme, status="COMPLETED") == [failed, done]
    assert listed(acme, status="CANCELLED") == [cancelled["request_id"]]
    assert listed(acme, status="IN_QUEUE") == [waiting]
    assert listed(acme, status="FAILED") == listed(acme, status="IN_PROGRESS") == []
    assert listed(acme, modelEndpoint="workflows/acme/flow") == [failed]
    assert listed(acme, metadata=json.dumps({"env": "prod"})) == [failed, done]
    assert listed(acme, metadata=json.dumps({"env": "prod", "batch": "42"}), status="COMPLETED", limit=10) == [done]
    assert listed(acme, metadata="{}") == [waiting, cancelled["request_id"], failed, done]


def test_a_filter_that_cannot_be_is_refused_by_name(acme: ModelRunner) -> None:
    wrong = {
        "status": ["DONE", "completed", ""],
        "metadata": ["", "{", "[]", '{"a": 1}', "7", json.dumps({"k" * 65: "v"})],
        "page": ["0", "x", "501"],
        "limit": ["0", "101", "x"],
        "modelEndpoint": ["x" * 201, "\0"],
    }

    for name, values in wrong.items():
        for value in values:
            found = issues(acme.call("GET", f"/requests?{urlencode({name: value})}"))
            assert all(path.startswith(name) for path in found), (name, value, found)


@pytest.mark.parametrize("address", ["by its id", "behind response_url"])
def test_payloads_are_removed_with_the_files_made_and_the_request_stays(
    acme: ModelRunner, house: House, address: str
) -> None:
    house.models["acme/model"] = picture
    used = acme.upload()
    queued = acme.submit(body={"image": used, "metadata": {"job": "7"}})
    path = queued["response_url"] if address == "behind response_url" else f"/requests/{queued['request_id']}"
    refused = acme.call("DELETE", f"{path}/payloads")
    house.work()
    [made] = acme.call("GET", queued["response_url"]).must(200)["output"]["images"]

    said = acme.call("DELETE", f"{path}/payloads", X_Idempotency_Key="once").must(200)
    again = acme.call("DELETE", f"{path}/payloads", X_Idempotency_Key="once").must(200)

    assert envelope(refused, 409)["details"] == {"code": "CONFLICT"}
    assert "running" not in refused.json()["message"]
    told = {"request_id": queued["request_id"], "payloads_deleted": True}
    assert said == {**told, "cdn_delete_results": [{"link": made["url"], "exception": None}]}
    assert again == {**told, "cdn_delete_results": []}
    assert (fetch(made["url"]).status, fetch(used).status) == (404, 200)
    left = acme.call("GET", queued["response_url"]).must(200)
    assert (left["input"], left["output"], left["metadata"], left["billingStatus"]) == ({}, {}, {"job": "7"}, "charged")
    assert left["payloadsPurgedAt"] is not None
    assert left["inferenceTime"] is not None
    assert acme.call("GET", queued["status_url"]).must(200)["status"] == "COMPLETED"


def test_a_failed_request_without_payloads_still_says_that_it_failed(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = broken
    queued = acme.submit()
    house.work()

    acme.call("DELETE", f"/requests/{queued['request_id']}/payloads").must(200)

    said = envelope(acme.call("GET", queued["response_url"]), 422)
    assert said["error"] == "the request failed; why was removed with its payloads"


def test_what_shall_not_be_stored_goes_a_quarter_of_an_hour_after_the_end(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = picture
    waited = [acme.call("POST", "/acme/model", {}, X_Modelrunner_Store_IO=value).must(201) for value in ("0", "1")]
    house.clock.advance(timedelta(minutes=20))
    house.work()
    [made] = acme.call("GET", waited[0]["response_url"]).must(200)["output"]["images"]

    house.clock.advance(timedelta(minutes=14))
    house.work()
    before = [acme.call("GET", run["response_url"]).must(200) for run in waited]
    house.clock.advance(timedelta(minutes=1))
    house.work()
    after = [acme.call("GET", run["response_url"]).must(200) for run in waited]

    assert [run["payloadsPurgedAt"] for run in before] == [None, None]
    assert (after[0]["output"], after[0]["payloadsPurgedAt"] is None) == ({}, False)
    assert after[1] == before[1]
    assert fetch(made["url"]).body == PNG


def test_payloads_of_a_stranger_are_not_removed(acme: ModelRunner, rival: ModelRunner, house: House) -> None:
    house.models["acme/model"] = picture
    queued = acme.submit()
    house.work()

    envelope(rival.call("DELETE", f"/requests/{queued['request_id']}/payloads"), 404)
    envelope(rival.call("DELETE", f"/acme/model/requests/{queued['request_id']}/payloads"), 404)
    envelope(acme.call("DELETE", f"/acme/strict/requests/{queued['request_id']}/payloads"), 404)

    assert acme.call("GET", queued["response_url"]).must(200)["payloadsPurgedAt"] is None


def test_files_are_listed_newest_first_and_deleted_for_good(
    acme: ModelRunner, rival: ModelRunner, house: House
) -> None:
    urls = [acme.upload(name=f"{n}.png") for n in range(3)]
    for url in urls:
        fetch(url)
    rival.upload()

    first = acme.call("GET", "/files?limit=2").must(200)
    rest = acme.call("GET", f"/files?{urlencode({'limit': 2, 'cursor': first['nextCursor']})}").must(200)
    files: list[Any] = [*first["items"], *rest["items"]]

    assert [file["url"] for file in files] == urls[::-1]
    assert rest["nextCursor"] is None
    assert {**files[0], "id": "", "url": "", "createdAt": ""} == {
        "id": "",
        "url": "",
        "fileName": "2.png",
        "contentType": "image/png",
        "fileSize": len(PNG),
        "createdAt": "",
        "expiresAt": None,
    }
    envelope(rival.call("DELETE", f"/files/{files[0]['id']}"), 404)
    assert [acme.call("DELETE", f"/files/{files[0]['id']}").status for _ in range(2)] == [204, 204]
    assert [fetch(url).status for url in urls] == [200, 200, 404]
    for unknown in ("A" * 20 + "B", "x", "A" * 22):
        envelope(acme.call("DELETE", f"/files/{unknown}"), 404)
    envelope(acme.call("GET", "/files?cursor=x"), 400)
