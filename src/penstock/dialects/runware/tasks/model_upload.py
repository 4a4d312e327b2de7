"""`modelUpload`: a model from a URL, told in five phases as they end (contract §5, §6, §8)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from penstock.dialects.runware import model_wire as wire
from penstock.dialects.runware.task import Following, Refusal, Task
from penstock.dialects.runware.tasks.lookup import Lookup
from penstock.domain.accounts import Scope
from penstock.domain.errors import InvalidField, InvalidFields
from penstock.domain.events import MODEL_FINALS, EventKind
from penstock.domain.model_cards import ARCHITECTURES
from penstock.domain.model_uploads import Phase
from penstock.domain.webhooks import Callback
from penstock.services.model_uploads import NewModelUpload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.dialects.base import Services
    from penstock.dialects.runware.model_wire import UploadTask
    from penstock.dialects.runware.rooms import Room
    from penstock.dialects.runware.task import Answer, Call, Item
    from penstock.domain.events import Event
    from penstock.domain.ids import AccountId
    from penstock.domain.model_uploads import ModelUpload

DIALECT = "runware"
_PHASES: Mapping[EventKind, Phase] = {
    EventKind.MODEL_VALIDATED: Phase.VALIDATED,
    EventKind.MODEL_DOWNLOADED: Phase.DOWNLOADED,
    EventKind.MODEL_OPTIMIZED: Phase.OPTIMIZED,
    EventKind.MODEL_STORED: Phase.STORED,
    EventKind.MODEL_READY: Phase.READY,
}


def model_upload_tasks(services: Services, _base_url: str) -> Mapping[str, Task]:
    """The task type. Sent again while it goes on, a task is followed from its beginning (RU-57)."""

    def upload(call: Call) -> Answer:
        """The phases as they end; of an asynchronous task only that it was accepted."""
        account_id = call.allowed(Scope.MODELS_WRITE)
        task = wire.parse_upload(call.task, architectures=(*ARCHITECTURES, *services.extra_architectures))
        begun = _begun(services, account_id, task, call)
        if begun is None or not task.waits:
            return [{}] if begun is not None else [wire.DRY_RUN]
        return Following(subject=begun.id, finals=MODEL_FINALS, render=partial(_told, air=task.air))

    return {wire.TASK: Task(handle=upload, follows=True, begins_upload=True, honours_dry_run=True)}


def upload_lookup(services: Services, _base_url: str) -> Lookup:
    """Uploads that are asked about later; for as long as they are kept, which is 24 hours and more."""

    def find(account_id: AccountId, task_uuid: str) -> ModelUpload | None:
        return services.model_uploads.by_ref(account_id, dialect=DIALECT, client_ref=task_uuid)

    def response(account_id: AccountId, task_uuid: str, _room: Room) -> Sequence[Item | Refusal] | None:
        upload = find(account_id, task_uuid)
        if upload is None:
            return None
        if upload.phase is Phase.FAILED:
            return [Refusal(error=wire.failure_of(upload.error_code, upload.error, upload.error_field))]
        return [wire.polled_item(upload)]

    def request(account_id: AccountId, task_uuid: str) -> Mapping[str, object] | None:
        upload = find(account_id, task_uuid)
        return None if upload is None else wire.request_of(upload)

    return Lookup(task_type=wire.TASK, scope=Scope.MODELS_READ, response=response, request=request)


def _begun(services: Services, account_id: AccountId, task: UploadTask, call: Call) -> ModelUpload | None:
    """The upload that began, or goes on already; None when it was only to be tried."""
    wanted = NewModelUpload(
        air=task.air,
        given=task.given,
        source_url=task.download_url,
        needs_balance=True,  # RU-80
    )
    callback = None if task.webhook_url is None else Callback(url=task.webhook_url, field_name="callback_url")
    try:
        if call.dry_run:
            services.model_uploads.check(account_id, wanted, dialect=DIALECT, callback=callback)
            return None
        return services.model_uploads.begin(
            account_id, wanted, dialect=DIALECT, client_ref=call.task_uuid, callback=callback
        )
    except InvalidField as error:
        raise _in_its_words(error) from error
    except InvalidFields as error:
        raise _in_its_words(error.fields[0]) from error


def _in_its_words(error: InvalidField) -> InvalidField:
    """The same, at the task's own parameter. An address that is never fetched from is a failed download (§7)."""
    path = tuple(wire.PARAMETERS.get(str(part), part) for part in error.path[:1])
    rule = "code:downloadFailed" if error.rule == "url_refused" else error.rule
    return InvalidField(path, error.reason, rule=rule, facts=error.facts)


def _told(event: Event, *, air: str) -> Sequence[Item | Refusal]:
    if event.kind is EventKind.MODEL_FAILED:
        code, reason, field = (event.data.get(name) for name in ("code", "reason", "field"))
        return [Refusal(error=wire.failure_of(_text(code), _text(reason), _text(field)))]
    phase = _PHASES.get(event.kind)
    return [] if phase is None else [wire.phase_item(phase, air=air)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
