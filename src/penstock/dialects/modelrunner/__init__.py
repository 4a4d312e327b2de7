"""ModelRunner: presigned PUT uploads under a canonical file URL, and queued model requests that take it as input."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.base import Capabilities, Dialect, Services
from penstock.dialects.modelrunner import callbacks
from penstock.dialects.modelrunner.wire.common import REQUEST_ID_HEADER, reference_parser
from penstock.domain.foreign import ReferenceRules, UrlRules
from penstock.domain.uploads import PartPolicy, SizePolicy, TypePolicy, UploadPolicy

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_GIB = 2**30

# The guide says "up to ~5 GB" and gives the URL no lifetime: 5 GiB (MR-45) and one hour are inferred, and so is that a
# given `size`, which is "for validation", binds (MR-44). Any type is accepted. Parts are as large as the client likes
# from 5 MiB on; that a file in parts has at most 5 TiB, and seven days to come, is inferred.
POLICY = UploadPolicy(
    max_bytes=5 * _GIB,
    url_ttl=timedelta(hours=1),
    size_policy=SizePolicy.EXACT,
    type_policy=TypePolicy.RECORD,
    part_policy=PartPolicy.ANY,
    max_multipart_bytes=5 * 2**40,
    multipart_ttl=timedelta(days=7),
)
# Foreign URLs "pass through": any that the server may fetch, in size like an upload (inferred).
REFERENCES = ReferenceRules(urls=UrlRules(max_bytes=POLICY.max_bytes, https_only=False))
# Cancelling is inferred: the product has the route and says that it does not cancel yet.
CAPABILITIES = Capabilities(confirms=False, run_input_keeps_file=True)


def _build(services: Services, base_url: str) -> ASGIApp:
    from penstock.dialects.modelrunner import routes  # noqa: PLC0415 - heavy rooms are entered when they are needed

    return routes.build(services, base_url, policy=POLICY, capabilities=CAPABILITIES, references=REFERENCES)


DIALECT = Dialect(
    name="modelrunner",
    mount="/modelrunner",
    request_id_header=REQUEST_ID_HEADER,
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=_build,
    reference_parser=reference_parser,
    callbacks=callbacks.policy,
)
