"""Runware: arrays of tasks over HTTP and WebSockets, custom models and the runs that use them."""

from __future__ import annotations

from datetime import timedelta

from penstock.dialects.base import Capabilities, Dialect
from penstock.dialects.runware import callbacks, routes
from penstock.dialects.runware.media_wire import MOST_BYTES, reference_parser
from penstock.domain.uploads import SizePolicy, UploadPolicy

# Files come within a task, or the server fetches them; nobody declares a size (all of it inferred).
POLICY = UploadPolicy(max_bytes=MOST_BYTES, url_ttl=timedelta(hours=1), size_policy=SizePolicy.ADVISORY)
CAPABILITIES = Capabilities(
    confirms=False, cancels_runs=False, upload_lifetimes=False, declares_sizes=False, uploads_in_steps=False
)
DIALECT = Dialect(
    name="runware",
    mount="/runware",
    request_id_header="x-request-id",
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=routes.build,
    reference_parser=reference_parser,
    callbacks=callbacks.policy,
)
