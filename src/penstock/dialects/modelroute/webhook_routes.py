"""ModelRoute's routes about webhooks: an account's endpoints and their test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from penstock.dialects.base.http import principal
from penstock.dialects.modelroute import callbacks
from penstock.domain.accounts import Scope

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

    from penstock.dialects.base import Services
    from penstock.domain.ids import AccountId
    from penstock.domain.webhooks import Callback
    from penstock.services.webhooks import Webhooks

_ENDPOINTS = "/v1/webhooks/endpoints"


def add_webhooks(app: FastAPI, services: Services, *, dialect: str) -> None:
    """The routes below `/v1/webhooks`. Their statuses, but for errors, are inferred."""
    webhooks = services.webhooks

    @app.post(_ENDPOINTS)
    def add_endpoint(request: Request, body: callbacks.AddEndpoint) -> Response:
        """A new endpoint; its secret is told here and nowhere else."""
        made = webhooks.add_endpoint(_account(request), body.wanted(), dialect=dialect)
        return _json(callbacks.new_endpoint_out(*made), 201)

    @app.get(_ENDPOINTS)
    def list_endpoints(request: Request) -> Response:
        """The account's endpoints."""
        found = webhooks.endpoints(_account(request), dialect=dialect)
        return _json(callbacks.EndpointsOut(endpoints=[callbacks.endpoint_out(endpoint) for endpoint in found]))

    @app.patch(f"{_ENDPOINTS}/{{endpoint_id}}")
    def change_endpoint(request: Request, endpoint_id: str, body: callbacks.ChangeEndpoint) -> Response:
        """Change what is given; `is_active` turns an endpoint on again that was turned off."""
        known = callbacks.parse_endpoint(endpoint_id)
        changed = webhooks.change_endpoint(_account(request), known, body.change(), dialect=dialect)
        return _json(callbacks.endpoint_out(changed))

    @app.delete(f"{_ENDPOINTS}/{{endpoint_id}}")
    def remove_endpoint(request: Request, endpoint_id: str) -> Response:
        """Remove an endpoint; what is still to be sent there is not."""
        webhooks.remove_endpoint(_account(request), callbacks.parse_endpoint(endpoint_id), dialect=dialect)
        return Response(status_code=204)

    @app.post(f"{_ENDPOINTS}/{{endpoint_id}}/test")
    def test_endpoint(request: Request, endpoint_id: str) -> Response:
        """Send something that is no execution's, signed as all else."""
        known = callbacks.parse_endpoint(endpoint_id)
        event, body = callbacks.TEST_EVENT, callbacks.test_body
        return _json(
            callbacks.sent_out(webhooks.send(_account(request), known, dialect=dialect, event=event, body=body))
        )

    @app.get("/v1/webhooks/secret")
    def get_secret(request: Request) -> Response:
        """What signs callbacks to the `webhook_url` of executions; made at the first call."""
        return _json(callbacks.SecretOut(secret=webhooks.secret(_account(request), dialect=dialect).value))


def signed_callback(webhooks: Webhooks, account_id: AccountId, url: str | None, *, dialect: str) -> Callback | None:
    """Whom an execution tells of its end, if anybody, and the secret made that will sign it."""
    wanted = callbacks.callback(url)
    if wanted is not None:
        webhooks.secret(account_id, dialect=dialect)
    return wanted


def _account(request: Request) -> AccountId:
    who = principal(request)
    who.require(Scope.WEBHOOKS_WRITE)
    return who.account_id


def _json(body: BaseModel, status: int = 200) -> Response:
    return JSONResponse(body.model_dump(mode="json"), status_code=status)
