"""Routes of callbacks: endpoints, secrets, the log of deliveries."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.access import webhook_writer
from penstock.dialects.native.routes.common import Cursor, Limit, json_answer, run_id_of
from penstock.dialects.native.wire import webhooks
from penstock.domain.errors import DeliveryNotFound, EndpointNotFound
from penstock.domain.ids import DeliveryId, EndpointId, parse_prefixed
from penstock.domain.webhooks import DeliveryFilter, DeliveryState
from penstock.services.webhooks import EndpointChange, NewEndpoint

_DIALECT = "native"
_TEST_EVENT = "test"

RunFilter = Annotated[str | None, Query(description="Only those about this run.")]
StateFilter = Annotated[
    Literal["pending", "delivered", "failed"] | None, Query(description="Only those that stand so.")
]


def add_webhooks(app: FastAPI, services: Services) -> None:
    _add_endpoints(app, services)
    _add_secrets(app, services)
    _add_deliveries(app, services)


def _add_endpoints(app: FastAPI, services: Services) -> None:
    @app.post("/webhook-endpoints", status_code=201, response_model=webhooks.NewEndpointOut, tags=["webhooks"])
    def create_webhook_endpoint(request: Request, body: webhooks.CreateEndpoint) -> Response:
        """Have a server told what becomes of every run that is made through this API from now on."""
        wanted = NewEndpoint(
            url=body.url, description=body.description, events=tuple(body.events), headers=dict(body.headers)
        )
        made = services.webhooks.add_endpoint(webhook_writer(request), wanted, dialect=_DIALECT)
        return json_answer(webhooks.new_endpoint_out(*made), 201)

    @app.get("/webhook-endpoints", response_model=webhooks.EndpointPage, tags=["webhooks"])
    def list_webhook_endpoints(request: Request) -> Response:
        """All endpoints, the oldest first."""
        found = services.webhooks.endpoints(webhook_writer(request), dialect=_DIALECT)
        return json_answer(webhooks.EndpointPage(data=[webhooks.endpoint_out(endpoint) for endpoint in found]))

    @app.get("/webhook-endpoints/{endpoint_id}", response_model=webhooks.EndpointOut, tags=["webhooks"])
    def get_webhook_endpoint(request: Request, endpoint_id: str) -> Response:
        """One endpoint."""
        account_id = webhook_writer(request)
        endpoint = services.webhooks.endpoint(account_id, _endpoint_id(endpoint_id), dialect=_DIALECT)
        return json_answer(webhooks.endpoint_out(endpoint))

    @app.patch("/webhook-endpoints/{endpoint_id}", response_model=webhooks.EndpointOut, tags=["webhooks"])
    def change_webhook_endpoint(request: Request, endpoint_id: str, body: webhooks.ChangeEndpoint) -> Response:
        """Change what is given; what is still to be delivered goes where the endpoint is then."""
        account_id = webhook_writer(request)
        change = EndpointChange(
            url=body.url,
            description=body.description,
            events=tuple(body.events) if body.events is not None else None,
            headers=dict(body.headers) if body.headers is not None else None,
            active=body.active,
        )
        changed = services.webhooks.change_endpoint(account_id, _endpoint_id(endpoint_id), change, dialect=_DIALECT)
        return json_answer(webhooks.endpoint_out(changed))

    @app.delete("/webhook-endpoints/{endpoint_id}", status_code=204, tags=["webhooks"])
    def delete_webhook_endpoint(request: Request, endpoint_id: str) -> Response:
        """Remove an endpoint; what is still to be delivered there is not."""
        services.webhooks.remove_endpoint(webhook_writer(request), _endpoint_id(endpoint_id), dialect=_DIALECT)
        return Response(status_code=204)

    @app.post("/webhook-endpoints/{endpoint_id}/test", response_model=webhooks.DeliveryOut, tags=["webhooks"])
    def test_webhook_endpoint(request: Request, endpoint_id: str) -> Response:
        """Send an event `test`, signed as all others, even if the endpoint is turned off."""
        account_id, found = webhook_writer(request), _endpoint_id(endpoint_id)
        sent = services.webhooks.send(account_id, found, dialect=_DIALECT, event=_TEST_EVENT, body=webhooks.test_body)
        return json_answer(webhooks.delivery_out(sent))

    @app.post("/webhook-endpoints/{endpoint_id}/rotate-secret", response_model=webhooks.SecretOut, tags=["webhooks"])
    def rotate_endpoint_secret(request: Request, endpoint_id: str) -> Response:
        """A new secret for the endpoint; for 24 hours the old one signs, too."""
        account_id, found = webhook_writer(request), _endpoint_id(endpoint_id)
        services.webhooks.endpoint(account_id, found, dialect=_DIALECT)
        secret = services.webhooks.rotate_secret(account_id, dialect=_DIALECT, endpoint_id=found)
        return json_answer(webhooks.secret_out(secret))


def _add_secrets(app: FastAPI, services: Services) -> None:
    @app.get("/webhook-secret", response_model=webhooks.SecretOut, tags=["webhooks"])
    def get_webhook_secret(request: Request) -> Response:
        """What signs callbacks to the `callback_url` of runs; made at its first use."""
        return json_answer(webhooks.secret_out(services.webhooks.secret(webhook_writer(request), dialect=_DIALECT)))

    @app.post("/webhook-secret/rotate", response_model=webhooks.SecretOut, tags=["webhooks"])
    def rotate_webhook_secret(request: Request) -> Response:
        """A new one; for 24 hours the old one signs, too."""
        return json_answer(
            webhooks.secret_out(services.webhooks.rotate_secret(webhook_writer(request), dialect=_DIALECT))
        )


def _add_deliveries(app: FastAPI, services: Services) -> None:
    @app.get("/webhook-deliveries", response_model=webhooks.DeliveryPage, tags=["webhooks"])
    def list_webhook_deliveries(
        request: Request,
        run_id: RunFilter = None,
        state: StateFilter = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Response:
        """Deliveries, newest first."""
        account_id = webhook_writer(request)
        about = services.runs.get(account_id, run_id_of(run_id)).id if run_id is not None else None
        wanted = DeliveryFilter(
            dialect=_DIALECT, run_id=about, state=DeliveryState(state) if state is not None else None
        )
        page = services.webhooks.page(account_id, wanted, cursor=cursor, limit=limit)
        shown = [webhooks.delivery_out(delivery) for delivery in page.items]
        return json_answer(webhooks.DeliveryPage(data=shown, next_cursor=page.next_cursor))

    @app.get("/webhook-deliveries/{delivery_id}", response_model=webhooks.FullDeliveryOut, tags=["webhooks"])
    def get_webhook_delivery(request: Request, delivery_id: str) -> Response:
        """One delivery, with what was sent and how each attempt went."""
        account_id = webhook_writer(request)
        found = services.webhooks.delivery(account_id, _delivery_id(delivery_id), dialect=_DIALECT)
        return json_answer(webhooks.full_delivery_out(*found))

    @app.post("/webhook-deliveries/{delivery_id}/redeliver", response_model=webhooks.DeliveryOut, tags=["webhooks"])
    def redeliver_webhook(request: Request, delivery_id: str) -> Response:
        """Send the same bytes once more, under the same id; what is still being tried is left alone."""
        account_id = webhook_writer(request)
        again = services.webhooks.redeliver(account_id, _delivery_id(delivery_id), dialect=_DIALECT)
        return json_answer(webhooks.delivery_out(again))


def _endpoint_id(text: str) -> EndpointId:
    found = parse_prefixed("endpoint", text)
    if found is None:
        raise EndpointNotFound(text)
    return EndpointId(found)


def _delivery_id(text: str) -> DeliveryId:
    found = parse_prefixed("delivery", text)
    if found is None:
        raise DeliveryNotFound(text)
    return DeliveryId(found)
