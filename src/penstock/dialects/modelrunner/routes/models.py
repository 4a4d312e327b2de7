"""Routes of models: submit, status, result, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import Response

from penstock.dialects.base.access import run_reader, run_writer
from penstock.dialects.base.http import takes_input
from penstock.dialects.modelrunner.routes.common import NAME, Lifecycle, RunTerms, StoreIO, json_answer, result
from penstock.dialects.modelrunner.routes.requests import payloads_deleted
from penstock.dialects.modelrunner.wire import common, requests
from penstock.dialects.modelrunner.wire.webhooks import parse_callback
from penstock.services.runs import NewRun

if TYPE_CHECKING:
    from penstock.dialects.base import Services
    from penstock.domain.runs import Run


def add_models(app: FastAPI, services: Services, base_url: str, terms: RunTerms) -> None:
    """What is under a model's name."""

    def shown(run: Run, status: int, asked: requests.Submission | None = None, *, logs: bool = False) -> Response:
        place = services.runs.place_in_queue(run)
        lines = services.runs.logs(run.account_id, run.id) if logs else ()
        told = requests.status_out(run, base_url=base_url, place=place, lines=lines)
        if asked is not None:  # both are echoed as they were given (MR-32)
            told.webhook, told.webhook_events_filter = asked.webhook, asked.webhook_events_filter
        return json_answer(told, status, request_id=told.request_id, exclude_none=True)

    @app.get("/{endpoint:path}/requests/{request_id}")
    def get_result(request: Request, endpoint: str, request_id: str) -> Response:
        """The result of a request."""
        run = services.runs.get(run_reader(request), requests.parse_request_id(request_id))
        return result(services, requests.require_endpoint(run, endpoint), base_url)

    @app.delete("/{endpoint:path}/requests/{request_id}/payloads")
    def delete_payloads(request: Request, endpoint: str, request_id: str) -> Response:
        """The same as without the model's name: `response_url` with `/payloads` behind it (guides/data-retention)."""
        run = services.runs.get(run_writer(request), requests.parse_request_id(request_id))
        return payloads_deleted(services, requests.require_endpoint(run, endpoint), base_url)

    @app.get("/{endpoint:path}/requests/{request_id}/status")
    def get_status(request: Request, endpoint: str, request_id: str, *, logs: bool = False) -> Response:
        """Where a request stands."""
        run = services.runs.get(run_reader(request), requests.parse_request_id(request_id))
        return shown(requests.require_endpoint(run, endpoint), requests.status_of(run), logs=logs)

    @app.api_route("/{endpoint:path}/requests/{request_id}/cancel", methods=["GET", "PUT"])
    def cancel(request: Request, endpoint: str, request_id: str) -> Response:
        """Ask for the end of a request; the answer says where it stands, with 200 whatever that is."""
        account_id = run_writer(request)
        run = services.runs.get(account_id, requests.parse_request_id(request_id))
        return shown(services.runs.cancel(account_id, requests.require_endpoint(run, endpoint).id), 200)

    @app.post("/{endpoint:path}")
    @takes_input
    def submit(
        request: Request,
        endpoint: str,
        body: requests.Submission,
        lifecycle: Lifecycle = None,
        store_io: StoreIO = None,
    ) -> Response:
        """Queue a request to a model; the body is the model's input. Priority and hint headers change nothing here."""
        account_id = run_writer(request)
        asked = new_run(endpoint, body, terms, lifecycle=lifecycle, store_io=store_io)
        return shown(services.runs.submit(account_id, asked), 201, body)


def new_run(
    endpoint: str,
    body: requests.Submission,
    terms: RunTerms,
    *,
    lifecycle: str | None,
    store_io: str | None,
) -> NewRun:
    """What a submission asks for. Raises `InvalidField`."""
    return NewRun(
        dialect=NAME,
        model=endpoint,
        inputs=body.model_input(),
        metadata=body.metadata,
        references=terms.references,
        keeps_inputs=terms.keeps_inputs,
        output_lifetime=common.parse_lifecycle(lifecycle),
        payload_lifetime=requests.parse_store_io(store_io),
        callback=parse_callback(body.webhook, body.webhook_events_filter),
    )
