from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.support import Store, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

DASHBOARD = "http://localhost:8000"


@pytest.fixture(scope="module")
def cors_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store_in_thread(tmp_path_factory.mktemp("cors"), cors_origins=(DASHBOARD,)) as store:
        yield store


def preflight(store: Store, **headers: str) -> bytes:
    return store.plain_head("OPTIONS", "/penstock/k", {name.replace("_", "-"): text for name, text in headers.items()})


def test_a_page_of_an_allowed_origin_may_put_and_read_the_etag(cors_store: Store) -> None:
    ask = preflight(
        cors_store, Origin=DASHBOARD, Access_Control_Request_Method="PUT", Access_Control_Request_Headers="content-type"
    )
    asked = cors_store.exchange(ask)
    head = cors_store.plain_head("PUT", cors_store.presign("PUT", "k"), {"origin": DASHBOARD, "content-length": "1"})
    put = cors_store.exchange(head + b"x")

    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == DASHBOARD
    assert "PUT" in asked.headers["access-control-allow-methods"]
    assert asked.headers["access-control-allow-headers"] == "content-type"
    assert put.headers["access-control-allow-origin"] == DASHBOARD
    assert "ETag" in put.headers["access-control-expose-headers"]
    assert put.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in put.headers


def test_an_error_can_be_read_by_an_allowed_page_too(cors_store: Store) -> None:
    head = cors_store.plain_head("GET", "/penstock/k", {"origin": DASHBOARD})

    response = cors_store.exchange(head)

    assert (response.status, response.headers["access-control-allow-origin"]) == (403, DASHBOARD)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example", "Access_Control_Request_Method": "PUT"},
        {"Origin": DASHBOARD, "Access_Control_Request_Method": "PATCH"},
        {"Origin": DASHBOARD},
        {"Access_Control_Request_Method": "PUT"},
    ],
)
def test_other_preflights_are_forbidden(cors_store: Store, headers: dict[str, str]) -> None:
    response = cors_store.exchange(preflight(cors_store, **headers))

    assert response.status == 403


def test_another_origin_gets_no_cors_headers(cors_store: Store) -> None:
    target = cors_store.presign("PUT", "other")

    head = cors_store.plain_head("PUT", target, {"origin": "http://evil.example", "content-length": "1"})

    assert "access-control-allow-origin" not in cors_store.exchange(head + b"x").headers
