"""Native routes: parse, call one service verb, render."""

from __future__ import annotations

from starlette.types import ASGIApp

from penstock.dialects.base import Services
from penstock.dialects.base.http import Edge, RequestScope, open_app
from penstock.dialects.base.rates import X_RATE_LIMIT
from penstock.dialects.native.errors import render_error
from penstock.dialects.native.routes.account import add_account
from penstock.dialects.native.routes.assets import add_assets
from penstock.dialects.native.routes.common import (
    bearer_secret,
)
from penstock.dialects.native.routes.document import PROBLEMS, add_document
from penstock.dialects.native.routes.folders import add_folders
from penstock.dialects.native.routes.imports import add_imports
from penstock.dialects.native.routes.intake import add_intake
from penstock.dialects.native.routes.library import add_library
from penstock.dialects.native.routes.lifetimes import add_lifetimes
from penstock.dialects.native.routes.models import add_models
from penstock.dialects.native.routes.runs import add_runs
from penstock.dialects.native.routes.uploads import add_parts, add_uploads
from penstock.dialects.native.routes.webhooks import add_webhooks
from penstock.dialects.native.wire.common import REQUEST_ID_HEADER
from penstock.domain.foreign import ReferenceRules
from penstock.domain.uploads import UploadPolicy


def build(services: Services, base_url: str, *, policy: UploadPolicy, references: ReferenceRules) -> ASGIApp:
    """The native API as an ASGI app to be mounted at `base_url`."""
    edge = Edge(services=services, read_secret=bearer_secret, render_error=render_error, rate_headers=X_RATE_LIMIT)
    app = open_app(
        edge,
        title="Penstock",
        version="1",
        servers=[{"url": base_url}],
        root_path_in_servers=False,
        openapi_url="/openapi.json",
        responses=PROBLEMS,
    )
    add_uploads(app, services, policy)
    add_parts(app, services)
    add_imports(app, services, policy)
    add_assets(app, services, base_url)
    add_lifetimes(app, services, base_url)
    add_library(app, services, base_url)
    add_folders(app, services)
    add_intake(app, services)
    add_models(app, services)
    add_runs(app, services, base_url, references)
    add_webhooks(app, services)
    add_account(app, services)
    add_document(app)
    return RequestScope(app, header=REQUEST_ID_HEADER, edge_error=render_error, log=services.log)
