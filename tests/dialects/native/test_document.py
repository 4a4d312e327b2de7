"""The OpenAPI document tells a program, and the interactive page, what it takes to call each route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tools.reference import openapi, operations

if TYPE_CHECKING:
    from tests.support.native import Native


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi()


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")


def test_every_route_but_the_public_one_asks_for_a_bearer_key(document: dict[str, Any]) -> None:
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    public = [path for _, path, operation in operations(document) if operation.get("security") == []]
    assert sorted(public) == ["/v1/media/{key}", "/v1/media/{key}/thumbnail"]


def test_every_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(names) == len(set(names))


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    assert [path for _, path, operation in operations(document) if not operation.get("description")] == []


def test_errors_are_announced_under_their_media_type(document: dict[str, Any]) -> None:
    for _, _, operation in operations(document):
        for statuses in ("4XX", "5XX"):
            assert set(operation["responses"][statuses]["content"]) == {"application/problem+json"}


def test_the_server_stands_in_it_once(alice: Native) -> None:
    served = alice.get("/openapi.json").must(200)

    assert [server["url"] for server in served["servers"]] == [f"{alice.url}/v1"]
