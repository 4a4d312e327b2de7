"""The native API as a test sees it: one key over plain HTTP."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.exchange import Answer, exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Body = bytes | str | dict[str, Any] | list[Any] | None
FINISHED = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """What one key can do. `url` is the server's address, without `/v1`."""

    url: str
    key: str | None

    def call(self, method: str, path: str, body: Body = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """One request below `/v1`. Anything but bytes and strings is sent as JSON."""
        sent = dict(headers or {})
        if self.key is not None:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        if isinstance(body, dict | list):
            body = json.dumps(body)
        content = body.encode() if isinstance(body, str) else body
        return exchange(method, f"{self.url}/v1{path}", content, headers=sent)

    def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """GET below `/v1`."""
        return self.call("GET", path, headers=headers)

    def post(self, path: str, body: Body = None, *, idempotency_key: str | None = None) -> Answer:
        """POST below `/v1`."""
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self.call("POST", path, body, headers=headers)

    def delete(self, path: str) -> Answer:
        """DELETE below `/v1`."""
        return self.call("DELETE", path)

    def begin(
        self, content: bytes, filename: str = "picture.png", content_type: str = "image/png", **more: object
    ) -> dict[str, Any]:
        """Declare an upload of that content."""
        declared = {"filename": filename, "content_type": content_type, "size_bytes": len(content), **more}
        made: dict[str, Any] = self.post("/uploads", declared).must(201)
        return made

    def upload(
        self, content: bytes, filename: str = "picture.png", content_type: str = "image/png", **more: object
    ) -> dict[str, Any]:
        """Declare, send and complete; the asset."""
        upload = self.begin(content, filename, content_type, **more)
        put(upload, content).must(200)
        made: dict[str, Any] = self.post(f"/uploads/{upload['id']}/complete").must(200)
        return made

    def settled(self, asset: Mapping[str, Any]) -> dict[str, Any]:
        """The asset as it stands once its intake has ended, which is when the stream of its events does."""
        self.get(f"/assets/{asset['id']}/events")
        stands: dict[str, Any] = self.get(f"/assets/{asset['id']}").must(200)
        return stands

    def start(self, model: str, inputs: Mapping[str, object], **more: object) -> dict[str, Any]:
        """Start a run."""
        made: dict[str, Any] = self.post("/runs", {"model": model, "input": dict(inputs), **more}).must(201)
        return made

    def finished(self, run_id: str) -> dict[str, Any]:
        """A run at its end."""
        run: dict[str, Any] = self.get(f"/runs/{run_id}?wait=60").must(200)
        assert run["state"] in FINISHED, run
        return run

    def balance(self) -> str:
        """The account's balance as the API says it."""
        said: str = self.get("/account").must(200)["balance_usd"]
        return said

    def ledger(self) -> list[dict[str, Any]]:
        """Every entry of the ledger, oldest first."""
        return list(self.all("/account/ledger"))[::-1]

    def all(self, path: str, *, limit: int = 100) -> Iterator[dict[str, Any]]:
        """Everything in a listing, page by page."""
        cursor = ""
        while True:
            page = self.get(f"{path}?limit={limit}{cursor}").must(200)
            yield from page["data"]
            if page["next_cursor"] is None:
                return
            cursor = f"&cursor={page['next_cursor']}"

    def kept(self) -> tuple[list[str], list[str], list[str], int]:
        """The ids of everything this account has, and how often its balance changed: what a refusal must not alter."""
        uploads, assets, runs = ([one["id"] for one in self.all(path)] for path in ("/uploads", "/assets", "/runs"))
        return uploads, assets, runs, len(self.ledger())


def put(upload: Mapping[str, Any], content: bytes | None, **headers: str) -> Answer:
    """Send the bytes of an upload as its answer says; `headers` replace some of those (`Content_Type="…"`)."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return exchange("PUT", upload["upload_url"], content, headers={**upload["headers"], **changed})


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The body of an answer that must be a complete problem document (RFC 9457) with that status and code."""
    assert answer.status == status, (answer.status, answer.body[:2000])
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert set(said) - {"errors", "tombstone"} == {"type", "title", "status", "detail", "code", "request_id"}
    assert said["status"] == status
    assert said["code"] == code, said
    assert said["type"].endswith(code)
    assert said["title"]
    assert said["detail"]
    assert said["request_id"] == answer.headers["x-request-id"]
    return said


def pointers(said: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where a problem's fields stand, and what is wrong with each in a word."""
    return [(field["pointer"], field["code"]) for field in said["errors"]]
