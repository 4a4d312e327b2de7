from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from penstock.client import (
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    FieldError,
    GoneError,
    InsufficientCreditsError,
    InvalidRequestError,
    NotFoundError,
    PenstockApiError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnavailableError,
    UnexpectedAnswerError,
)
from tests.client.scripted_server import Answer, asset, problem, reply
from tests.support.ports import held_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.client import Penstock
    from tests.client.scripted_server import ScriptedServer


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, InsufficientCreditsError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (410, GoneError),
        (405, InvalidRequestError),
        (409, ConflictError),
        (413, InvalidRequestError),
        (422, InvalidRequestError),
        (429, RateLimitedError),
        (500, ServerError),
        (501, ServerError),
        (502, UnavailableError),
        (503, UnavailableError),
        (507, UnavailableError),
    ],
)
def test_each_status_has_its_error(
    client: Penstock, server: ScriptedServer, status: int, kind: type[PenstockApiError]
) -> None:
    server.answer("GET", "/v1/account", problem(status, "some_code", "in words"))

    with pytest.raises(PenstockApiError) as caught:
        client.account()

    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code, caught.value.detail) == (status, "some_code", "in words")


def test_an_error_names_the_request_and_the_fields(client: Penstock, server: ScriptedServer) -> None:
    fields = [{"pointer": "#/input/image", "detail": "is required", "code": "missing"}]
    server.answer("POST", "/v1/runs", problem(422, "invalid_field", "image: is required", errors=fields))

    with pytest.raises(InvalidRequestError) as caught:
        client.create_run("builtin/stylize", {})

    assert caught.value.request_id == "req-1"
    assert caught.value.errors == (FieldError(pointer="#/input/image", detail="is required", code="missing"),)
    assert str(caught.value) == "image: is required (invalid_field, HTTP 422, request req-1)"


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[1]", b"null", b"", b"\xff\xfe"])
def test_an_error_that_a_proxy_wrote_is_an_error_too(client: Penstock, server: ScriptedServer, body: bytes) -> None:
    server.answer("GET", "/v1/account", Answer(status=502, body=body, headers={"Content-Type": "text/html"}))

    with pytest.raises(UnavailableError) as caught:
        client.account()

    assert (caught.value.code, caught.value.request_id) == ("unknown", "req-header")


def test_an_error_whose_fields_are_of_other_types_is_an_error_too(client: Penstock, server: ScriptedServer) -> None:
    odd = {"detail": 7, "code": None, "request_id": [], "errors": [3, {"pointer": 1}]}
    server.answer("GET", "/v1/account", Answer(status=422, body=json.dumps(odd).encode()))

    with pytest.raises(InvalidRequestError) as caught:
        client.account()

    assert caught.value.code == "unknown"
    assert caught.value.errors == (FieldError(pointer="", detail="", code=""),)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>Welcome to the hotel network</html>", headers={"Content-Type": "text/html"}),
        reply({"id": "asset_1"}),
        reply([]),
        Answer(status=302, headers={"Location": "http://127.0.0.1:9/elsewhere"}),
    ],
)
def test_an_answer_that_is_not_the_apis_is_said_to_be_that(
    client: Penstock, server: ScriptedServer, answer: Answer
) -> None:
    server.answer("GET", "/v1/assets/asset_1", answer)

    with pytest.raises(UnexpectedAnswerError):
        client.asset("asset_1")


def test_a_field_that_a_newer_server_adds_is_ignored(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/assets/asset_1", reply(asset(colour="blue", state="a new word")))

    assert client.asset("asset_1").id == "asset_1"


def test_a_server_that_is_not_there_is_named_without_the_path(make_client: Callable[..., Penstock]) -> None:
    with held_port() as port:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(ConnectionFailedError, match=f"no answer from {url}: "):
            make_client(url).account()


def test_an_id_cannot_lead_to_another_route(client: Penstock, server: ScriptedServer) -> None:
    with pytest.raises(NotFoundError):
        client.asset("../account?x=1")

    assert server.seen[0].path == "/v1/assets/..%2Faccount%3Fx%3D1"


def test_too_many_requests_are_repeated_after_the_time_that_the_server_names(
    client: Penstock, server: ScriptedServer
) -> None:
    server.answer(
        "GET", "/v1/assets/asset_1", problem(429, "rate_limited", headers={"Retry-After": "0"}), reply(asset())
    )

    assert client.asset("asset_1").id == "asset_1"


def test_a_server_that_asks_for_an_hour_is_not_waited_for(client: Penstock, server: ScriptedServer) -> None:
    server.answer("GET", "/v1/account", problem(429, "rate_limited", headers={"Retry-After": "3600"}))

    with pytest.raises(RateLimitedError) as caught:
        client.account()

    assert caught.value.retry_after == 3600
    assert len(server.seen) == 1
