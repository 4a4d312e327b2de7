"""How the rates of keys and addresses (S27) are told and refused at the edge; `services.rates` counts."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from penstock.domain.errors import RateLimited
from penstock.services.rates import require_fitting

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from penstock.dialects.base.http import Edge
    from penstock.domain.rates import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RateHeaders:
    """What a product calls the headers in which it tells the rate; `reset` holds a time in Unix seconds."""

    limit: str
    remaining: str
    reset: str


X_RATE_LIMIT = RateHeaders(limit="X-RateLimit-Limit", remaining="X-RateLimit-Remaining", reset="X-RateLimit-Reset")
"""The usual ones. That the last is a time and no number of seconds is inferred for every product that names them."""


class RateScope:
    """ASGI middleware: every request counts for its address, whatever it asks for, and every answer tells the rate.

    That of the key, once it is known (`scope["state"]["rate"]`), else that of the address.
    """

    def __init__(self, app: ASGIApp, *, edge: Edge) -> None:
        self._app = app
        self._edge = edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope["state"]
        verdict = state["rate"] = self._edge.services.rates.of_address(address_of(scope))
        names = self._edge.rate_headers
        answer = send if names is None else self._telling(names, state, send)
        try:
            require_fitting(verdict)
        except RateLimited as error:
            await self._edge.render_error(error, state["request_id"])(scope, receive, answer)
            return
        await self._app(scope, receive, answer)

    def _telling(self, names: RateHeaders, state: dict[str, Verdict | None], send: Send) -> Send:
        rates = self._edge.services.rates

        async def send_with_rate(message: Message) -> None:
            verdict = state["rate"]
            if message["type"] == "http.response.start" and verdict is not None:
                told = _told(names, verdict, resets_at=rates.resets_at(verdict))
                message["headers"] = [*message.get("headers", ()), *told]
            await send(message)

        return send_with_rate


def address_of(scope: Scope) -> str:
    """Where a request comes from. Of IPv6 the network, for whoever has one has all its addresses (RFC 6177)."""
    host: str = (scope.get("client") or ("", 0))[0]
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    return str(address.ipv4_mapped or IPv6Network((address, 64), strict=False))


def _told(names: RateHeaders, verdict: Verdict, *, resets_at: int) -> list[tuple[bytes, bytes]]:
    said = ((names.limit, verdict.limit), (names.remaining, verdict.remaining), (names.reset, resets_at))
    return [(name.lower().encode(), str(number).encode()) for name, number in said]
