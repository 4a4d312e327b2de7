"""Routes of an account's requests, whatever their model: the history, one result, the removal of payloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from penstock.dialects.base.access import run_reader, run_writer
from penstock.dialects.modelrunner.routes.common import json_answer, made_by, result
from penstock.dialects.modelrunner.wire import history, requests

if TYPE_CHECKING:
    from penstock.dialects.base import Services
    from penstock.domain.runs import Run

Page = Annotated[int, Query(ge=1)]
Limit = Annotated[int, Query(ge=1, le=100)]
ModelEndpoint = Annotated[str | None, Query(alias="modelEndpoint", max_length=200, pattern=r"^[^\x00]*$")]


def add_requests(app: FastAPI, services: Services, base_url: str) -> None:
    """What needs no model's name."""

    @app.get("/requests")
    def list_requests(
        request: Request,
        metadata: str | None = None,
        status: str | None = None,
        endpoint: ModelEndpoint = None,
        page: Page = 1,
        limit: Limit = 20,
    ) -> Response:
        """The account's requests, newest first."""
        account_id = run_reader(request)
        wanted = history.parse_filter(status=status, endpoint=endpoint, metadata=metadata)
        runs, more = services.runs.history(account_id, wanted, page=page, limit=limit)
        assets = made_by(services, runs) if runs else {}
        items = [requests.item_out(run, assets=assets, base_url=base_url) for run in runs]
        return json_answer(history.HistoryOut(items=items, page=page, limit=limit, has_more=more))

    @app.get("/requests/{request_id}")
    def get_request(request: Request, request_id: str) -> Response:
        """The result of a request, without its model's name."""
        run = services.runs.get(run_reader(request), requests.parse_request_id(request_id))
        return result(services, run, base_url)

    @app.delete("/requests/{request_id}/payloads")
    def delete_payloads(request: Request, request_id: str) -> Response:
        """Remove what went in and came out of a finished request, for good; a repeat does no harm."""
        run = services.runs.get(run_writer(request), requests.parse_request_id(request_id))
        return payloads_deleted(services, run, base_url)


def payloads_deleted(services: Services, run: Run, base_url: str) -> Response:
    """The answer to the removal of a request's payloads. Raises `IllegalTransition` for one that has not finished."""
    history.require_deletable(run)
    assets = made_by(services, [run])
    _, gone = services.runs.delete_payloads(run.account_id, run.id)
    return json_answer(history.payloads_out(run, [assets[one] for one in gone if one in assets], base_url=base_url))
