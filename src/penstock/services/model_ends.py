"""How a model upload ends, in whatever way: row, model, leases, event and callback, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from penstock.domain import model_uploads as rules
from penstock.domain.egress import shown_url
from penstock.domain.errors import InvalidField
from penstock.domain.events import EventKind
from penstock.domain.ids import RunId
from penstock.domain.models import ModelCard, RegisteredModel
from penstock.domain.weights import Category, Declaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.ids import ModelId
    from penstock.domain.model_uploads import ModelUpload
    from penstock.ports.database import Transaction
    from penstock.services.callbacks import Callbacks

MODEL_JOB = "model_upload"
"""Its payload is `{model_upload_id}`, its `dedupe_key` that id."""
_TUPLES = frozenset({"tags", "positive_trigger_words", "negative_trigger_words"})


def card_of(tx: Transaction, upload: ModelUpload) -> ModelCard:
    """What an upload's caller says of the model; what an update leaves out is as before. Raises `InvalidField`."""
    before = tx.models.own(upload.account_id, upload.air)
    said = {field.name: upload.given[field.name] for field in fields(ModelCard) if field.name in upload.given}
    try:
        return replace(before.card, **_values(said)) if before is not None else ModelCard(**_values(said))
    except TypeError as error:
        raise InvalidField(("model",), "a model that is new needs all that describes it") from error


def declaration_of(tx: Transaction, upload: ModelUpload) -> Declaration:
    """What an upload's caller says that the file is. Raises `InvalidField`."""
    card = card_of(tx, upload)
    return Declaration(
        category=card.category, architecture=card.architecture, type=card.type, conditioning=card.conditioning
    )


def end_in_model(
    tx: Transaction, upload: ModelUpload, *, model_id: ModelId, callbacks: Callbacks, now: datetime
) -> bool:
    """Let the AIR stand for what an upload brought; False, and nothing written, when it is no longer in its last phase.

    `model_id` is for an AIR that is new. Raises `InvalidField`.
    """
    if upload.file_id is None:
        msg = f"model upload {upload.id} ends in a model without a file"
        raise AssertionError(msg)
    before = tx.models.own(upload.account_id, upload.air)
    card = card_of(tx, upload)
    if not _end(tx, rules.deployed(upload, now=now), EventKind.MODEL_READY, {"air": upload.air}, callbacks=callbacks):
        return False
    if before is not None:
        tx.models.put(replace(before, card=card, file_id=upload.file_id, updated_at=now))
        return True
    source, _, rest = upload.air.partition(":")
    number, _, version = rest.partition("@")
    tx.models.put(
        RegisteredModel(
            id=model_id,
            account_id=upload.account_id,
            air=upload.air,
            source=source,
            number=number,
            version=version,
            card=card,
            file_id=upload.file_id,
            created_at=now,
            updated_at=now,
        )
    )
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an upload came to nothing: an error's code and text, and what of the upload it is about (None: all)."""

    code: str
    reason: str
    field: str | None = None


def end_in_failure(tx: Transaction, upload: ModelUpload, why: Failure, *, callbacks: Callbacks, now: datetime) -> bool:
    """Say why it came to nothing; False, and nothing written, when it has ended. The model stays as it was."""
    ended = rules.failed(upload, code=why.code, error=why.reason, field=why.field, now=now)
    data = {"reason": why.reason, "code": why.code, "field": why.field}
    return _end(tx, ended, EventKind.MODEL_FAILED, data, callbacks=callbacks)


def _end(
    tx: Transaction, ended: ModelUpload, kind: EventKind, data: Mapping[str, object], *, callbacks: Callbacks
) -> bool:
    """Write an end, without the URL's query: that may be a secret, and is needed no more."""
    if ended.finished_at is None:
        msg = f"model upload {ended.id} is written as ended without a time"
        raise AssertionError(msg)
    was = tx.model_uploads.get(ended.account_id, ended.id).phase
    discreet = replace(ended, source_url=shown_url(ended.source_url) if ended.source_url is not None else None)
    if was in rules.ENDED or not tx.model_uploads.replace(discreet, was=was):
        return False
    tx.assets.release(RunId(ended.id))
    tx.events.add(ended.account_id, ended.id, kind, data, now=ended.finished_at)
    waiting = [other.id for other in tx.model_uploads.going_on(ended.account_id, ended.air)]
    tx.jobs.wake(MODEL_JOB, waiting[:1], now=ended.finished_at)
    callbacks.model_ended(tx, ended)
    return True


def _values(said: Mapping[str, object]) -> dict[str, Any]:
    """JSON as the card's fields."""
    values = dict(said)
    for name in _TUPLES & said.keys():
        values[name] = tuple(said[name])  # type: ignore[arg-type]  # a list, as its service wrote it
    if "category" in said:
        values["category"] = Category(str(said["category"]))
    return values
