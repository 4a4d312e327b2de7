"""The OpenAPI document and its page."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles

from penstock.dialects.base.http import public
from penstock.dialects.native.wire import common

PROBLEMS: dict[int | str, dict[str, Any]] = {
    statuses: {"model": common.Problem, "description": "Problem details (RFC 9457)"} for statuses in ("4XX", "5XX")
}


def add_document(app: FastAPI) -> None:
    """The document and the interactive page; its assets come with an installed package, never from a CDN."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        """What FastAPI sees, and what it cannot see: that a key is needed, and under which type problems come."""
        if app.openapi_schema is None:
            document = describe()
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"key": []}]
            for operation in (one for methods in document["paths"].values() for one in methods.values()):
                for statuses in PROBLEMS:
                    content = operation["responses"][statuses]["content"]
                    content["application/problem+json"] = content.pop("application/json")
        return describe()

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents
    app.mount("/docs-assets", StaticFiles(directory=str(files("fastapi_offline") / "static")))

    @app.get("/docs", include_in_schema=False)
    @public
    def docs(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return get_swagger_ui_html(
            openapi_url=f"{root}/openapi.json",
            title="Penstock API",
            swagger_js_url=f"{root}/docs-assets/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/docs-assets/swagger-ui.css",
            swagger_favicon_url=f"{root}/docs-assets/favicon.png",
        )
