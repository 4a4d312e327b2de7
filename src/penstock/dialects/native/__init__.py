"""The native API: the clean superset, and the exemplar of what a dialect looks like."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from penstock.dialects.base import Capabilities, Dialect
from penstock.dialects.native import callbacks, routes
from penstock.dialects.native.wire.common import reference_parser
from penstock.domain.foreign import ReferenceRules, UrlRules
from penstock.domain.uploads import SizePolicy, TypePolicy, UploadPolicy

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
DIALECT = Dialect(
    name="native",
    mount="/v1",
    request_id_header=routes.REQUEST_ID_HEADER,
    upload_policy=POLICY,
    capabilities=CAPABILITIES,
    build=partial(routes.build, policy=POLICY, references=REFERENCES),
    reference_parser=reference_parser,
    callbacks=callbacks.policy,
)
