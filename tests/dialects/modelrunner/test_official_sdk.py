"""The official Python SDK, unchanged but for its addresses, against a real `penstock serve`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import modelrunner_ai
import pytest
from modelrunner_ai import client as sdk

from tests.support.exchange import fetch
from tests.support.remote import remote_server
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server

PHOTOGRAPH = Path(__file__).parents[3] / "examples" / "chelsea.png"
MODEL = "swook/inspyrenet"


@pytest.fixture
def base(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the SDK's module-level addresses point during a test."""
    base = f"{server.url}/modelrunner"
    monkeypatch.setattr(sdk, "REST_URL", base)
    monkeypatch.setattr(sdk, "RUN_URL_FORMAT", f"{base}/")
    monkeypatch.setattr(sdk, "QUEUE_URL_FORMAT", f"{base}/")
    monkeypatch.setattr(sdk, "WEBHOOK_SECRET_URL", f"{base}/webhooks/default/secret")
    return base


@pytest.fixture
def modelrunner(key: str, base: str) -> Iterator[Any]:
    client = modelrunner_ai.SyncClient(key=key)
    yield client
    client._client.close()  # noqa: SLF001 - the SDK has no way to close


def cutout(result: dict[str, Any]) -> bytes:
    """The picture of a result, which must be complete."""
    assert (result["status"], result["billingStatus"]) == ("COMPLETED", "charged")
    assert set(result) >= {"id", "modelEndpoint", "output", "input", "createdAt"}
    served = fetch(result["output"]["image"]["url"])
    assert (served.status, served.headers["content-type"]) == (200, "image/png")
    return served.body


@pytest.mark.statement("MR-38")
def test_upload_file_then_submit_and_get(modelrunner: Any, base: str) -> None:  # noqa: ANN401 - the SDK is untyped
    url = modelrunner.upload_file(PHOTOGRAPH)
    handle = modelrunner.submit(MODEL, arguments={"image_path": url}, metadata={"job": "7"}, priority="low", hint="gpu")
    result = handle.get()

    assert url.startswith(f"{base}/media/")
    assert url.endswith("-chelsea.png")
    assert fetch(url).body == PHOTOGRAPH.read_bytes()
    assert cutout(result).startswith(b"\x89PNG")
    assert (result["metadata"], result["input"]) == ({"job": "7"}, {"image_path": url})
    assert handle.status(with_logs=True).metrics["inference_time"] > 0
    assert modelrunner.result(MODEL, handle.request_id) == result


@pytest.mark.statement("MR-38")
def test_a_payload_of_more_than_90_mib_goes_in_parts(modelrunner: Any, base: str) -> None:  # noqa: ANN401 - the SDK is untyped
    content = PHOTOGRAPH.read_bytes() + bytes(sdk.MULTIPART_THRESHOLD)

    url = modelrunner.upload(
        content, "image/png", "large.png", lifecycle=modelrunner_ai.StorageSettings(expires_in="1h")
    )

    assert url.startswith(f"{base}/media/")
    served = fetch(url)
    assert (served.status, served.headers["content-type"]) == (200, "image/png")
    assert served.body == content


