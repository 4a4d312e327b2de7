from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.store.support import Response, Store, store_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

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

    assert asked.status == 200
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
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example", "Access_Control_Request_Method": "PUT"}, 403),
        ({"Origin": DASHBOARD, "Access_Control_Request_Method": "PATCH"}, 400),
        ({"Origin": DASHBOARD}, 400),
        ({"Access_Control_Request_Method": "PUT"}, 400),
    ],
)
def test_other_preflights_are_refused(cors_store: Store, headers: dict[str, str], status: int) -> None:
    response = cors_store.exchange(preflight(cors_store, **headers))

    assert response.status == status


def test_another_origin_gets_no_cors_headers(cors_store: Store) -> None:
    target = cors_store.presign("PUT", "other")

    head = cors_store.plain_head("PUT", target, {"origin": "http://evil.example", "content-length": "1"})

    assert "access-control-allow-origin" not in cors_store.exchange(head + b"x").headers


RULES = b"""<CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<CORSRule><ID>one</ID><AllowedOrigin>https://*.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>
<AllowedMethod>GET</AllowedMethod><AllowedHeader>Content-*</AllowedHeader><MaxAgeSeconds>60</MaxAgeSeconds>
<ExposeHeader>ETag</ExposeHeader></CORSRule></CORSConfiguration>"""


def configure(store: Store, rules: bytes) -> Response:
    return store.call("PUT", "", query={"cors": ""}, body=rules)


def test_a_bucket_has_rules_of_its_own_until_they_are_deleted(store: Store) -> None:
    ask = preflight(
        store,
        Origin="https://a.example",
        Access_Control_Request_Method="PUT",
        Access_Control_Request_Headers="content-type",
    )
    before = store.exchange(ask)
    put = configure(store, RULES)
    allowed = store.exchange(ask)
    shown = store.call("GET", "", query={"cors": ""})
    deleted = store.call("DELETE", "", query={"cors": ""})
    after = store.exchange(ask)

    assert [answer.status for answer in (before, put, allowed, deleted, after)] == [403, 200, 200, 204, 403]
    assert allowed.headers["access-control-allow-origin"] == "https://a.example"
    assert allowed.headers["access-control-allow-methods"] == "PUT, GET"
    assert allowed.headers["access-control-max-age"] == "60"
    assert shown.body.replace(b"\n", b"").endswith(RULES.replace(b"\n", b"").partition(b'/">')[2])
    assert store.call("GET", "", query={"cors": ""}).code == "NoSuchCORSConfiguration"


def test_the_rules_of_a_bucket_hold_for_answers_too(store: Store) -> None:
    configure(store, RULES)
    target = store.presign("GET", "k")

    def headers(origin: str) -> Mapping[str, str]:
        return store.exchange(store.plain_head("GET", target, {"origin": origin})).headers

    assert headers("https://a.example")["access-control-expose-headers"] == "ETag"
    assert "access-control-allow-origin" not in headers("https://a.example.evil")


@pytest.mark.parametrize(
    "ask",
    [
        {"Origin": "http://a.example", "Access_Control_Request_Method": "PUT"},
        {"Origin": "https://a.example", "Access_Control_Request_Method": "DELETE"},
        {
            "Origin": "https://a.example",
            "Access_Control_Request_Method": "PUT",
            "Access_Control_Request_Headers": "x-a",
        },
    ],
)
def test_a_rule_allows_what_it_names_and_nothing_else(store: Store, ask: dict[str, str]) -> None:
    configure(store, RULES)

    refused = store.exchange(preflight(store, **ask))

    assert refused.status == 403
    assert "access-control-allow-origin" not in refused.headers


def test_the_rules_of_a_bucket_and_its_age_outlive_a_restart(tmp_path: Path) -> None:
    with store_in_thread(tmp_path) as store:
        born = store.exchange(store.head_bytes("GET", "/")).body
        configure(store, RULES)
        assert store.exchange(store.head_bytes("GET", "/")).body == born

    with store_in_thread(tmp_path) as store:
        assert b"<ID>one</ID>" in store.call("GET", "", query={"cors": ""}).body
        assert store.exchange(store.head_bytes("GET", "/")).body == born
        assert store.call("DELETE", "").status == 204
        assert store.exchange(store.head_bytes("PUT", "/penstock", headers={"content-length": "0"})).status == 200
        assert store.call("GET", "", query={"cors": ""}).status == 404


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        (b"", "MalformedXML"),
        (b"<CORSConfiguration/>", "MalformedXML"),
        (b"<CORSConfiguration><CORSRule/></CORSConfiguration>", "MalformedXML"),
        (RULES.replace(b"PUT", b"PATCH"), "InvalidRequest"),
        (RULES.replace(b"https://*.", b"*://*."), "InvalidRequest"),
        (RULES.replace(b"60", b"soon"), "MalformedXML"),
        (RULES.replace(b">ETag", b">ETag&#10;Set-Cookie: a=b"), "MalformedXML"),
    ],
)
def test_rules_that_mean_nothing_are_refused(store: Store, rules: bytes, code: str) -> None:
    assert configure(store, rules).code == code
    assert store.call("GET", "", query={"cors": ""}).status == 404


@pytest.mark.parametrize("headers", [{}, {"origin": "http://evil.example"}])
def test_an_answer_without_permission_says_that_another_page_may_have_it(
    cors_store: Store, headers: Mapping[str, str]
) -> None:
    response = cors_store.exchange(cors_store.plain_head("GET", "/penstock/k", headers))

    assert response.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in response.headers
