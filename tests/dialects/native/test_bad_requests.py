"""Keys, paths, methods, queries and headers that are wrong: each gets a clear problem with the right status."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.exchange import exchange
from tests.support.native import Native, problem
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.app import Administration
    from tests.support.server import Server

UNKNOWN = "00000000000040008000000000000000"
# Each route that needs a key, and the scope that it needs.
ROUTES = [
    ("POST", "/uploads", "files:write"),
    ("GET", "/uploads", "files:read"),
    ("GET", f"/uploads/upload_{UNKNOWN}", "files:read"),
    ("DELETE", f"/uploads/upload_{UNKNOWN}", "files:write"),
    ("POST", f"/uploads/upload_{UNKNOWN}/complete", "files:write"),
    ("GET", f"/uploads/upload_{UNKNOWN}/events", "files:read"),
    ("GET", "/assets", "files:read"),
    ("GET", f"/assets/asset_{UNKNOWN}", "files:read"),
    ("DELETE", f"/assets/asset_{UNKNOWN}", "files:write"),
    ("GET", "/models", "runs:read"),
    ("GET", "/models/builtin/stylize", "runs:read"),
    ("POST", "/runs", "runs:write"),
    ("GET", "/runs", "runs:read"),
    ("GET", f"/runs/run_{UNKNOWN}", "runs:read"),
    ("POST", f"/runs/run_{UNKNOWN}/cancel", "runs:write"),
    ("GET", f"/runs/run_{UNKNOWN}/events", "runs:read"),
    ("POST", "/models", "models:write"),
    ("GET", "/models/registered", "models:read"),
    ("GET", "/models/acme:1@1", "models:read"),
    ("PATCH", "/models/acme:1@1", "models:write"),
    ("DELETE", "/models/acme:1@1", "models:write"),
    ("GET", "/models/acme:1@1/files/original", "models:read"),
    ("POST", "/models/examinations", "models:read"),
    ("POST", "/model-sources", "models:write"),
    ("GET", "/model-sources", "models:read"),
    ("GET", "/model-uploads", "models:read"),
    ("GET", f"/model-uploads/modelupload_{UNKNOWN}", "models:read"),
    ("GET", f"/model-uploads/modelupload_{UNKNOWN}/events", "models:read"),
    ("POST", "/webhook-endpoints", "webhooks:write"),
    ("GET", f"/webhook-endpoints/endpoint_{UNKNOWN}", "webhooks:write"),
    ("GET", "/webhook-secret", "webhooks:write"),
    ("POST", "/webhook-secret/rotate", "webhooks:write"),
    ("GET", "/webhook-deliveries", "webhooks:write"),
    ("POST", f"/webhook-deliveries/delivery_{UNKNOWN}/redeliver", "webhooks:write"),
    ("GET", "/account", "account:read"),
    ("GET", "/account/ledger", "account:read"),
]
GOOD_BODIES: dict[str, dict[str, Any]] = {
    "/uploads": {"filename": "a.png", "content_type": "image/png"},
    "/runs": {"model": "builtin/stylize", "input": {"prompt": "ink"}},
    "/models": {"air": "acme:1@1"},
    "/models/acme:1@1": {"name": "other"},
    "/model-sources": {"name": "some-source"},
    "/webhook-endpoints": {"url": "https://hooks.example.com/a"},
}
SCOPES = (
    *("files:read", "files:write", "runs:read", "runs:write"),
    *("models:read", "models:write", "webhooks:write", "account:read"),
)


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_a_route_asks_for_a_key_before_it_looks_at_the_body(server: Server, method: str, path: str, scope: str) -> None:
    answer = Native(url=server.url, key=None).call(method, path, "{broken")

    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_a_route_asks_for_its_scope(make_account: Callable[..., Native], method: str, path: str, scope: str) -> None:
    limited = make_account(*(other for other in SCOPES if other != scope))

    answer = limited.call(method, path, GOOD_BODIES.get(path) if method in {"POST", "PATCH"} else None)

    assert scope in problem(answer, 403, "scope_missing")["detail"]


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer é",
        "Bearer " + "x" * 8000,
        "{key}",
        "Basic {key}",
        "Key {key}",
        "Bearer {key} {key}",
        "Bearer {key},",
        "Bearer {other}",
    ],
)
def test_a_malformed_or_unknown_key_is_refused(alice: Native, authorization: str) -> None:
    assert alice.key is not None
    other = alice.key[:-10] + ("0" if alice.key[-10] != "0" else "1") + alice.key[-9:]
    header = authorization.format(key=alice.key, other=other)

    answer = exchange("GET", f"{alice.url}/v1/account", headers={"Authorization": header})

    problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_of_a_key_has_no_case(alice: Native, scheme: str) -> None:
    answer = exchange("GET", f"{alice.url}/v1/account", headers={"Authorization": f"{scheme} {alice.key}"})

    answer.must(200)


def test_a_revoked_key_is_refused_within_five_seconds(alice: Native, office: Administration) -> None:
    key_id = alice.get("/account").must(200)["key"]["id"]

    office.revoke_key(key_id)

    wait_until(lambda: alice.get("/account").status == 401, "the revoked key to be refused", seconds=5)
    problem(alice.post("/uploads", GOOD_BODIES["/uploads"]), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/uploads/upload_{UNKNOWN}", "upload_not_found"),
        (f"/uploads/asset_{UNKNOWN}", "upload_not_found"),
        (f"/uploads/{UNKNOWN}", "upload_not_found"),
        ("/uploads/00000000-0000-4000-8000-000000000000", "upload_not_found"),
        (f"/uploads/upload_{UNKNOWN}0", "upload_not_found"),
        (f"/uploads/UPLOAD_{UNKNOWN}", "upload_not_found"),
        ("/uploads/upload_" + "F" * 32, "upload_not_found"),
        ("/uploads/upload_" + "0" * 32, "upload_not_found"),
        ("/uploads/upload_%00", "upload_not_found"),
        ("/uploads/%F0%9F%98%80", "upload_not_found"),
        ("/uploads/%ff%fe", "upload_not_found"),
        ("/uploads/" + "a" * 5000, "upload_not_found"),
        (f"/assets/asset_{UNKNOWN}", "asset_not_found"),
        ("/assets/'%20OR%201=1", "asset_not_found"),
        (f"/runs/run_{UNKNOWN}", "run_not_found"),
        (f"/runs/run_{UNKNOWN}?wait=60", "run_not_found"),
        ("/runs/x/events", "run_not_found"),
        ("/models/nothing/at/all", "model_not_found"),
        ("/models/", "model_not_found"),
        ("/media/x", "asset_not_found"),
        ("/media/" + "0" * 32 + "-a.png", "asset_not_found"),
        ("/media/" + "0" * 32 + "-a.png%00", "asset_not_found"),
    ],
)
def test_an_id_that_names_nothing_is_not_found(alice: Native, path: str, code: str) -> None:
    problem(alice.get(path), 404, code)


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/", "", "/uploads/", "/runs//", "/uploads/a/b/c", "/v1/uploads", "/../uploads", "/docs-assets/"],
)
def test_an_unknown_route_is_not_found(alice: Native, path: str) -> None:
    problem(alice.get(path), 404, "route_not_found")


@pytest.mark.parametrize("path", ["/", "/nothing", "/v1x", "/v2/uploads", "//v1/uploads"])
def test_an_unknown_path_of_the_server_is_a_plain_problem(server: Server, path: str) -> None:
    answer = exchange("GET", server.url + path)

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.must(404) == {"type": "about:blank", "title": "Not Found", "status": 404}


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PATCH", "/uploads", "GET, POST"),
        ("HEAD", "/runs", "GET, POST"),
        ("PUT", f"/uploads/upload_{UNKNOWN}", "DELETE, GET"),
        ("GET", f"/uploads/upload_{UNKNOWN}/complete", "POST"),
        ("POST", f"/assets/asset_{UNKNOWN}", "DELETE, GET, PATCH"),
        ("DELETE", f"/runs/run_{UNKNOWN}", "GET"),
        ("TRACE", "/account", "GET"),
        ("OPTIONS", "/account", "GET"),
        ("POST", "/media/x", "GET, HEAD"),
        ("POST", "/openapi.json", "GET, HEAD"),
        ("POST", "/docs", "GET"),
    ],
)
def test_a_wrong_method_learns_the_right_ones(alice: Native, method: str, path: str, allow: str) -> None:
    answer = alice.call(method, path)

    assert answer.headers["allow"] == allow
    if method == "HEAD":
        assert (answer.status, answer.body) == (405, b"")
    else:
        problem(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/uploads", "/assets", "/runs", "/account/ledger"])
@pytest.mark.parametrize("limit", ["0", "-1", "101", "ten", "", "1e1", "5.5", "9" * 30, "%00"])
def test_a_limit_outside_1_to_100_is_refused(alice: Native, path: str, limit: str) -> None:
    said = problem(alice.get(f"{path}?limit={limit}"), 422, "invalid_field")

    assert "limit" in said["detail"]


@pytest.mark.parametrize("path", ["/uploads", "/assets", "/runs"])
@pytest.mark.parametrize("cursor", ["", "x", "%00", "%ff", "A" * 7000, "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OjE", "😀"])
def test_a_cursor_that_the_server_did_not_issue_is_refused(alice: Native, path: str, cursor: str) -> None:
    answer = exchange("GET", f"{alice.url}/v1{path}?cursor={_quoted(cursor)}", headers=_bearer(alice))

    problem(answer, 422, "invalid_cursor")


@pytest.mark.parametrize("cursor", ["", "x", "0", "-1", "1.5"])
def test_a_ledger_cursor_that_the_server_did_not_issue_is_refused(alice: Native, cursor: str) -> None:
    problem(alice.get(f"/account/ledger?cursor={cursor}"), 422, "invalid_field")


@pytest.mark.parametrize("wait", ["-1", "60.1", "nan", "inf", "soon", ""])
def test_a_wait_outside_0_to_60_seconds_is_refused(alice: Native, wait: str) -> None:
    problem(alice.get(f"/runs/run_{UNKNOWN}?wait={wait}"), 422, "invalid_field")


@pytest.mark.parametrize("query", ["unknown=1", "limit=1&unknown=" + "x" * 7000, "&&&", "=", "%", "limit=5&limit=6"])
def test_a_query_that_means_nothing_changes_nothing(alice: Native, query: str) -> None:
    alice.get(f"/uploads?{query}").must(200)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_an_idempotency_key_that_is_none_is_refused(alice: Native, key: str) -> None:
    before = alice.kept()

    said = problem(alice.post("/uploads", GOOD_BODIES["/uploads"], idempotency_key=key), 422, "invalid_field")

    assert "Idempotency-Key" in said["detail"]
    assert alice.kept() == before


@pytest.mark.parametrize(
    "path", ["/account", "/nothing", "/models", "/openapi.json", "/docs", "/docs-assets/favicon.png"]
)
def test_every_answer_has_a_request_id_of_its_own(alice: Native, path: str) -> None:
    first, second = (alice.get(path, headers={"X-Request-Id": "mine"}).headers["x-request-id"] for _ in range(2))

    assert len(first) == len(second) == 32
    assert first != second


def test_a_request_that_is_cut_off_stores_nothing(alice: Native) -> None:
    before = alice.kept()
    body = json.dumps(GOOD_BODIES["/uploads"])
    parts = urlsplit(alice.url)
    head = f"POST /v1/uploads HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {alice.key}\r\n"

    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {len(body) + 1}\r\n\r\n{body}".encode())
        connection.shutdown(socket.SHUT_WR)
        assert b"201" not in connection.makefile("rb").read()

    assert alice.kept() == before


def _bearer(native: Native) -> dict[str, str]:
    return {"Authorization": f"Bearer {native.key}"}


def _quoted(text: str) -> str:
    return text.encode().hex("%").join(["%", ""]) if not text.isascii() else text


@pytest.mark.parametrize(
    "head",
    [
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_request_whose_framing_is_in_doubt_is_refused_and_the_connection_closed(server: Server, head: str) -> None:
    parts = urlsplit(server.url)

    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 400 ")


def test_an_old_client_needs_to_name_no_host(server: Server) -> None:
    parts = urlsplit(server.url)

    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 200 ")
