from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from penstock.dialects.base.mounts import Mounts

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = (b"host", b"example.com")


def _named(name: str, seen: list[tuple[str, str, str]]) -> ASGIApp:
    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append((name, scope["path"], scope.get("root_path", "")))

    return app


def _ask(path: str, *headers: tuple[bytes, bytes], version: str = "1.1") -> tuple[Any, list[Message]]:
    """Which app was asked with which path and root, and what was answered in their place."""
    seen: list[tuple[str, str, str]] = []
    sent: list[Message] = []
    apps = {mount: _named(mount, seen) for mount in ("/v1", "/acme", "/acme/v1")}
    scope = {"type": "http", "path": path, "headers": [*headers], "http_version": version}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Mounts(apps, otherwise=_named("otherwise", seen))(scope, receive, send))
    return (seen[0] if seen else None), sent


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/v1/runs/1", "/v1"),
        ("/acme/v1/tasks", "/acme/v1"),
        ("/acme/v1", "/acme/v1"),
        ("/acme/v2", "/acme"),
        ("/acme/v1x", "/acme"),
    ],
)
def test_the_longest_mount_that_fits_is_asked_and_learns_its_place(path: str, mount: str) -> None:
    asked, _ = _ask(path, HOST)

    assert asked == (mount, path, mount)


@pytest.mark.parametrize("path", ["/", "", "/v1x", "/V1/runs", "//v1/runs", "/healthz"])
def test_what_no_mount_fits_goes_elsewhere(path: str) -> None:
    asked, _ = _ask(path, HOST)

    assert asked == ("otherwise", path, "")


@pytest.mark.parametrize(
    ("headers", "version", "framed"),
    [
        ([HOST], "1.1", True),
        ([HOST, (b"transfer-encoding", b"Chunked")], "1.1", True),
        ([], "1.0", True),
        ([], "1.1", False),
        ([HOST, HOST], "1.1", False),
        ([HOST, (b"transfer-encoding", b"gzip, chunked")], "1.1", False),
        ([HOST, (b"transfer-encoding", b"identity")], "1.1", False),
    ],
)
def test_a_request_that_others_may_read_differently_is_refused(
    headers: list[tuple[bytes, bytes]], version: str, framed: bool
) -> None:
    asked, sent = _ask("/v1/runs", *headers, version=version)

    assert (asked is not None) == framed
    if not framed:
        assert sent[0]["status"] == 400
        assert (b"connection", b"close") in sent[0]["headers"]
