"""Routes of runs."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response, StreamingResponse

from penstock.dialects.base import Services
from penstock.dialects.base.access import run_reader
from penstock.dialects.base.http import principal, takes_input
from penstock.dialects.native.routes.common import (
    EVENT_STREAM,
    After,
    Cursor,
    IdempotencyKey,
    Limit,
    event_stream,
    json_answer,
    run_id_of,
)
from penstock.dialects.native.wire import runs
from penstock.dialects.native.wire.lifetimes import chosen
from penstock.domain.accounts import Scope
from penstock.domain.events import RUN_FINALS
from penstock.domain.foreign import ReferenceRules
from penstock.domain.idempotency import idempotent_request
from penstock.domain.ids import AssetId
from penstock.domain.runs import Run, is_finished, output_assets
from penstock.domain.webhooks import Callback
from penstock.services.runs import NewRun

_MAX_WAIT_SECONDS = 60


def add_runs(app: FastAPI, services: Services, base_url: str, references: ReferenceRules) -> None:
    def shown(run: Run) -> runs.RunOut:
        named = tuple(AssetId(asset_id) for asset_id in output_assets(run.output))
        assets = services.assets.many(run.account_id, named) if named else {}
        return runs.run_out(run, assets=assets, base_url=base_url, throttled=services.runs.waits_for_place(run))

    @app.post("/runs", status_code=201, response_model=runs.RunOut, tags=["runs"])
    @takes_input
    def create_run(request: Request, body: runs.CreateRun, idempotency_key: IdempotencyKey = None) -> Response:
        """Queue a run. Follow it with `GET /runs/{id}?wait=…` or its events."""
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        asked = NewRun(
            dialect="native",
            model=body.model,
            inputs=body.input,
            metadata=body.metadata,
            references=references,
            callback=Callback(url=body.callback_url) if body.callback_url is not None else None,
            output_lifetime=chosen(body, "output_expires_in", default=services.lifetimes.classes.outputs),
        )
        same = idempotent_request(idempotency_key, body.model_dump())
        return json_answer(shown(services.runs.submit(who.account_id, asked, idempotency=same)), 201)

    @app.get("/runs", response_model=runs.RunPage, tags=["runs"])
    def list_runs(request: Request, limit: Limit = 20, cursor: Cursor = None) -> Response:
        """Runs, newest first."""
        page = services.runs.page(run_reader(request), cursor=cursor, limit=limit)
        return json_answer(runs.RunPage(data=[shown(run) for run in page.items], next_cursor=page.next_cursor))

    @app.get("/runs/{run_id}", response_model=runs.RunOut, tags=["runs"])
    async def get_run(
        request: Request,
        run_id: str,
        wait: Annotated[float, Query(ge=0, le=_MAX_WAIT_SECONDS, description="Seconds to wait for its end.")] = 0,
    ) -> Response:
        """One run; with `wait`, as soon as it has finished or the time is over."""
        account_id, found = run_reader(request), run_id_of(run_id)
        run = await services.streams.until(
            account_id,
            found,
            lambda: (run := services.runs.get(account_id, found), shown(run)),
            lambda seen: is_finished(seen[0]),
            seconds=wait,
        )
        return json_answer(run[1])

    @app.post("/runs/{run_id}/cancel", response_model=runs.RunOut, tags=["runs"])
    def cancel_run(request: Request, run_id: str) -> Response:
        """Ask for the end of a run; a finished one stays as it is."""
        who = principal(request)
        who.require(Scope.RUNS_WRITE)
        return json_answer(shown(services.runs.cancel(who.account_id, run_id_of(run_id))))

    @app.get("/runs/{run_id}/events", tags=["runs"], response_class=StreamingResponse, responses=EVENT_STREAM)
    async def run_events(request: Request, run_id: str, after: After = 0) -> Response:
        """The run's events (progress, log, end) as server-sent events, from its first or after `Last-Event-ID`."""
        found = run_id_of(run_id)
        look = partial(services.runs.get, run_reader(request), found)
        return await event_stream(services, request, found, after, RUN_FINALS, lambda: is_finished(look()))
