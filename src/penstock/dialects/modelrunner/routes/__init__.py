"""ModelRunner routes: parse, call one service verb, render."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.dialects.base.http import Edge, RequestScope, open_app
from penstock.dialects.modelrunner.errors import render_error
from penstock.dialects.modelrunner.routes.common import RunTerms, key_secret
from penstock.dialects.modelrunner.routes.files import add_files
from penstock.dialects.modelrunner.routes.models import add_models
from penstock.dialects.modelrunner.routes.proxy import meant
from penstock.dialects.modelrunner.routes.requests import add_requests
from penstock.dialects.modelrunner.routes.storage import add_storage
from penstock.dialects.modelrunner.routes.streams import add_model_streams, add_request_stream
from penstock.dialects.modelrunner.routes.webhooks import add_webhooks
from penstock.dialects.modelrunner.wire.common import REQUEST_ID_HEADER, RESERVED_OWNERS
from penstock.domain.errors import InvalidField

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as ASGIScope

    from penstock.dialects.base import Capabilities, Services
    from penstock.domain.foreign import ReferenceRules
    from penstock.domain.uploads import UploadPolicy


def build(
    services: Services, base_url: str, *, policy: UploadPolicy, capabilities: Capabilities, references: ReferenceRules
) -> ASGIApp:
    """ModelRunner's API as an ASGI app to be mounted at `base_url`."""
    edge = Edge(services=services, read_secret=key_secret, render_error=render_error)
    fixed = open_app(edge, title="ModelRunner", openapi_url=None)
    add_storage(fixed, services, base_url, policy)
    add_files(fixed, services, base_url)
    add_request_stream(fixed, services, base_url)
    add_requests(fixed, services, base_url)
    add_webhooks(fixed, services)
    models = open_app(edge, title="ModelRunner", openapi_url=None)
    terms = RunTerms(keeps_inputs=capabilities.run_input_keeps_file, references=references)
    add_model_streams(models, services, base_url, terms)
    add_models(models, services, base_url, terms)

    async def app(scope: ASGIScope, receive: Receive, send: Send) -> None:
        """The product's hosts share one prefix here, so the first segment decides which of them is meant."""
        if _below(scope) == "proxy":
            try:
                scope = meant(scope)
            except InvalidField as error:
                await render_error(error, scope["state"]["request_id"])(scope, receive, send)
                return
        owner = _below(scope).partition("/")[0]
        await (fixed if owner in RESERVED_OWNERS else models)(scope, receive, send)

    return RequestScope(app, header=REQUEST_ID_HEADER, edge_error=render_error, log=services.log)


def _below(scope: ASGIScope) -> str:
    """The path below the mount."""
    below: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return below.strip("/")
