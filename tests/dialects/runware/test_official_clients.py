"""The official clients connect, are refused, keep their connections alive, and hear of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dialects.runware.official import javascript, newer_python, python

if TYPE_CHECKING:
    from pathlib import Path

    from tests.dialects.runware.client import Runware

pytestmark = pytest.mark.real_clients
REFUSAL = "a valid API key is needed"
UNKNOWN = "unsupportedTaskType"


@pytest.mark.statement("RU-02", "RU-04", "RU-05")
def test_the_python_client_connects_pings_is_refused_and_hears_of_errors(acme: Runware, tmp_path: Path) -> None:
    client = python(acme, tmp_path)
    enhance = ["promptEnhance", "IPromptEnhance", {"promptMaxLength": 100, "promptVersions": 1, "prompt": "a"}]

    connected, alive, unknown = client.call(acme.key, ["connect"], ["heartbeat"], enhance)
    *_, refused = client.call("sk_wrong", ["connect"], enhance)

    assert connected == {"result": None}
    assert alive == {"result": True}
    assert unknown["error"]["code"] == UNKNOWN
    assert refused["error"]["code"] == "ConnectionError"
    assert refused["error"]["message"].endswith(REFUSAL)


@pytest.mark.statement("RU-02", "RU-06")
def test_the_javascript_client_connects_is_refused_and_hears_of_errors(acme: Runware, tmp_path: Path) -> None:
    client = javascript(acme, tmp_path)
    calls = [["ensureConnection", None], ["promptEnhance", {"prompt": "a"}]]

    connected, unknown = client.call(acme.key, *calls)
    refused, _ = client.call("sk_wrong", *calls)

    assert connected["result"] is True
    assert unknown["error"]["code"] == UNKNOWN
    assert (refused["error"]["code"], refused["error"]["message"]) == ("invalidApiKey", REFUSAL)


@pytest.mark.statement("RU-02", "RU-08", "RU-09")
@pytest.mark.parametrize("transport", ["rest", "websocket"])
def test_the_newer_python_client_connects_is_refused_and_hears_of_errors(
    acme: Runware, tmp_path: Path, transport: str
) -> None:
    client = newer_python(acme, tmp_path, transport)
    search = ["get_response", {"taskUUID": "garbage"}]

    connected, unknown = client.call(acme.key, ["connect", None], search)
    *_, refused = client.call("sk_wrong", ["connect", None], search)

    assert connected == {"result": None}
    assert unknown["error"]["code"] == "validation"
    assert refused["error"]["code"] == "auth"
    assert refused["error"]["message"] == REFUSAL
