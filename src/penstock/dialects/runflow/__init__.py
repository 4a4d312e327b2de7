"""Runflow: asset uploads that are confirmed, a library of assets with folders, and runs of models that take them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.base import Capabilities, Dialect, Services
from penstock.dialects.runflow import callbacks
from penstock.dialects.runflow.wire.common import REQUEST_ID_HEADER, reference_parser
from penstock.domain.foreign import ReferenceRules, UrlRules
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadPolicy

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# 50 MiB and the exact size are the guide's. One hour for the URL is inferred, and so is that bytes of another type are
# taken as what they were declared: the product looks at the stored object's size and type, not into it.
POLICY = UploadPolicy(
    max_bytes=52_428_800,
    min_bytes=1,
    url_ttl=timedelta(hours=1),
    size_policy=SizePolicy.EXACT,
    type_policy=TypePolicy.RECORD,
    confirm_within=timedelta(hours=24),  # inferred
)
# "Host the file at a public URL and pass that on the run" is the guide's way for files over 50 MiB; the limit, and that
# http:// is taken, are inferred.
REFERENCES = ReferenceRules(urls=UrlRules(max_bytes=5 * 2**30, https_only=False))
# No document names a way to cancel a run.
CAPABILITIES = Capabilities(confirms=True, cancels_runs=False, lasting_urls=False, upload_lifetimes=False)


def _build(services: Services, base_url: str) -> ASGIApp:
    from penstock.dialects.runflow import routes  # noqa: PLC0415 - heavy rooms are entered when they are needed

    return routes.build(services, base_url, policy=POLICY, capabilities=CAPABILITIES, references=REFERENCES)


DIALECT = Dialect(
    name="runflow",
    mount="/runflow",
    request_id_header=REQUEST_ID_HEADER,
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=_build,
    reference_parser=reference_parser,
    callbacks=callbacks.policy,
)
