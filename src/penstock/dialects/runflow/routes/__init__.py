"""Runflow routes: parse, call one service verb, render."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Depends

from penstock.dialects.base.http import Edge, RequestScope, open_app
from penstock.dialects.base.rates import X_RATE_LIMIT
from penstock.dialects.runflow.errors import render_error, render_run_error
from penstock.dialects.runflow.routes.assets import add_assets, add_uploads
from penstock.dialects.runflow.routes.callbacks import add_callbacks
from penstock.dialects.runflow.routes.common import check_organization, read_key
from penstock.dialects.runflow.routes.folders import add_folders
from penstock.dialects.runflow.routes.runs import add_models, add_runs
from penstock.dialects.runflow.wire.common import REQUEST_ID_HEADER

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from penstock.dialects.base import Capabilities, Services
    from penstock.domain.foreign import ReferenceRules
    from penstock.domain.uploads import UploadPolicy

_MODELS = "/v1/models/"


def build(
    services: Services, base_url: str, *, policy: UploadPolicy, capabilities: Capabilities, references: ReferenceRules
) -> ASGIApp:
    """Runflow's API as an ASGI app to be mounted at `base_url`."""
    member = [Depends(check_organization)]
    reads = Edge(services=services, read_secret=read_key, render_error=render_error, rate_headers=X_RATE_LIMIT)
    rest = open_app(reads, title="Runflow", openapi_url=None, dependencies=member)
    add_uploads(rest, services, policy)
    add_assets(rest, services)
    add_folders(rest, services)
    add_callbacks(rest, services)
    add_runs(rest, services, base_url)
    asks = Edge(services=services, read_secret=read_key, render_error=render_run_error, rate_headers=X_RATE_LIMIT)
    models = open_app(asks, title="Runflow", openapi_url=None, dependencies=member)
    add_models(models, services, base_url, capabilities, references)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """An asset that is not there has one status where it is asked for and another where a run names it."""
        below = scope["path"].removeprefix(scope.get("root_path", ""))
        await (models if below.startswith(_MODELS) else rest)(scope, receive, send)

    return RequestScope(app, header=REQUEST_ID_HEADER, edge_error=render_error, log=services.log)
