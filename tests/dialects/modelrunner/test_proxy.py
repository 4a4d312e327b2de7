"""`/proxy`: the JavaScript client in a browser, whose calls all go to one address."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.dialects.modelrunner.client import PNG, envelope, issues, put
from tests.dialects.modelrunner.test_requests import picture

if TYPE_CHECKING:
    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.exchange import Answer
    from tests.support.house import House

TARGET = "x-modelrunner-target-url"


def through(modelrunner: ModelRunner, method: str, url: str, body: object = None) -> Answer:
    """A call by the proxy."""
    return modelrunner.call(method, "/proxy", body, **{TARGET: url})


def test_an_upload_and_a_request_go_through_the_proxy(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = picture
    declared = {"file_name": "input.png", "content_type": "image/png"}
    begun = through(acme, "POST", "https://modelrunner.run/storage/upload/initiate", declared).must(200)
    assert put(begun["upload_url"], PNG, "image/png").status == 200

    wanted = {"image_url": begun["file_url"]}
    queued = through(acme, "POST", "https://queue.modelrunner.run/acme/model", wanted).must(201)
    house.work()
    path = f"https://queue.modelrunner.run/acme/model/requests/{queued['request_id']}"
    status = through(acme, "GET", f"{path}/status?logs=1").must(200)
    result = through(acme, "GET", path).must(200)

    assert (status["status"], result["status"]) == ("COMPLETED", "COMPLETED")
    assert result["input"] == wanted


def test_the_proxy_leads_to_this_server_alone_and_asks_for_a_key(acme: ModelRunner) -> None:
    wrong = ["https://example.com/acme/model", "https://evilmodelrunner.run/acme/model", "http://modelrunner.run/a/b"]
    wrong += ["https://modelrunner.run.example.com/a/b", "https://[", "", "/acme/model"]

    for url in wrong:
        assert set(issues(through(acme, "POST", url, {}))) == {TARGET}, url
    assert set(issues(acme.call("POST", "/proxy", {}))) == {TARGET}
    envelope(through(replace(acme, key="nobody"), "POST", "https://modelrunner.run/acme/model", {}), 401)
    envelope(through(acme, "POST", "https://modelrunner.run/proxy", {}), 404)
    envelope(through(acme, "POST", "https://modelrunner.run/acme/unknown", {}), 404)
    envelope(through(acme, "POST", "https://modelrunner.run", {}), 404)
