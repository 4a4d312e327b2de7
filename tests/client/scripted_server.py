"""A server of the test's making that speaks the native wire contract over real HTTP, faults included.

Each route gives the answers it was told, one after another; the last is repeated.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PIECE = 2**20
_KEPT_BODY = 2**16
NOW = "2026-11-21T12:00:00.000Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to answer. `hangs_up`: without an answer, or in the middle of one. `reads`: the request's body first.

    `meets`: waits until so many are there at once; then `holds` until it is told.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_up: Literal["never", "at once", "halfway"] = "never"
    reads: bool = True
    holds: threading.Event | None = None
    meets: threading.Barrier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it came; of a large body only the length and the beginning. Header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    body_size: int

    @property
    def json(self) -> object:
        return json.loads(self.body)


class ScriptedServer:
    """`answer` says what a route answers; `seen` are the requests in the order of their coming."""

    def __init__(self, address: str) -> None:
        self.url = address
        self.seen: list[Seen] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, *answers: Answer) -> None:
        self._answers[method, path] = list(answers)

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    def take(self, method: str, path: str) -> Answer:
        with self._lock:
            answers = self._answers.get((method, path))
            if answers is None:
                return problem(404, "route_not_found", f"no such route: {method} {path}")
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def note(self, seen: Seen) -> None:
        with self._lock:
            self.seen.append(seen)


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    httpd = _Server(("127.0.0.1", 0), _Handler)
    scripted = httpd.scripted = ScriptedServer(f"http://127.0.0.1:{httpd.server_address[1]}")
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield scripted
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def reply(body: object, status: int = 200, **headers: str) -> Answer:
    """JSON."""
    return Answer(
        status=status, body=json.dumps(body).encode(), headers={"Content-Type": "application/json", **headers}
    )


def problem(
    status: int, code: str, detail: str = "", headers: Mapping[str, str] | None = None, **more: object
) -> Answer:
    """An error in the API's shape."""
    told = {"type": "about:blank", "title": code, "status": status, "detail": detail or code, "code": code, **more}
    told.setdefault("request_id", "req-1")
    return Answer(
        status=status,
        body=json.dumps(told).encode(),
        headers={"Content-Type": "application/problem+json", **(headers or {})},
    )


def s3_error(status: int, code: str, message: str) -> Answer:
    """An error in the object store's shape."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status=status, body=text.encode(), headers={"Content-Type": "application/xml"})


def asset(asset_id: str = "asset_1", **changes: object) -> dict[str, object]:
    return {
        "id": asset_id,
        "object": "asset",
        "filename": "cat.png",
        "content_type": "image/png",
        "kind": "image",
        "size_bytes": 8,
        "sha256": None,
        "url": "http://127.0.0.1/v1/media/x",
        "created_at": NOW,
        "expires_at": None,
        "upload_id": "upload_1",
        "run_id": None,
        **changes,
    }


def upload(url: str | None, upload_id: str = "upload_1", **changes: object) -> dict[str, object]:
    return {
        "id": upload_id,
        "object": "upload",
        "state": "pending",
        "method": "put",
        "upload_url": url,
        "headers": {"Content-Type": "image/png", "x-penstock-max-length": "100"},
        "filename": "cat.png",
        "content_type": "image/png",
        "size_bytes": None,
        "created_at": NOW,
        "expires_at": NOW,
        "asset_id": None,
        "failure": None,
        **changes,
    }


def upload_in_parts(size: int, part_size: int, **changes: object) -> dict[str, object]:
    """An upload in parts of a file of so many bytes."""
    count = -(-size // part_size)
    return (
        upload(None, method="multipart", headers=None, size_bytes=size, part_size=part_size, part_count=count) | changes
    )


def signed_parts(server: ScriptedServer, count: int, folder: str = "parts") -> Answer:
    """URLs for as many parts, the first has number 1: `/bucket/{folder}/{number}`."""
    data = [{"part_number": n, "url": f"{server.url}/bucket/{folder}/{n}?signature=s{n}"} for n in range(1, count + 1)]
    return reply({"data": data, "expires_at": NOW})


def received_parts(*parts: bytes, first: int = 1, next_after: int | None = None) -> Answer:
    """A page of the list of parts that have arrived."""
    data = [{"part_number": n, "size_bytes": len(part), "etag": etag_of(part)} for n, part in enumerate(parts, first)]
    return reply({"data": data, "next_after": next_after})


def etag_of(part: bytes) -> str:
    return f'"{hashlib.md5(part, usedforsecurity=False).hexdigest()}"'


def run(state: str = "queued", run_id: str = "run_1", **changes: object) -> dict[str, object]:
    return {
        "id": run_id,
        "object": "run",
        "model": "builtin/stylize",
        "state": state,
        "input": {},
        "output": None,
        "error": None,
        "metadata": {},
        "held_usd": "0.004",
        "cost_usd": None,
        "created_at": NOW,
        "started_at": None,
        "finished_at": None,
        **changes,
    }


def event(number: int, kind: str, **data: object) -> bytes:
    told = json.dumps({"number": number, "kind": kind, "data": data, "created_at": NOW})
    return f"id: {number}\nevent: {kind}\ndata: {told}\n\n".encode()


def stream(*events: bytes, hangs_up: Literal["never", "halfway"] = "never") -> Answer:
    return Answer(body=b"".join(events), headers={"Content-Type": "text/event-stream"}, hangs_up=hangs_up)


class _Server(ThreadingHTTPServer):
    scripted: ScriptedServer

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has left is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed on as it came


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        scripted = self.server.scripted
        path, _, query = self.path.partition("?")
        answer = scripted.take(self.command, path)
        head, size = self._read_body() if answer.reads else (b"", 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        scripted.note(Seen(method=self.command, path=path, query=query, headers=headers, body=head, body_size=size))
        if answer.meets is not None:
            answer.meets.wait(30)
        if answer.holds is not None:
            answer.holds.wait(30)
        self._answer(answer)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the library's names

    def _read_body(self) -> tuple[bytes, int]:
        left, head, size = int(self.headers.get("Content-Length", 0)), b"", 0
        while left:
            piece = self.rfile.read(min(_PIECE, left))
            if not piece:
                break
            head += piece[: max(0, _KEPT_BODY - len(head))]
            size += len(piece)
            left -= len(piece)
        return head, size

    def _answer(self, answer: Answer) -> None:
        if answer.hangs_up == "at once":
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("X-Request-Id", "req-header")
        halfway = answer.hangs_up == "halfway"
        self.send_header("Content-Length", str(len(answer.body) + (1000 if halfway else 0)))
        self.close_connection = halfway or not answer.reads
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        if not answer.reads:  # hear the rest out: closing on unread bytes would reset the connection under the answer
            self._read_body()

    def log_message(self, *_: object) -> None:
        """Say nothing."""
