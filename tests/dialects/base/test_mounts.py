from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.dialects.base.mounts import Mounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def _named(name: str, seen: list[tuple[str, str, str]]) -> ASGIApp:
    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append((name, scope["path"], scope.get("root_path", "")))

    return app


def _ask(path: str, host: str = "", hosts: Mapping[str, str] | None = None) -> tuple[str, str, str]:
    """Which app was asked with which path and root."""
    seen: list[tuple[str, str, str]] = []
    apps = {mount: _named(mount, seen) for mount in ("/v1", "/acme", "/acme/v1")}

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        raise AssertionError("only an app answers")

    scope = {"type": "http", "path": path, "headers": [(b"host", host.encode())] if host else []}
    asyncio.run(Mounts(apps, otherwise=_named("otherwise", seen), hosts=hosts)(scope, receive, send))
    (asked,) = seen
    return asked


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
    assert _ask(path) == (mount, path, mount)


@pytest.mark.parametrize("path", ["/", "", "/v1x", "/V1/runs", "//v1/runs", "/healthz"])
def test_what_no_mount_fits_goes_elsewhere(path: str) -> None:
    assert _ask(path) == ("otherwise", path, "")


@pytest.mark.parametrize("host", ["api.acme.test", "api.acme.test:8000", "API.ACME.test.", "[::1]:8000"])
@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/tasks/1", "/acme/tasks/1"),
        ("/", "/acme/"),
        ("/v1/runs", "/acme/v1/runs"),
        ("/acme/tasks/1", "/acme/tasks/1"),
        ("/acmes", "/acme/acmes"),
        ("/healthz", "/acme/healthz"),
    ],
)
def test_a_host_of_its_own_needs_no_prefix_and_takes_it(host: str, path: str, seen: str) -> None:
    assert _ask(path, host, {"api.acme.test": "/acme", "[::1]": "/acme"}) == ("/acme", seen, "/acme")


@pytest.mark.parametrize("host", ["", "other.test", "api.acme.test.evil.test", "acme.test", "::1"])
def test_any_other_host_is_asked_by_prefix(host: str) -> None:
    assert _ask("/v1/runs", host, {"api.acme.test": "/acme"}) == ("/v1", "/v1/runs", "/v1")
