"""The native API: the clean superset, and the exemplar of what a dialect looks like."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.base import Capabilities, Dialect, Services
from penstock.dialects.native import callbacks
from penstock.dialects.native.wire.common import REQUEST_ID_HEADER, reference_parser
from penstock.domain.foreign import ReferenceRules, UrlRules
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadPolicy

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_GIB = 2**30

POLICY = UploadPolicy(
    max_bytes=5 * _GIB,
    url_ttl=timedelta(hours=1),
    size_policy=SizePolicy.EXACT,
    type_policy=TypePolicy.REFUSE,
    max_multipart_bytes=5 * 2**40,
)
REFERENCES = ReferenceRules(urls=UrlRules(max_bytes=5 * _GIB, https_only=False))
CAPABILITIES = Capabilities(confirms=True, tells_gone_files=True)


def _build(services: Services, base_url: str) -> ASGIApp:
    from penstock.dialects.native import routes  # noqa: PLC0415 - heavy rooms are entered when they are needed

    return routes.build(services, base_url, policy=POLICY, references=REFERENCES)


DIALECT = Dialect(
    name="native",
    mount="/v1",
    request_id_header=REQUEST_ID_HEADER,
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=_build,
    reference_parser=reference_parser,
    callbacks=callbacks.policy,
)
