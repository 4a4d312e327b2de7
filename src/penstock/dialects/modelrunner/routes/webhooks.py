"""Routes of webhooks: the account's secret, the log of deliveries, replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from penstock.dialects.base.access import run_reader, webhook_writer
from penstock.dialects.modelrunner.routes.common import NAME, json_answer
from penstock.dialects.modelrunner.wire import webhooks as wire
from penstock.dialects.modelrunner.wire.requests import parse_request_id
from penstock.domain.ids import DeliveryId
from penstock.domain.webhooks import DeliveryFilter

if TYPE_CHECKING:
    from penstock.dialects.base import Services

Limit = Annotated[int, Query(ge=1, le=100)]
RequestId = Annotated[str | None, Query(alias="requestId")]


def add_webhooks(app: FastAPI, services: Services) -> None:
    """The routes below `/webhooks`."""
    webhooks = services.webhooks

    @app.get("/webhooks/default/secret")
    def get_secret(request: Request) -> Response:
        """The secret that signs, made at the first call."""
        return json_answer(wire.SecretOut(key=webhooks.secret(webhook_writer(request), dialect=NAME).value))

    @app.post("/webhooks/default/secret/rotate")
    def rotate_secret(request: Request) -> Response:
        """A new secret; the old one signs alongside for 24 hours."""
        return json_answer(wire.SecretOut(key=webhooks.rotate_secret(webhook_writer(request), dialect=NAME).value))

    @app.get("/webhooks/deliveries")
    def list_deliveries(
        request: Request,
        request_id: RequestId = None,
        status: str | None = None,
        event: str | None = None,
        limit: Limit = 25,
    ) -> Response:
        """The newest deliveries of the account."""
        account_id = run_reader(request)
        run_id = parse_request_id(request_id) if request_id is not None else None
        wanted = DeliveryFilter(dialect=NAME, run_id=run_id, state=wire.parse_status(status), event=event)
        page = webhooks.page(account_id, wanted, cursor=None, limit=limit)
        logs = webhooks.logs(page.items)
        shown = [wire.delivery_out(delivery, logs[delivery.id]) for delivery in page.items]
        return json_answer(wire.DeliveriesOut(deliveries=shown))

    @app.post("/webhooks/deliveries/{delivery_id}/replay")
    def replay(request: Request, delivery_id: str) -> Response:
        """Send a delivery once more: the same bytes under the same id."""
        delivery = webhooks.redeliver(webhook_writer(request), DeliveryId(delivery_id), dialect=NAME)
        return json_answer(wire.delivery_out(delivery, webhooks.logs([delivery])[delivery.id]))
