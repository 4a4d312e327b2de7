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
        if scope["type"] == "http" and not _is_framed(scope):
            await _refuse(send)
            return
        path: str = scope["path"]
        for prefix, mount, app in self._apps:
            if path.startswith(prefix) or path == mount:
                await app({**scope, "root_path": mount}, receive, send)
                return
        await self._otherwise(scope, receive, send)


def _is_framed(scope: Scope) -> bool:
    """Whether everybody on the way reads the same request here, as far as the parser leaves that to us (S31).

    One Host (RFC 9112 §3.2), and no transfer coding but `chunked` (§7).
    """
    hosts = 0
    for name, value in scope["headers"]:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            return False
    return hosts == 1 or scope["http_version"] != "1.1"


async def _refuse(send: Send) -> None:
    body = b'{"type":"about:blank","title":"Bad Request","status":400}'
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
