"""ModelRunner's routes about webhooks: the account's secret, the log of deliveries, replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from penstock.dialects.base.http import principal
from penstock.dialects.modelrunner import callbacks
from penstock.dialects.modelrunner.wire import parse_request_id
from penstock.domain.accounts import Scope
from penstock.domain.ids import DeliveryId
from penstock.domain.webhooks import DeliveryFilter

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

    from penstock.dialects.base import Services

_MOST = 100
_USUAL = 25

Limit = Annotated[int, Query(ge=1, le=_MOST)]
RequestId = Annotated[str | None, Query(alias="requestId")]


def add_webhooks(app: FastAPI, services: Services, *, dialect: str) -> None:
    """The routes below `/webhooks`."""
    webhooks = services.webhooks

    @app.get("/webhooks/default/secret")
    def get_secret(request: Request) -> Response:
        """The secret that signs, made at the first call."""
        who = principal(request)
        who.require(Scope.WEBHOOKS_WRITE)
        secret = webhooks.secret(who.account_id, dialect=dialect)
        return _json(callbacks.SecretOut(key=secret.value))

    @app.post("/webhooks/default/secret/rotate")
    def rotate_secret(request: Request) -> Response:
        """A new secret; the old one signs alongside for 24 hours."""
        who = principal(request)
        who.require(Scope.WEBHOOKS_WRITE)
        secret = webhooks.rotate_secret(who.account_id, dialect=dialect)
        return _json(callbacks.SecretOut(key=secret.value))

    @app.get("/webhooks/deliveries")
    def list_deliveries(
        request: Request,
        request_id: RequestId = None,
        status: str | None = None,
        event: str | None = None,
        limit: Limit = _USUAL,
    ) -> Response:
        """The newest deliveries of the account."""
        who = principal(request)
        who.require(Scope.RUNS_READ)
        run_id = parse_request_id(request_id) if request_id is not None else None
        state = callbacks.parse_status(status)
        wanted = DeliveryFilter(dialect=dialect, run_id=run_id, state=state, event=event)
        page = webhooks.page(who.account_id, wanted, cursor=None, limit=limit)
        logs = webhooks.logs(page.items)
        shown = [callbacks.delivery_out(delivery, logs[delivery.id]) for delivery in page.items]
        return _json(callbacks.DeliveriesOut(deliveries=shown))

    @app.post("/webhooks/deliveries/{delivery_id}/replay")
    def replay(request: Request, delivery_id: str) -> Response:
        """Send a delivery once more: the same bytes under the same id."""
        who = principal(request)
        who.require(Scope.WEBHOOKS_WRITE)
        delivery = webhooks.redeliver(who.account_id, DeliveryId(delivery_id), dialect=dialect)
        return _json(callbacks.delivery_out(delivery, webhooks.logs([delivery])[delivery.id]))


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(by_alias=True), media_type="application/json")
