"""The conversation over a WebSocket: each text frame is an array of tasks, each frame back holds one item or one error.

Tasks begin in the order in which they came; what goes on tells its items as they happen, between the answers to others.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from uuid import uuid4  # noqa: TID251 - for request ids, which are no domain values

from penstock.dialects.base.bodies import MAX_BODY, MAX_LARGE_BODY
from penstock.dialects.base.http import authenticated
from penstock.dialects.base.lines import TOO_LARGE, TOO_MUCH
from penstock.dialects.base.rates import address_of
from penstock.dialects.base.strict_json import parse_strict
from penstock.dialects.runware import wire
from penstock.dialects.runware.errors import error_out, refused_key
from penstock.dialects.runware.sessions import Sessions
from penstock.dialects.runware.wire import Named
from penstock.domain.errors import (
    BodyTooLarge,
    MalformedBody,
    PenstockError,
    RateLimited,
    RouteNotFound,
    Unauthenticated,
)
from penstock.services.rates import require_fitting

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from penstock.dialects.base import Services
    from penstock.dialects.base.lines import Line
    from penstock.dialects.runware.dispatch import Dispatcher, Rest
    from penstock.dialects.runware.sessions import Session
    from penstock.dialects.runware.wire import Told
    from penstock.services.accounts import Principal

IDLE_SECONDS = 120.0
"""Without a frame from the client, and without a task that goes on, a connection is closed."""
MOST_STRANGERS = 2000
"""Connections of this process that have not shown a key yet; of one address an eighth of it."""
_LOOK_SECONDS = 1.5
"""While a connection follows a task: between looks at its key, which may have been looked at 3 s before that (S20)."""
_RETRY_SECONDS = 5.0
_NORMAL = 1000
_GONE = 1006


class Sockets:
    """ASGI app for WebSockets: everybody who is connected."""

    def __init__(
        self,
        services: Services,
        dispatcher: Dispatcher,
        *,
        paths: Collection[str],
    ) -> None:
        self.services = services
        self.dispatcher = dispatcher
        self.sessions = Sessions()
        self._paths = paths
        self.strangers: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        identifier = uuid4().hex
        address = address_of(scope)
        await receive()
        try:
            self._admit(scope, address)
        except PenstockError as error:
            await _refuse(error, identifier, send)
            return
        connection = Connection(self, scope, receive, send, identifier=identifier, address=address)
        await connection.serve()

    def enter(self, address: str) -> None:
        """One stranger more."""
        self.strangers[address] = self.strangers.get(address, 0) + 1

    def leave(self, address: str) -> None:
        """One stranger less."""
        self.strangers[address] -= 1
        if not self.strangers[address]:
            del self.strangers[address]

    def _admit(self, scope: Scope, address: str) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        require_fitting(self.services.rates.of_address(address))
        if path not in self._paths:
            raise RouteNotFound
        if sum(self.strangers.values()) >= MOST_STRANGERS or self.strangers.get(address, 0) >= MOST_STRANGERS // 8:
            raise RateLimited(retry_after=_RETRY_SECONDS)


class Connection:
    """One WebSocket: a stranger until it has shown a key, then the outlet of a session."""

    def __init__(
        self, sockets: Sockets, scope: Scope, receive: Receive, send: Send, *, identifier: str, address: str
    ) -> None:
        self._sockets = sockets
        self._services = sockets.services
        self._sessions = sockets.sessions
        self._line: Line = scope["state"]["line"]
        self._receive = receive
        self._send = send
        self._path: str = scope["path"]
        self._identifier = identifier
        self._address = address
        self._dry_run = _asks_for_dry_run(scope)
        self._secret: str | None = None
        self._who: Principal | None = None
        self._session: Session | None = None
        self._tasks = 0

    async def serve(self) -> None:
        """Answer frames until somebody ends the connection."""
        begun = time.perf_counter()
        self._sockets.enter(self._address)
        code = 0
        try:
            self._line.say_last(self._last_words)
            await self._send({"type": "websocket.accept"})
            code = await self._converse(opened=asyncio.get_running_loop().time())
        except OSError:
            code = _GONE
        finally:
            self._leave()
            self._services.log(
                "api.socket",
                path=self._path,
                code=code,
                tasks=self._tasks,
                ms=round((time.perf_counter() - begun) * 1000, 1),
                request_id=self._identifier,
                account_id=self._who.account_id if self._who else None,
            )

    async def send(self, frame: str) -> None:
        """Send a text frame. Raises `OSError` when nobody is there any more."""
        await self._send({"type": "websocket.send", "text": frame})

    def abandon(self) -> None:
        """End at once: the client is elsewhere."""
        self._line.abort()

    async def _converse(self, *, opened: float) -> int:
        loop = asyncio.get_running_loop()
        quiet_since = opened
        while True:
            session, message = self._session, None
            follows = session is not None and bool(session.work)
            left = quiet_since + IDLE_SECONDS - loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(left, _LOOK_SECONDS) if follows else left)):
                    message = await self._receive()
            if message is not None and message["type"] == "websocket.disconnect":
                return int(message.get("code", _GONE))
            if session is not None and follows and not await self._is_welcome():
                return await self._expel(session)
            if message is not None:
                await self._take(message)
            elif not follows and not (session is not None and self._line.receiving):
                return await self._end("idle")
            # A stranger's time counts from the beginning, whatever it says meanwhile.
            quiet_since = opened if self._session is None else loop.time()

    async def _is_welcome(self) -> bool:
        """Whether the key is still good; where that cannot be told, it is."""
        try:
            await authenticated(self._services, self._secret, self._address)
        except Unauthenticated:
            return False
        except PenstockError:
            pass
        return True

    async def _expel(self, session: Session) -> int:
        """The key was revoked: whoever waits for a task is told so, and hears of none any more (S20)."""
        names = list(session.work.values())
        self._sessions.end(session, self)
        for name in names:
            await self.send(wire.envelope([error_out(Unauthenticated(), name)]))
        await self.send(wire.envelope([refused_key(Unauthenticated())]))
        return await self._end("the key is no longer valid")

    async def _end(self, reason: str) -> int:
        await self._send({"type": "websocket.close", "code": _NORMAL, "reason": reason})
        return _NORMAL

    def _leave(self) -> None:
        if self._session is None:
            self._sockets.leave(self._address)
            return
        self._sessions.dismiss(self._session.account_id)
        self._sessions.detach(self._session, self)

    def _last_words(self, code: int, beginning: str) -> str:
        """What is told of a message that the listener does not take."""
        error: PenstockError = MalformedBody("the frame is broken, or did not come in time")
        if code == TOO_LARGE:
            error = BodyTooLarge(limit=MAX_BODY if self._session is None else MAX_LARGE_BODY)
        elif code == TOO_MUCH:
            error = RateLimited(retry_after=_RETRY_SECONDS)
        return wire.envelope([error_out(error, wire.named_within(beginning))])

    async def _take(self, message: Message) -> None:
        """Do what a frame asks for; one that cannot be read is refused as a whole."""
        text = message.get("text")
        try:
            require_fitting(self._services.rates.of_address(self._address))
            async with AsyncExitStack() as until_done:
                for element in wire.read_tasks(await self._parsed(text, until_done)):
                    await self._do(element)
        except PenstockError as error:
            await self._tell(error_out(error, wire.named_within(text or "")))
        except OSError:
            raise  # nobody is there any more
        except Exception as error:  # noqa: BLE001 - the last net: other frames of the connection go on
            name = wire.named_within(text or "")
            await self._tell(self._sockets.dispatcher.fault(error, name, self._identifier))

    async def _parsed(self, text: str | None, until_done: AsyncExitStack) -> object:
        """Raises `MalformedBody`, `RateLimited`; `Unauthenticated` for a stranger's large frame."""
        if text is None:
            msg = "a frame must be text, and that UTF-8"
            raise MalformedBody(msg)
        body = text.encode()
        if len(body) <= MAX_BODY:
            return parse_strict(body)
        if self._who is None:
            raise Unauthenticated
        await until_done.enter_async_context(self._services.large_bodies.place(self._who.account_id))
        return await self._services.large_bodies.parsed(body)

    async def _do(self, element: object) -> None:
        name = wire.named(element)
        if isinstance(element, dict) and wire.is_of(element, wire.AUTHENTICATION):
            await self._authenticate(element)
        elif self._session is None:
            await self._tell(error_out(Unauthenticated(), name))  # RU-03
        elif isinstance(element, dict) and wire.is_of(element, wire.PING):
            await self._tell(wire.pong_out(element))
        else:
            self._tasks += 1
            try:
                # The key may have been revoked since.
                who = self._who = await authenticated(self._services, self._secret, self._address)
            except PenstockError as error:
                await self._tell(error_out(error, name))
                return
            await self._begin(who, element, self._session)

    async def _begin(self, who: Principal, element: object, session: Session) -> None:
        dispatcher = self._sockets.dispatcher
        room = dispatcher.rooms.open(who.account_id, until_closed=False)
        try:
            begun = await dispatcher.begin(who, element, room, dry_run=self._dry_run, request_id=self._identifier)
            after = asyncio.Event()
            if begun.rest is not None:  # before anything is told, so that it goes on where the client is already gone
                going_on = self._go_on(begun.rest, session, after)
                self._sessions.begin(session, going_on, wire.named(element), begun.rest.drop)
            for told in begun.told:
                await self._tell(told)
        finally:
            room.sent()
        after.set()

    async def _go_on(self, rest: Rest, session: Session, after: asyncio.Event) -> None:
        await after.wait()
        await rest.run(lambda told: self._sessions.send(session, wire.envelope([told])))

    async def _authenticate(self, element: Mapping[str, Any]) -> None:
        secret = wire.read_api_key(element)
        try:
            who = await authenticated(self._services, secret, self._address)
            if self._session is not None and who.account_id != self._session.account_id:
                raise Unauthenticated  # a connection belongs to one account
            if self._session is None:
                self._sessions.admit(who.account_id)
        except PenstockError as error:
            await self._tell(refused_key(error))
            return
        self._who, self._secret = who, secret
        if self._session is not None:
            await self._tell(wire.authenticated_out(self._session.id))
            return
        self._sockets.leave(self._address)
        self._line.allow(MAX_LARGE_BODY, owner=who.account_id)
        self._session = self._sessions.find(who.account_id, wire.read_session(element))
        first = wire.envelope([wire.authenticated_out(self._session.id)])
        await self._sessions.attach(self._session, self, first)

    async def _tell(self, told: Told) -> None:
        frame = wire.envelope([told])
        if self._session is None:
            await self.send(frame)
        else:
            await self._sessions.send(self._session, frame)


def _asks_for_dry_run(scope: Scope) -> bool:
    """`?dryRun=1` of one client, or the header of another (contract §12)."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    return wire.is_dry_run(headers.get(b"x-runware-dry-run"), *query.get("dryRun", ()))


async def _refuse(error: PenstockError, identifier: str, send: Send) -> None:
    """Answer the handshake by an error (ASGI, WebSocket Denial Response)."""
    told = error_out(error, Named())
    body = wire.envelope([told]).encode()
    headers = {"content-type": "application/json", "x-request-id": identifier, **told.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "websocket.http.response.start", "status": told.status, "headers": encoded})
    await send({"type": "websocket.http.response.body", "body": body})
