"""Routes of models and runs."""

from __future__ import annotations

import json

from fastapi import FastAPI, Request
from fastapi.responses import Response

from penstock.dialects.base import Capabilities, Services
from penstock.dialects.base.access import run_reader, run_writer
from penstock.dialects.base.http import takes_input
from penstock.dialects.runflow.routes.common import DIALECT, json_answer, listed
from penstock.dialects.runflow.wire import runs as wire
from penstock.dialects.runflow.wire.assets import asset_type_of
from penstock.dialects.runflow.wire.common import parse_run
from penstock.dialects.runflow.wire.listings import DEFAULT, Limit
from penstock.domain.foreign import ReferenceRules
from penstock.domain.runs import Run
from penstock.domain.webhooks import Callback
from penstock.services.paging import Page as Found
from penstock.services.paging import gathered
from penstock.services.runs import NewRun

_RUNS_AT_A_TIME = 25
_LARGE = 4 * 2**20
"""Bytes of JSON after which a listing of runs, whose inputs may be long, is not filled up any more (P9)."""


def add_models(
    app: FastAPI, services: Services, base_url: str, capabilities: Capabilities, references: ReferenceRules
) -> None:
    @app.post("/v1/models/{model:path}/runs")
    @takes_input
    def create_run(request: Request, model: str, body: wire.CreateRun) -> Response:
        """Queue a run of a model, whose name has two segments or more."""
        asked = NewRun(
            dialect=DIALECT,
            model=wire.model_of(model),
            inputs=body.input,
            metadata=body.metadata or {},
            metadata_limit=wire.MAX_METADATA,
            keeps_inputs=capabilities.run_input_keeps_file,
            references=references,
            client_ref=body.client_ref,
            callback=Callback(url=body.callback_url) if body.callback_url is not None else None,
            named=wire.named_assets(body.input),
        )
        run = services.runs.submit(run_writer(request), asked)
        return json_answer(_out(services, run, base_url).model_dump(), 201)


def add_runs(app: FastAPI, services: Services, base_url: str) -> None:
    @app.get("/v1/runs/statuses")
    def list_statuses(request: Request) -> Response:
        """The words for where a run stands (the shape is inferred)."""
        run_reader(request)
        return json_answer([{"name": word} for word in wire.STATUSES.values()])

    @app.get("/v1/runs")
    def list_runs(request: Request, pq: str | None = None, limit: Limit = DEFAULT) -> Response:
        """Runs, newest first; forwards alone."""
        account_id = run_reader(request)

        def shown(past: str | None, size: int) -> Found[bytes]:
            """As JSON already, which takes a small part of what its values take."""
            page = services.runs.page(account_id, cursor=past, limit=size)
            items = [json.dumps(_out(services, run, base_url).model_dump()).encode() for run in page.items]
            return Found(items=items, next_cursor=page.next_cursor)

        found = gathered(shown, pq, limit, each=_RUNS_AT_A_TIME, is_full=lambda items: sum(map(len, items)) > _LARGE)
        return listed(found.items, next_pq=found.next_cursor)

    @app.get("/v1/runs/{run_id}")
    def get_run(request: Request, run_id: str) -> Response:
        """Where a run stands, and what it has made."""
        run = services.runs.get(run_reader(request), parse_run(run_id))
        return json_answer(_out(services, run, base_url).model_dump())

    @app.get("/v1/runs/{run_id}/logs")
    def get_logs(request: Request, run_id: str) -> Response:
        """What a run's model has said so far."""
        lines = services.runs.logs(run_reader(request), parse_run(run_id))
        items = [wire.log_line(line).model_dump() for line in lines]
        return json_answer({"items": items, "next_pq": None, "prev_pq": None})


def _out(services: Services, run: Run, base_url: str) -> wire.RunOut:
    named = wire.assets_of(run)
    assets = services.assets.many(run.account_id, named) if named else {}
    link = services.assets.signed_get
    urls = {asset.id: (link(asset, life=wire.URL_LIFE), asset_type_of(asset)) for asset in assets.values()}
    return wire.run_out(run, base_url=base_url, urls=urls)
