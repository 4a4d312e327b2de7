"""`imageUpload` and `mediaStorage`: files from a URL or from the task itself, and their end (contract §12)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from penstock.dialects.runware import media_wire as wire
from penstock.dialects.runware.task import Failure, Following, Refusal, Task
from penstock.domain.accounts import Scope
from penstock.domain.errors import FileTypeRefused, InvalidField
from penstock.domain.events import UPLOAD_FINALS, EventKind
from penstock.domain.idempotency import idempotent_request
from penstock.domain.ids import UploadId
from penstock.domain.media_types import Kind
from penstock.domain.uploads import SizePolicy, UploadPolicy
from penstock.services.imports import NewImport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.dialects.base import Services
    from penstock.dialects.runware.task import Answer, Call, Item
    from penstock.domain.assets import Asset
    from penstock.domain.events import Event
    from penstock.domain.ids import AccountId
    from penstock.domain.references import InlineData

    Shown = Callable[[Asset], Item]

DIALECT = "runware"
_HOUR = timedelta(hours=1)
_POLICY = UploadPolicy(max_bytes=wire.MOST_BYTES, url_ttl=_HOUR, fetch_ttl=_HOUR, size_policy=SizePolicy.ADVISORY)
"""For files that the server fetches; whoever asks for one waits for it (limits are inferred)."""


def media_tasks(services: Services, base_url: str) -> Mapping[str, Task]:
    """Both task types. What was uploaded is a file like any other, until it is deleted."""

    def upload_image(call: Call) -> Answer:
        """A picture; the bytes say whether it is one."""
        account_id = call.allowed(Scope.FILES_WRITE)
        source = wire.parse_source(call.task, "image")
        shown = partial(wire.image_item, base_url=base_url)
        return _kept(services, account_id, source, call, shown=shown, accepts=(Kind.IMAGE.value,))

    def store_media(call: Call) -> Answer:
        """A file of any type, or the end of one."""
        account_id = call.allowed(Scope.FILES_WRITE)
        if wire.parse_operation(call.task) == "delete":
            asset_id = wire.parse_uuid(call.task, "media", "mediaUUID")
            services.assets.delete(account_id, asset_id)
            return [{"operation": "delete", "mediaUUID": asset_id}]
        source = wire.parse_source(call.task, "media")
        return _kept(services, account_id, source, call, shown=partial(wire.media_item, base_url=base_url))

    return {
        wire.IMAGE_UPLOAD: Task(handle=upload_image, follows=True, begins_upload=True),
        wire.MEDIA_STORAGE: Task(handle=store_media, follows=True, begins_upload=True),
    }


def _kept(
    services: Services,
    account_id: AccountId,
    source: str | InlineData,
    call: Call,
    *,
    shown: Shown,
    accepts: tuple[str, ...] = (),
) -> Answer:
    """The file at once where its bytes are here; else when they have come."""
    if not isinstance(source, str):
        lifetime = services.lifetimes.classes.uploads
        return [shown(services.contents.keep(account_id, source, accepts=accepts, lifetime=lifetime, title="media"))]
    wanted = NewImport(dialect=DIALECT, source_url=source, lifetime=services.lifetimes.classes.uploads)
    again = idempotent_request(f"runware:{call.task_uuid.lower()}", call.task)
    try:
        upload = services.imports.begin_import(account_id, wanted, _POLICY, idempotency=again)
    except InvalidField as error:
        name = "image" if call.task_type == wire.IMAGE_UPLOAD else "media"
        raise InvalidField((name,), error.reason, rule="code:downloadFailed") from error
    render = partial(_told, services, account_id, upload.id, shown, accepts)
    return Following(subject=upload.id, finals=UPLOAD_FINALS, render=render)


def _told(
    services: Services,
    account_id: AccountId,
    upload_id: UploadId,
    shown: Shown,
    accepts: tuple[str, ...],
    event: Event,
) -> Sequence[Item | Refusal]:
    if event.kind not in UPLOAD_FINALS:
        return []
    upload = services.uploads.get(account_id, upload_id)
    if event.kind is not EventKind.UPLOAD_READY or upload.asset_id is None:
        return [Refusal(error=Failure(code="source_failed", message=upload.failure or "the file could not be had"))]
    asset = services.assets.get(account_id, upload.asset_id)
    if accepts and asset.kind.value not in accepts:
        services.assets.delete(account_id, asset.id, permanent=True)
        return [Refusal(error=FileTypeRefused(asset.content_type, accepted=accepts))]
    return [shown(asset)]
