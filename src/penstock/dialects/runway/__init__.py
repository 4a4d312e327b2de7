"""Runway: ephemeral uploads by form under a `runway://` reference, and generation tasks that take it as input."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.dialects.base import Capabilities, Dialect, Services
from penstock.dialects.runway.wire import reference_parser
from penstock.domain.foreign import FetchManner, InlineRules, ReferenceRules, UrlRules
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadPolicy

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# 512 bytes to 200 MB (RW-14); that an MB is 1024 · 1024 bytes (RW-15, RW-63) and the form's one hour are inferred.
POLICY = UploadPolicy(
    min_bytes=512,
    max_bytes=200 * 2**20,
    url_ttl=timedelta(hours=1),
    size_policy=SizePolicy.ADVISORY,
    type_policy=TypePolicy.RECORD,
    free_form_fields=("metadata",),
)
_MIB = 2**20
# A data URI: characters as a whole, "under" so many (RW-52, RW-64). A URL of another server: RW-51, RW-53.
REFERENCES = ReferenceRules(
    urls=UrlRules(
        max_bytes=16 * _MIB,
        max_bytes_by_kind={"image": 16 * _MIB, "video": 32 * _MIB, "audio": 32 * _MIB},
        names_only=True,
        min_length=13,
        max_length=2048,
        tells_kind=True,
        within=timedelta(minutes=5),  # half of what the official clients wait for a whole task (inferred)
        manner=FetchManner(user_agent="RunwayML API/1.0", most_redirects=0, asks_first=True, needs_size=True),
    ),
    inline=InlineRules(
        max_characters={"image": 5 * _MIB - 1, "video": 16 * _MIB - 1, "audio": 16 * _MIB - 1},
        max_bytes=12 * _MIB,
        base64_only=True,
    ),
)
CAPABILITIES = Capabilities(
    confirms=False, lasting_urls=False, upload_lifetimes=False, file_urls=False, declares_sizes=False
)


def _build(services: Services, base_url: str) -> ASGIApp:
    from penstock.dialects.runway import routes  # noqa: PLC0415 - heavy rooms are entered when they are needed

    return routes.build(services, base_url, policy=POLICY, references=REFERENCES)


DIALECT = Dialect(
    name="runway",
    mount="/runway",
    request_id_header="x-request-id",
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=_build,
    reference_parser=reference_parser,
)
