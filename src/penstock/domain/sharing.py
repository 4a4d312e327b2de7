"""Sharing: an upload of bytes that its account holds already becomes an asset of its own, on the same bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.domain import uploads as rules
from penstock.domain.assets import intake_of_new
from penstock.domain.ids import AssetId
from penstock.domain.media_types import OCTET_STREAM

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.domain.assets import Asset
    from penstock.domain.uploads import Upload


def share(upload: Upload, source: Asset, *, now: datetime) -> tuple[Upload, Asset]:
    """The upload, ready, and its asset: what was measured is the source's, what was declared is the upload's.

    The source must be readable and of the same account. Judged like bytes that arrive: raises as `uploads.judge`.
    """
    found = source.found_type if source.found_type != OCTET_STREAM else None
    admission = rules.judge(upload, size=source.size, found=found)
    asset = replace(
        source,
        id=AssetId(upload.id),
        upload_id=upload.id,
        run_id=None,
        name=upload.name,
        content_type=admission.content_type,
        declared_type=upload.declared_type,
        kind=admission.kind,
        intake=source.intake
        if admission.kind is source.kind
        else intake_of_new(kind=admission.kind, sha256=source.sha256),
        media_key=upload.media_key,
        created_at=now,
        updated_at=None,
        expires_at=now + upload.lifetime if upload.lifetime is not None else None,
        folder_id=upload.folder_id,
        tags=upload.tags,
    )
    ready = rules.settled(rules.admitted(replace(upload, reserved=0, final_key=None), asset_id=asset.id))
    return ready, asset
