"""Runway: ephemeral uploads by form under a `runway://` reference, and generation tasks that take it as input."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from penstock.dialects.base import Capabilities, Dialect
from penstock.dialects.runway import routes
from penstock.dialects.runway.wire import reference_parser
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadPolicy

# 512 bytes to 200 MB (RW-14); that an MB is 1024 · 1024 bytes (RW-15, RW-63) and the form's one hour are inferred.
POLICY = UploadPolicy(
    min_bytes=512,
    max_bytes=200 * 2**20,
    url_ttl=timedelta(hours=1),
    size_policy=SizePolicy.ADVISORY,
    type_policy=TypePolicy.RECORD,
    free_form_fields=("metadata",),
)
CAPABILITIES = Capabilities(
    confirms=False, lasting_urls=False, upload_lifetimes=False, file_urls=False, declares_sizes=False
)
DIALECT = Dialect(
    name="runway",
    mount="/runway",
    request_id_header="x-request-id",
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=partial(routes.build, policy=POLICY),
    reference_parser=reference_parser,
)
