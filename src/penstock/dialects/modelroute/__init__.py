"""ModelRoute: files by a presigned PUT without a confirmation, and executions that take them by their id."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.base import Capabilities, Dialect, Services
from penstock.dialects.modelroute import callbacks
from penstock.dialects.modelroute.wire import REQUEST_ID_HEADER, BeginLaterUpload, BeginUpload, reference_parser
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadPolicy

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# 104,857,600 bytes and one hour are the guide's. That a declared size does not bind is inferred from its own script,
# which declares 2048576 bytes of whatever the photograph has; so is that the bytes may be of another type.
POLICY = UploadPolicy(
    max_bytes=104_857_600,
    url_ttl=timedelta(hours=1),
    size_policy=SizePolicy.ADVISORY,
    type_policy=TypePolicy.RECORD,
)
# The later form of the file API. What its "150 MB" are is inferred from what 100 MB are in the guide.
LATER_POLICY = replace(POLICY, max_bytes=157_286_400, binds_type=False)
CAPABILITIES = Capabilities(confirms=False, takes_urls=False, lasting_urls=False, upload_lifetimes=False)


def _build(services: Services, base_url: str) -> ASGIApp:
    from penstock.dialects.modelroute import routes  # noqa: PLC0415 - heavy rooms are entered when they are needed

    return routes.build(
        services, base_url, policies={BeginUpload: POLICY, BeginLaterUpload: LATER_POLICY}, capabilities=CAPABILITIES
    )


DIALECT = Dialect(
    name="modelroute",
    mount="/modelroute",
    request_id_header=REQUEST_ID_HEADER,
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=_build,
    reference_parser=reference_parser,
    callbacks=callbacks.policy,
)
