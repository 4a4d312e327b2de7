"""Runware: arrays of tasks over HTTP and WebSockets, custom models and the runs that use them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.base import Capabilities, Dialect, Services
from penstock.dialects.runware import callbacks
from penstock.dialects.runware.media_wire import MOST_BYTES, reference_parser
from penstock.domain.uploads import SizePolicy, UploadPolicy

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Files come within a task, or the server fetches them; nobody declares a size (all of it inferred).
POLICY = UploadPolicy(max_bytes=MOST_BYTES, url_ttl=timedelta(hours=1), size_policy=SizePolicy.ADVISORY)
CAPABILITIES = Capabilities(
    confirms=False, cancels_runs=False, upload_lifetimes=False, declares_sizes=False, uploads_in_steps=False
)


def _build(services: Services, base_url: str) -> ASGIApp:
    from penstock.dialects.runware import routes  # noqa: PLC0415 - heavy rooms are entered when they are needed

    return routes.build(services, base_url)


DIALECT = Dialect(
    name="runware",
    mount="/runware",
    request_id_header="x-request-id",
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=_build,
    reference_parser=reference_parser,
    callbacks=callbacks.policy,
)
