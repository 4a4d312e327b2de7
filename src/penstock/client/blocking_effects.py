"""Performs the effects of flows on a blocking httpx2 client. May be shared between threads."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

import httpx2

from penstock.client import flows, steps
from penstock.client.calls import Reply, Request
from penstock.client.effects import DOWNLOAD_HEADERS, NO_ANSWER, failed, patience, reply_of
from penstock.client.errors import PenstockClientError
from penstock.client.files import Pieces, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.client.results import Event

T = TypeVar("T")
_LOOK_UP_SECONDS = 0.5
"""How long the main thread waits for others before it looks whether it was interrupted."""


class Effects:
    """A blocking client of httpx2 that goes through flows; `timeout` in seconds without a sign of life."""

    def __init__(self, timeout: float, transport: httpx2.BaseTransport | None) -> None:
        self._timeout = timeout
        self._http = httpx2.Client(timeout=patience(timeout), transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def do(self, flow: steps.Flow[T], stop: threading.Event | None = None) -> T:
        """Go through a flow. Once `stop` is set, by another thread, it ends at the next piece or pause."""
        stop = stop or threading.Event()
        try:
            effect = next(flow)
            while True:
                try:
                    reply = self._perform(effect, stop)
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

    def _perform(self, effect: steps.Effect, stop: threading.Event) -> Reply:
        match effect:
            case Request():
                return self._ask(effect)
            case steps.Put():
                return self._put(effect, stop)
            case steps.Digest():
                with effect.source.open(effect.offset) as stream:
                    return Reply(body=digest_of(Pieces(stream, effect.size, effect.on_progress), effect.algorithm))
            case steps.Fetch():
                return self._fetch(effect)
            case steps.Together():
                self._go_together(effect)
            case steps.Pause():
                if stop.wait(effect.seconds):
                    raise _StoppedError
        return Reply()

    def _go_together(self, together: steps.Together) -> None:
        flows_left, lock = iter(together.flows), threading.Lock()
        stop = threading.Event()
        failures: list[BaseException] = []

        def work() -> None:
            try:
                while not stop.is_set():
                    with lock:
                        flow = next(flows_left, None)
                    if flow is None:
                        return
                    self.do(flow, stop)
            except BaseException as error:  # noqa: BLE001 - raised again where the flows are awaited
                failures.append(error)
                stop.set()

        workers = [threading.Thread(target=work, daemon=True) for _ in range(together.at_once)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():  # a Ctrl-C just before a wait without end would be noticed only after it
                    worker.join(_LOOK_UP_SECONDS)
        except BaseException:  # interrupted: not the moment to wait for a server that may be silent
            stop.set()
            raise
        if failures:
            raise failures[0]

    def _ask(self, request: Request) -> Reply:
        return reply_of(
            self._http.request(
                request.method,
                request.url,
                headers=request.headers,
                content=request.body,
                timeout=patience(self._timeout + request.wait),
            )
        )

    def _put(self, put: steps.Put, stop: threading.Event) -> Reply:
        with put.source.open(put.offset) as stream:
            pieces = Pieces(stream, put.size, put.on_progress)

            def body() -> Iterator[bytes]:
                while piece := pieces.read():
                    if stop.is_set():
                        raise _StoppedError
                    yield piece
                    pieces.sent()

            return reply_of(self._http.put(put.url, headers=put.headers, content=body()))

    def _fetch(self, fetch: steps.Fetch) -> Reply:
        headers = {**DOWNLOAD_HEADERS, **fetch.sink.rest}
        with self._http.stream("GET", fetch.url, headers=headers, follow_redirects=True) as response:
            if not response.is_success:
                response.read()
                return reply_of(response)
            fetch.sink.begin(response.status_code, dict(response.headers))
            for piece in response.iter_raw():
                fetch.sink.write(piece)
            return Reply(status=response.status_code)

    def events(self, stream: flows.EventStream) -> Iterator[Event]:
        """A run's events, over as many connections as it takes."""
        while not stream.finished:
            request = stream.request()
            silence = patience(stream.silence(self._timeout))
            pause = None
            try:
                with self._http.stream("GET", request.url, headers=request.headers, timeout=silence) as response:
                    if response.status_code == flows.NO_MORE_EVENTS:
                        return
                    if not response.is_success:
                        response.read()
                        pause = stream.refused(reply_of(response))
                    else:
                        for message in httpx2.EventSource(response):
                            event = stream.take(message.data)
                            if event is not None:
                                yield event
                            if stream.finished:
                                return
            except NO_ANSWER as error:
                pause = stream.interrupted(failed(error), silent=isinstance(error, httpx2.ReadTimeout))
            time.sleep(stream.interrupted(None) if pause is None else pause)


class _StoppedError(Exception):
    """A part was given up because another failed, or because the whole was interrupted."""
