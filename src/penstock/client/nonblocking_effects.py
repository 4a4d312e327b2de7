"""Performs the effects of flows on an asynchronous httpx2 client, and touches files in threads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import httpx2

from penstock.client import flows, steps
from penstock.client.calls import Reply, Request
from penstock.client.effects import DOWNLOAD_HEADERS, NO_ANSWER, failed, patience, reply_of
from penstock.client.errors import PenstockClientError
from penstock.client.files import Pieces, digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from penstock.client.results import Event

T = TypeVar("T")


class AsyncEffects:
    """An asynchronous client of httpx2 that goes through flows; `timeout` in seconds without a sign of life."""

    def __init__(self, timeout: float, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._timeout = timeout
        self._http = httpx2.AsyncClient(timeout=patience(timeout), transport=transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def do(self, flow: steps.Flow[T]) -> T:
        """Go through a flow."""
        try:
            effect = next(flow)
            while True:
                try:
                    reply = await self._perform(effect)
                except NO_ANSWER as error:
                    effect = flow.throw(failed(error))
                except PenstockClientError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    async def _perform(self, effect: steps.Effect) -> Reply:
        match effect:
            case Request():
                return await self._ask(effect)
            case steps.Put():
                return await self._put(effect)
            case steps.Digest():
                with effect.source.open(effect.offset) as stream:
                    return Reply(
                        body=await asyncio.to_thread(
                            digest_of, Pieces(stream, effect.size, effect.on_progress), effect.algorithm
                        )
                    )
            case steps.Fetch():
                return await self._fetch(effect)
            case steps.Together():
                await self._go_together(effect)
            case steps.Pause():
                await asyncio.sleep(effect.seconds)
        return Reply()

    async def _go_together(self, together: steps.Together) -> None:
        flows_left = iter(together.flows)

        async def work() -> None:
            for flow in flows_left:
                await self.do(flow)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(together.at_once):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask(self, request: Request) -> Reply:
        return reply_of(
            await self._http.request(
                request.method,
                request.url,
                headers=request.headers,
                content=request.body,
                timeout=patience(self._timeout + request.wait),
            )
        )

    async def _put(self, put: steps.Put) -> Reply:
        with put.source.open(put.offset) as stream:
            pieces = Pieces(stream, put.size, put.on_progress)

            async def body() -> AsyncIterator[bytes]:
                while piece := await asyncio.to_thread(pieces.read):
                    yield piece
                    pieces.sent()

            return reply_of(await self._http.put(put.url, headers=put.headers, content=body()))

    async def _fetch(self, fetch: steps.Fetch) -> Reply:
        headers = {**DOWNLOAD_HEADERS, **fetch.sink.rest}
        async with self._http.stream("GET", fetch.url, headers=headers, follow_redirects=True) as response:
            if not response.is_success:
                await response.aread()
                return reply_of(response)
            await asyncio.to_thread(fetch.sink.begin, response.status_code, dict(response.headers))
            async for piece in response.aiter_raw():
                await asyncio.to_thread(fetch.sink.write, piece)
            return Reply(status=response.status_code)

    async def events(self, stream: flows.EventStream) -> AsyncGenerator[Event]:
        """A run's events, over as many connections as it takes."""
        while not stream.finished:
            request = stream.request()
            silence = patience(stream.silence(self._timeout))
            pause = None
            try:
                async with self._http.stream("GET", request.url, headers=request.headers, timeout=silence) as response:
                    if response.status_code == flows.NO_MORE_EVENTS:
                        return
                    if not response.is_success:
                        await response.aread()
                        pause = stream.refused(reply_of(response))
                    else:
                        async for message in httpx2.EventSource(response):
                            event = stream.take(message.data)
                            if event is not None:
                                yield event
                            if stream.finished:
                                return
            except NO_ANSWER as error:
                pause = stream.interrupted(failed(error), silent=isinstance(error, httpx2.ReadTimeout))
            await asyncio.sleep(stream.interrupted(None) if pause is None else pause)
