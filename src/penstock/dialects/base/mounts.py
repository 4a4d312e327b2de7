"""Which dialect a request is for, by its host or the prefix of its path; with no framework's layers in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send


class Mounts:
    """An ASGI app that hands each request to the app mounted at the longest fitting prefix, or else to `otherwise`.

    The mounted app sees the whole path, and its prefix as `root_path` (ASGI, HTTP connection scope). `hosts` names the
    mount that a whole host (in small letters, without a port) belongs to: there the prefix may be left out.
    """

    def __init__(
        self, apps: Mapping[str, ASGIApp], *, otherwise: ASGIApp, hosts: Mapping[str, str] | None = None
    ) -> None:
        self._hosts = {host: (mount, apps[mount]) for host, mount in (hosts or {}).items()}
        self._apps = sorted(((f"{mount}/", mount, app) for mount, app in apps.items()), key=lambda row: -len(row[0]))
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope["path"]
        owned = self._hosts.get(_host(scope)) if self._hosts else None
        if owned is not None:
            mount, app = owned
            await app(_below(mount, scope), receive, send)
            return
        for prefix, mount, app in self._apps:
            if path.startswith(prefix) or path == mount:
                await app({**scope, "root_path": mount}, receive, send)
                return
        await self._otherwise(scope, receive, send)


def _host(scope: Scope) -> str:
    """The host that was asked for, without its port (RFC 9110 §7.2)."""
    for name, value in scope["headers"]:
        if name == b"host":
            said: str = value.decode("latin-1").lower()
            return said[: said.find("]") + 1] if said.startswith("[") else said.partition(":")[0].removesuffix(".")
    return ""


def _below(mount: str, scope: Scope) -> Scope:
    """The request as if it had come with the mount's prefix, whether it did or not."""
    path: str = scope["path"]
    if path == mount or path.startswith(f"{mount}/"):
        return {**scope, "root_path": mount}
    raw: bytes = scope.get("raw_path") or path.encode()
    return {**scope, "root_path": mount, "path": mount + path, "raw_path": mount.encode() + raw}
