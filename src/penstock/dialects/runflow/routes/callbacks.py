"""Routes of callbacks: the secrets that sign them, what was sent of a run, sending it once more."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from penstock.dialects.base import Services
from penstock.dialects.base.access import run_reader, webhook_writer
from penstock.dialects.runflow import callbacks as wire
from penstock.dialects.runflow.routes.common import DIALECT, json_answer
from penstock.dialects.runflow.wire.common import Page, parse_run
from penstock.domain.errors import DeliveryNotFound
from penstock.domain.ids import AccountId, RunId
from penstock.domain.webhooks import Delivery, DeliveryFilter


def add_callbacks(app: FastAPI, services: Services) -> None:
    webhooks = services.webhooks

    def sent(account_id: AccountId, run_id: RunId) -> Delivery | None:
        """What was sent of a run, or will be. Raises `RunNotFound`."""
        services.runs.get(account_id, run_id)
        wanted = DeliveryFilter(dialect=DIALECT, run_id=run_id)
        return next(iter(webhooks.page(account_id, wanted, cursor=None, limit=1).items), None)

    def shown(delivery: Delivery) -> dict[str, object]:
        return wire.delivery_out(delivery, webhooks.logs([delivery])[delivery.id]).model_dump()

    @app.post("/v1/callback-secrets")
    def create_secret(request: Request, body: wire.CreateSecret | None = None) -> Response:
        """A new secret, which signs from now on in place of the one before (inferred)."""
        label = body.label if body is not None else ""
        secret = webhooks.rotate_secret(webhook_writer(request), dialect=DIALECT, label=label)
        return json_answer(wire.new_secret_out(secret).model_dump(), 201)

    @app.get("/v1/callback-secrets")
    def list_secrets(request: Request) -> Response:
        """The secrets that were made, newest first; the current one signs (the shape is inferred)."""
        secrets = webhooks.secrets(run_reader(request), dialect=DIALECT)
        items = [wire.secret_out(secret).model_dump() for secret in secrets]
        return json_answer(Page(items=items, next_pq=None, prev_pq=None).model_dump())

    @app.get("/v1/runs/{run_id}/callback")
    def get_callback(request: Request, run_id: str) -> Response:
        """The callback of a run and its attempts; nothing for a run without one, or before its end."""
        delivery = sent(run_reader(request), parse_run(run_id))
        items = [shown(delivery)] if delivery is not None else []
        return json_answer(Page(items=items, next_pq=None, prev_pq=None).model_dump())

    @app.post("/v1/runs/{run_id}/callback-redeliveries")
    def redeliver(request: Request, run_id: str) -> Response:
        """Send a run's callback once more: the same bytes. One that is still being tried is left alone (inferred)."""
        account_id = webhook_writer(request)
        delivery = sent(account_id, parse_run(run_id))
        if delivery is None:
            raise DeliveryNotFound(run_id)
        return json_answer(shown(webhooks.redeliver(account_id, delivery.id, dialect=DIALECT)), 202)
