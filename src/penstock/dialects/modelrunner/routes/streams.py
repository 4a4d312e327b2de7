"""Routes that answer with server-sent events: all requests of an account, one request's status, a model's output."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from penstock.dialects.base.access import run_reader, run_writer
from penstock.dialects.base.http import takes_input
from penstock.dialects.base.streams import EventStream
from penstock.dialects.modelrunner.routes.common import Lifecycle, RunTerms, StoreIO, finished_result
from penstock.dialects.modelrunner.routes.models import new_run
from penstock.dialects.modelrunner.wire import requests, streams
from penstock.dialects.modelrunner.wire.common import REQUEST_ID_HEADER
from penstock.domain.errors import RunNotFound
from penstock.domain.events import RUN_FINALS
from penstock.domain.ids import format_short
from penstock.domain.runs import FINISHED, Run, RunFilter, RunState, is_finished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from penstock.dialects.base import Services
    from penstock.domain.ids import AccountId, RunId
    from penstock.domain.runs import Standing

_LOOK_SECONDS = 1.0
_IN_FLIGHT = frozenset({(RunState.QUEUED, None), (RunState.RUNNING, None)})
_MOST = 100
"""Requests in a snapshot, and how many of the newest are looked at again and again."""


def add_request_stream(app: FastAPI, services: Services, base_url: str) -> None:
    """Every request of the account that has not finished."""

    @app.get("/requests/stream")
    def request_stream(request: Request) -> Response:
        """A `snapshot` of what is in flight, then an `update` whenever a request is seen to stand differently."""
        account_id = run_reader(request)
        return EventStream(_all(services, account_id, base_url), place=services.streams.place(account_id))


def add_model_streams(app: FastAPI, services: Services, base_url: str, terms: RunTerms) -> None:
    """One request's status, and a request whose answer is its output."""

    @app.get("/{endpoint:path}/requests/{request_id}/status/stream")
    def status_stream(request: Request, endpoint: str, request_id: str, *, logs: bool = False) -> Response:
        """Queue envelopes up to the one that says how the request ended."""
        run = services.runs.get(run_reader(request), requests.parse_request_id(request_id))
        requests.require_endpoint(run, endpoint)
        return _stream_of(services, run, _status(services, run, base_url, logs=logs))

    @app.post("/{endpoint:path}/stream")
    @takes_input
    def stream(
        request: Request,
        endpoint: str,
        body: requests.Submission,
        lifecycle: Lifecycle = None,
        store_io: StoreIO = None,
    ) -> Response:
        """Queue a request and wait for it; models here do not speak before their end, so one event holds all."""
        asked = new_run(endpoint, body, terms, lifecycle=lifecycle, store_io=store_io)
        run = services.runs.submit(run_writer(request), asked)
        return _stream_of(services, run, _output(services, run, base_url))


def _stream_of(services: Services, run: Run, frames: AsyncIterator[bytes]) -> EventStream:
    answer = EventStream(frames, place=services.streams.place(run.account_id))
    answer.headers[REQUEST_ID_HEADER] = format_short(run.id)
    return answer


async def _status(services: Services, run: Run, base_url: str, *, logs: bool) -> AsyncIterator[bytes]:
    if is_finished(run):
        lines = await run_in_threadpool(services.runs.logs, run.account_id, run.id) if logs else ()
        yield streams.frame(streams.envelope(run, base_url=base_url, lines=lines))
        return
    async for event in services.streams.follow(run.account_id, run.id, after=0, finals=RUN_FINALS):
        if event is None:
            yield streams.HEARTBEAT
        elif event.kind in RUN_FINALS:
            with suppress(RunNotFound):  # removed by its owner meanwhile
                ended = await run_in_threadpool(services.runs.get, run.account_id, run.id)
                yield streams.frame(streams.envelope(ended, base_url=base_url))
        elif frame := streams.status_frame(run, event, base_url=base_url, logs=logs):
            yield frame


async def _output(services: Services, run: Run, base_url: str) -> AsyncIterator[bytes]:
    """The output, or, where there is none, the result with its error envelope: the status was sent long ago."""
    async for event in services.streams.follow(run.account_id, run.id, after=0, finals=RUN_FINALS):
        if event is None:
            yield streams.HEARTBEAT
        elif event.kind in RUN_FINALS:
            with suppress(RunNotFound):
                ended = await run_in_threadpool(services.runs.get, run.account_id, run.id)
                shown = await run_in_threadpool(finished_result, services, ended, base_url)
                failed = isinstance(shown, requests.FailedResultOut)
                yield streams.frame(shown.model_dump(by_alias=True) if failed else shown.output)


async def _all(services: Services, account_id: AccountId, base_url: str) -> AsyncIterator[bytes]:
    sight = _Sight(services, account_id)
    in_flight = await run_in_threadpool(sight.first)
    snapshot = [streams.envelope(run, base_url=base_url) for run in in_flight]
    yield streams.frame({"requests": snapshot}, event="snapshot")
    silent = 0.0
    async for changed in services.streams.repeatedly(sight.changes, seconds=_LOOK_SECONDS):
        silent = 0.0 if changed else silent + _LOOK_SECONDS
        for run in changed:
            yield streams.frame(streams.envelope(run, base_url=base_url), event="update")
        if silent >= streams.HEARTBEAT_SECONDS:
            silent = 0.0
            yield streams.HEARTBEAT


class _Sight:
    """What somebody who follows an account's requests has seen of them. Its looks block, and come one after another."""

    def __init__(self, services: Services, account_id: AccountId) -> None:
        self._runs = services.runs
        self._account_id = account_id
        self._known: dict[RunId, Standing] = {}
        self._since: datetime | None = None

    def first(self) -> list[Run]:
        """Those in flight, newest first."""
        in_flight, _ = self._runs.history(self._account_id, RunFilter(stands=_IN_FLIGHT), page=1, limit=_MOST)
        self._known = self._look(run.id for run in in_flight)
        self._since = max((standing.created_at for standing in self._known.values()), default=None)
        shown = self._whole([standing for standing in self._known.values() if standing.state not in FINISHED])
        return [run for run in shown if not is_finished(run)]

    def changes(self) -> list[Run]:
        """Those that stand differently now, oldest first."""
        before = self._known
        self._known = self._look(standing.id for standing in before.values() if standing.state not in FINISHED)
        changed = [standing for standing in self._known.values() if self._is_news(standing, before.get(standing.id))]
        return self._whole(sorted(changed, key=lambda standing: standing.created_at))

    def _look(self, in_flight: Iterable[RunId]) -> dict[RunId, Standing]:
        """The newest runs, and those that were in flight when last seen: without what is long in them."""
        found = self._runs.standings(self._account_id, newest=_MOST, beside=set(in_flight))
        return {standing.id: standing for standing in found}

    def _whole(self, standings: Iterable[Standing]) -> list[Run]:
        """The runs, as they are told; one that has gone on since the look is known to stand as it is told."""
        runs: list[Run] = []
        for standing in standings:
            with suppress(RunNotFound):
                run = self._runs.get(self._account_id, standing.id)
                self._known[run.id] = replace(standing, state=run.state)
                runs.append(run)
        return runs

    def _is_news(self, now: Standing, before: Standing | None) -> bool:
        """Of an unknown run: it is new, and did not come into sight because a newer one was removed."""
        if before is not None:
            return before.state is not now.state
        return self._since is None or now.created_at > self._since
