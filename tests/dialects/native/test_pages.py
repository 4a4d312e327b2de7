"""The OpenAPI document and the interactive page, as a browser gets them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.server import Server

ROUTES = {
    "post /uploads",
    "get /uploads",
    "get /uploads/{upload_id}",
    "delete /uploads/{upload_id}",
    "post /uploads/{upload_id}/complete",
    "post /uploads/{upload_id}/parts",
    "get /uploads/{upload_id}/parts",
    "get /uploads/{upload_id}/events",
    "post /imports",
    "get /assets",
    "get /assets/{asset_id}",
    "delete /assets/{asset_id}",
    "post /assets/{asset_id}/promote",
    "put /assets/{asset_id}/lifetime",
    "get /assets/{asset_id}/events",
    "get /media/{key}",
    "patch /assets/{asset_id}",
    "post /assets/{asset_id}/restore",
    "post /assets/bulk",
    "get /tags",
    "post /folders",
    "get /folders",
    "get /folders/{folder_id}",
    "patch /folders/{folder_id}",
    "delete /folders/{folder_id}",
    "get /media/{key}/thumbnail",
    "get /models",
    "get /models/{slug}",
    "post /models",
    "get /models/registered",
    "post /models/examinations",
    "patch /models/{air}",
    "delete /models/{air}",
    "get /models/{air}/files/{part}",
    "get /models/{air}/reuse/{other_air}",
    "post /model-sources",
    "get /model-sources",
    "get /model-uploads",
    "get /model-uploads/{model_upload_id}",
    "get /model-uploads/{model_upload_id}/events",
    "post /runs",
    "get /runs",
    "get /runs/{run_id}",
    "post /runs/{run_id}/cancel",
    "get /runs/{run_id}/events",
    "get /webhook-endpoints",
    "post /webhook-endpoints",
    "get /webhook-endpoints/{endpoint_id}",
    "patch /webhook-endpoints/{endpoint_id}",
    "delete /webhook-endpoints/{endpoint_id}",
    "post /webhook-endpoints/{endpoint_id}/rotate-secret",
    "post /webhook-endpoints/{endpoint_id}/test",
    "get /webhook-secret",
    "post /webhook-secret/rotate",
    "get /webhook-deliveries",
    "get /webhook-deliveries/{delivery_id}",
    "post /webhook-deliveries/{delivery_id}/redeliver",
    "get /account",
    "get /account/ledger",
    "get /account/storage",
}
VERBS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    answer = exchange("GET", f"{server.url}/v1/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    told: dict[str, Any] = answer.must(200)
    return told


def test_the_document_names_every_route_and_where_they_are(document: dict[str, Any], server: Server) -> None:
    told = {
        f"{method} {path.replace(':path', '')}" for path, methods in document["paths"].items() for method in methods
    }

    assert told == ROUTES
    assert f"{server.url}/v1" in [one["url"] for one in document["servers"]]


def test_the_document_is_well_formed(document: dict[str, Any]) -> None:
    """The rules of OpenAPI 3.1 that a generator of clients trips over (OpenAPI Specification 3.1, §4.8)."""
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"]
    assert document["info"]["version"]
    for path, methods in document["paths"].items():
        assert path.startswith("/")
        for verb, operation in methods.items():
            assert verb in VERBS
            assert operation["responses"]
            assert all(re.fullmatch(r"[1-5](XX|\d\d)", status) for status in operation["responses"])
            assert all(response["description"] for response in operation["responses"].values())
            parameters = operation.get("parameters", [])
            assert len({(one["name"], one["in"]) for one in parameters}) == len(parameters)
            in_path = {one["name"] for one in parameters if one["in"] == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))
            assert all(one["required"] for one in parameters if one["in"] == "path")
            assert all("schema" in one for one in parameters)


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(_references(document)):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert place


def test_the_document_describes_problems(document: dict[str, Any]) -> None:
    problem = document["components"]["schemas"]["Problem"]

    assert set(problem["required"]) == {"type", "title", "status", "detail", "code", "request_id"}
    assert "errors" in problem["properties"]


def test_the_page_and_all_it_loads_come_from_this_server_alone(server: Server) -> None:
    page = exchange("GET", f"{server.url}/v1/docs")
    assert page.headers["content-type"].startswith("text/html")
    text = page.body.decode()
    found = _Links()
    found.feed(text)

    assert len(found.links) >= 3
    for link in [*found.links, *re.findall(r"url: *['\"]([^'\"]+)", text)]:
        address = urljoin(f"{server.url}/v1/docs", link)
        assert f"{urlsplit(address).scheme}://{urlsplit(address).netloc}" == server.url
        assert len(exchange("GET", address).body) > 100
    assert re.findall(r"https?://[^\s'\"<>]+", text) == []


def test_the_page_asks_for_no_key(server: Server) -> None:
    for path in ("/v1/docs", "/v1/openapi.json", "/v1/docs-assets/swagger-ui.css"):
        assert exchange("GET", server.url + path).status == 200


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in {"src", "href"} and value]


def _references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
