"""Which dialect a request is for, by the prefix of its path; with none of a framework's layers in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send


class Mounts:
    """An ASGI app that hands each request to the app mounted at the longest fitting prefix, or else to `otherwise`.

    The mounted app sees the whole path, and its prefix as `root_path` (ASGI, HTTP connection scope).
    """

    def __init__(self, apps: Mapping[str, ASGIApp], *, otherwise: ASGIApp) -> None:
        self._apps = sorted(((f"{mount}/", mount, app) for mount, app in apps.items()), key=lambda row: -len(row[0]))
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope["path"]
        for prefix, mount, app in self._apps:
            if path.startswith(prefix) or path == mount:
                await app({**scope, "root_path": mount}, receive, send)
                return
        await self._otherwise(scope, receive, send)
