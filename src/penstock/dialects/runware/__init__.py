"""Runware: arrays of tasks over HTTP and WebSockets, custom models and the runs that use them."""

from __future__ import annotations

from datetime import timedelta

from penstock.dialects.base import Capabilities, Dialect
from penstock.dialects.runware import callbacks, routes
from penstock.dialects.runware.media_wire import reference_parser
from penstock.domain.uploads import UploadPolicy

POLICY = UploadPolicy(max_bytes=16 * 2**20, url_ttl=timedelta(hours=1))
CAPABILITIES = Capabilities(
    confirms=False, cancels_runs=False, upload_lifetimes=False, declares_sizes=False, tells_story=False
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