@pytest.mark.statement("MR-38")
def test_a_file_of_more_than_90_mib_is_the_input_of_a_request(
    modelrunner: Any,  # noqa: ANN401 - the SDK is untyped
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(PHOTOGRAPH.read_bytes() + bytes(6 * 2**20))
    # The threshold alone is lower, so that the model is not given more than it takes; the parts are the SDK's own.
    monkeypatch.setattr(sdk, "MULTIPART_THRESHOLD", 2**20)
    monkeypatch.setattr(sdk, "MULTIPART_CHUNK_SIZE", 5 * 2**20)

    url = modelrunner.upload_file(large)

    assert cutout(modelrunner.submit(MODEL, arguments={"image_path": url}).get()).startswith(b"\x89PNG")


@pytest.mark.statement("MR-38")
def test_run_uploads_what_it_finds_and_answers_the_result(modelrunner: Any) -> None:  # noqa: ANN401 - the SDK is untyped
    result = modelrunner.run(MODEL, arguments={"image_path": PHOTOGRAPH})

    assert cutout(result).startswith(b"\x89PNG")


@pytest.mark.statement("MR-38")
def test_subscribe_reports_the_queue_and_answers_the_result(modelrunner: Any) -> None:  # noqa: ANN401 - the SDK is untyped
    seen: list[object] = []

    result = modelrunner.subscribe(
        MODEL, arguments={"image": PHOTOGRAPH.read_bytes()}, with_logs=True, on_queue_update=seen.append
    )

    assert cutout(result).startswith(b"\x89PNG")
    assert isinstance(seen[-1], modelrunner_ai.Completed)


def test_stream_answers_the_output(modelrunner: Any) -> None:  # noqa: ANN401 - the SDK is untyped
    [output] = modelrunner.stream(MODEL, arguments={"image_path": PHOTOGRAPH})

    assert fetch(output["image"]["url"]).body.startswith(b"\x89PNG")


def test_the_asynchronous_client_does_the_same(key: str, base: str) -> None:
    async def story() -> dict[str, Any]:
        client = modelrunner_ai.AsyncClient(key=key)
        async with client._client:  # noqa: SLF001 - the SDK has no way to close
            url = await client.upload_file(PHOTOGRAPH)
            result: dict[str, Any] = await client.subscribe(MODEL, arguments={"image_url": url})
            return result

    assert cutout(asyncio.run(story())).startswith(b"\x89PNG")


@pytest.mark.parametrize("content_type", ["image/svg+xml", "text/plain", "application/octet-stream", "video/mp4"])
def test_upload_takes_bytes_of_any_type(modelrunner: Any, content_type: str) -> None:  # noqa: ANN401 - the SDK is untyped
    content = b'<svg xmlns="http://www.w3.org/2000/svg"/>'

    url = modelrunner.upload(content, content_type, lifecycle=modelrunner_ai.StorageSettings(expires_in="1h"))

    assert fetch(url).body == content


def test_cancel_ends_a_request(modelrunner: Any) -> None:  # noqa: ANN401 - the SDK is untyped
    handle = modelrunner.submit(MODEL, arguments={"image": PHOTOGRAPH})

    handle.cancel()

    with pytest.raises(sdk.ModelrunnerClientHTTPError) as refused:
        handle.get()
    assert refused.value.status_code == 400
    assert "cancelled" in str(refused.value)


def test_refusals_reach_the_caller_at_once(modelrunner: Any) -> None:  # noqa: ANN401 - the SDK is untyped
    damaged = modelrunner.upload(PHOTOGRAPH.read_bytes()[:5000], "image/png")
    calls = {
        "no/model": ({}, 404),
        MODEL: ({"image_path": "https://example.com/cat.png"}, 400),
        "builtin/remove-background": ({"image": damaged}, 422),
    }

    for model, (arguments, status) in calls.items():
        with pytest.raises(sdk.ModelrunnerClientHTTPError) as refused:
            modelrunner.subscribe(model, arguments=arguments)
        assert refused.value.status_code == status, model


@pytest.mark.statement("MR-36")
def test_a_webhook_is_verified_by_the_sdk(modelrunner: Any) -> None:  # noqa: ANN401 - the SDK is untyped
    with remote_server() as receiver:
        receiver.on("/hook", lambda visit: visit.answer("200 OK"))
        handle = modelrunner.submit(
            MODEL,
            arguments={"image": PHOTOGRAPH},
            webhook_url=receiver.url("/hook"),
            webhook_events=["start", "completed"],
        )
        wait_until(lambda: len(receiver.visits) == 2, "both webhooks have come")

    secret = modelrunner.get_webhook_secret()
    told = {
        said["event"]: said
        for visit in receiver.visits
        for said in [modelrunner_ai.verify_webhook(secret, visit.headers, visit.body)]
    }
    assert set(told) == {"start", "completed"}
    assert told["completed"]["id"] == handle.request_id
    assert cutout(told["completed"]).startswith(b"\x89PNG")


def test_a_webhook_that_could_never_come_is_refused(modelrunner: Any) -> None:  # noqa: ANN401 - the SDK is untyped
    with pytest.raises(sdk.ModelrunnerClientHTTPError) as refused:
        modelrunner.submit(MODEL, arguments={}, webhook_url="https://10.0.0.1/hook")

    assert refused.value.status_code == 400
