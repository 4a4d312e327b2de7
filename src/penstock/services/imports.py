"""Imports: uploads whose bytes the server fetches from a URL. A worker does it (workflows/asset_fetch.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from penstock.domain.egress import UrlRefusedError, parse_url
from penstock.domain.errors import InvalidField
from penstock.domain.ids import JobId
from penstock.domain.media_types import OCTET_STREAM
from penstock.services.identity import new_id
from penstock.services.uploads import NewUpload

if TYPE_CHECKING:
    from datetime import timedelta

    from penstock.domain.egress import EgressRules
    from penstock.domain.idempotency import IdempotentRequest
    from penstock.domain.ids import AccountId, FolderId
    from penstock.domain.uploads import Upload, UploadPolicy
    from penstock.ports.clock import Entropy
    from penstock.ports.database import Transaction
    from penstock.services.uploads import Uploads

FETCH_JOB = "asset_fetch"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImport:
    """What a caller asks to have fetched.

    Without a `filename` the URL's own last segment names the file; without a `content_type` the bytes decide. `sha256`
    (hex) is what the bytes must have. `lifetime` of the asset counts from the arrival of the bytes; `folder_id` and
    `tags` are for it.
    """

    dialect: str
    source_url: str
    filename: str | None = None
    content_type: str | None = None
    sha256: str | None = None
    lifetime: timedelta | None = None
    folder_id: FolderId | None = None
    tags: tuple[str, ...] = ()


class Imports:
    """Use cases on uploads that are fetched."""

    def __init__(self, uploads: Uploads, rules: EgressRules, *, entropy: Entropy) -> None:
        self._uploads = uploads
        self._rules = rules
        self._entropy = entropy

    def begin_import(
        self,
        account_id: AccountId,
        wanted: NewImport,
        policy: UploadPolicy,
        *,
        idempotency: IdempotentRequest | None = None,
    ) -> Upload:
        """Create an upload that a worker fills. A repeat under one key returns the first.

        Nothing is connected to here. Raises `InvalidField` for a URL that is never fetched, and as `begin_upload`.
        """
        try:
            place = parse_url(wanted.source_url)
        except UrlRefusedError as error:
            raise InvalidField(("source_url",), str(error)) from error
        if self._rules.refuses_at_sight(place):
            raise InvalidField(
                ("source_url",), "its address or port is not one that is fetched from, unless the operator allows it"
            )
        declared = NewUpload(
            dialect=wanted.dialect,
            filename=unquote(place.path) if wanted.filename is None else wanted.filename,
            content_type=wanted.content_type or OCTET_STREAM,
            size=None,
            lifetime=wanted.lifetime,
            source_url=place.url,
            sha256=wanted.sha256,
            folder_id=wanted.folder_id,
            tags=wanted.tags,
        )
        return self._uploads.begin_upload(account_id, declared, policy, idempotency=idempotency, along=self._enqueue)

    def _enqueue(self, tx: Transaction, upload: Upload) -> None:
        tx.jobs.enqueue(
            FETCH_JOB,
            {"upload_id": upload.id},
            job_id=JobId(new_id(self._entropy)),
            now=upload.created_at,
            dedupe_key=upload.id,
            account_id=upload.account_id,
        )
