"""The product's error table, and the error object that is the same on both transports (contract §7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.dialects.base.errors import (
    ErrorTable,
    WireError,
    documented,
    error_headers,
    field_errors,
    inferred,
    look_up,
)
from penstock.dialects.runware.task import Failure
from penstock.dialects.runware.wire import AUTHENTICATION, Named, envelope, told
from penstock.domain import errors as e
from penstock.domain.errors import PenstockError

if TYPE_CHECKING:
    from fastapi.responses import Response

    from penstock.dialects.runware.task import Refusal
    from penstock.dialects.runware.wire import Told
    from penstock.domain.errors import InvalidField

_INVALID = "invalid"
_NO_MEDIA = "mediaNotFound"
_UNAVAILABLE = "serviceUnavailable"
_PROCESSING = "processingFailed"

# "Documented" are codes that stand in the product's documents or in its clients' tables. Which status goes with one is
# the list of statuses read by its sense, except where a test or the documents name both. Rows of `invalid` are only
# the beginning of a code: the field's name follows.
ERRORS: ErrorTable = {
    e.Unauthenticated: documented("invalidApiKey", 401),
    e.InsufficientCredits: documented("insufficientCredits", 402),
    e.SourceNotOwned: inferred("modelOwnershipValidationError", 403),
    e.ScopeMissing: inferred("insufficientPermissions", 403),
    e.AccountNotFound: inferred("invalidApiKey", 401),
    e.InvalidField: documented(_INVALID, 400),
    e.InvalidFields: documented(_INVALID, 400),
    e.ReferenceInvalid: documented(_INVALID, 400),
    e.MalformedBody: inferred("invalidJSON", 400),
    e.InvalidCursor: inferred("invalidOffset", 400),
    e.IdempotencyMismatch: documented("conflictTaskUUID", 400),
    e.BodyTooLarge: inferred("valueTooLarge", 413),
    e.FileTooLarge: documented("valueTooLarge", 400),
    e.FileTooSmall: inferred("invalidMedia", 400),
    e.FileSizeMismatch: inferred("invalidMedia", 400),
    e.FileTypeMismatch: inferred("invalidMedia", 400),
    e.FileTypeRefused: inferred("invalidMedia", 400),
    e.FileHashMismatch: inferred("invalidMedia", 400),
    e.NotSafetensors: inferred("invalidModelFile", 400),
    e.ModelFileMismatch: inferred("invalidModelFile", 400),
    e.QuotaExceeded: inferred("maxStorageExceeded", 403),
    e.AssetNotFound: documented(_NO_MEDIA, 404),
    e.AssetGone: documented(_NO_MEDIA, 404),
    e.UploadNotFound: documented(_NO_MEDIA, 404),
    e.FileNotStored: documented(_NO_MEDIA, 404),
    e.FolderNotFound: inferred(_NO_MEDIA, 404),
    e.ModelNotFound: documented("modelNotFound", 404),
    e.RunNotFound: documented("taskNotFound", 404),
    e.ModelUploadNotFound: documented("taskNotFound", 404),
    e.DeliveryNotFound: inferred("taskNotFound", 404),
    e.EndpointNotFound: inferred("taskNotFound", 404),
    e.KeyNotFound: inferred("taskNotFound", 404),
    e.RouteNotFound: inferred("invalidPath", 404),
    e.MethodRefused: inferred("unsupportedMethod", 405),
    e.IllegalTransition: inferred("conflictState", 400),
    e.UploadNotCompletable: documented("uploadFailed", 400),
    e.UploadIncomplete: documented("uploadFailed", 400),
    e.WrongUploadMethod: inferred("conflictState", 400),
    e.ModelUploadConflict: documented("conflictTaskUUID", 400),
    e.NoRunner: documented("modelNotReady", 400),
    e.RunNotFinished: inferred("conflictState", 400),
    e.NameTaken: inferred("conflictName", 400),
    e.FolderConflict: inferred("conflictState", 400),
    e.TooManyEndpoints: inferred("maxEndpoints", 400),
    e.RunnerFailed: documented(_PROCESSING, 400),
    e.RateLimited: documented("rateLimitExceeded", 429),
    e.InternalError: documented("internalServerError", 500),
    e.ObjectStoreUnavailable: documented(_UNAVAILABLE, 503),
    e.DatabaseUnavailable: documented(_UNAVAILABLE, 503),
    e.StorageFull: inferred(_UNAVAILABLE, 503),
}
_PARAMETERS: Mapping[type[PenstockError], str] = {
    e.Unauthenticated: "apiKey",
    e.SourceNotOwned: "air",
    e.NotSafetensors: "downloadURL",
    e.ModelFileMismatch: "downloadURL",
    e.ModelUploadConflict: "taskUUID",
    e.ModelUploadNotFound: "taskUUID",
    e.IdempotencyMismatch: "taskUUID",
    e.ModelNotFound: "model",
    e.NoRunner: "model",
}
"""The parameter that an error is about, where the error itself does not say."""
_KEPT: Mapping[str, WireError] = {
    **{kind.code: row for kind, row in ERRORS.items()},
    **dict.fromkeys(
        ("source_refused", "source_failed", "source_unreachable", e.FileTooLarge.code),
        documented("downloadFailed", 400),
    ),
    **dict.fromkeys(
        (e.InternalError.code, e.ObjectStoreUnavailable.code, e.DatabaseUnavailable.code, e.StorageFull.code),
        documented(_PROCESSING, 500),
    ),
}
"""What ended a task, by the code that was kept of it: there what a file's source did has words of its own."""
_PREFIXES = {"missing": "missing", "conflict": "conflict", "unsupported": "unsupported"}
_OWN_CODE = "code:"
_FACTS = {"type": "type", "least": "min", "most": "max", "allowed": "allowedValues", "default": "default"}


def error_out(error: PenstockError, who: Named) -> Told:
    """One error of an answer, under the names of the task that it is about."""
    row = look_up(ERRORS, error)
    fields = field_errors(error)
    said: dict[str, object] = {"code": row.code, "message": error.message}
    if fields:
        said |= _of_field(fields[0]) | _parameter(fields)
    elif error.at:
        said |= {"parameter": _name(error.at)}
    elif type(error) in _PARAMETERS:
        said |= {"parameter": _PARAMETERS[type(error)]}
    return told(said | who.members(), status=row.status, headers=error_headers(error))


def failure_out(failure: Failure, who: Named) -> Told:
    """One error that was kept: its class is known by its code alone."""
    row = _KEPT.get(failure.code, _KEPT[e.InternalError.code])
    code = row.code if row.code != _INVALID else _code_of(failure.parameter or "")
    said = {"code": code, "message": failure.message, "parameter": failure.parameter, **who.members()}
    return told({name: value for name, value in said.items() if value is not None}, status=row.status)


def refused_out(refusal: Refusal, name: Named) -> Told:
    """One error of an answer, of the task that it names or of the one that asked."""
    who = Named(task_type=refusal.task_type or name.task_type, task_uuid=refusal.task_uuid or name.task_uuid)
    return failure_out(refusal.error, who) if isinstance(refusal.error, Failure) else error_out(refusal.error, who)


def refused_key(error: PenstockError) -> Told:
    """The answer to an authentication that failed: clients look for exactly this type, and for no UUID (RU-02)."""
    return error_out(error, Named(task_type=AUTHENTICATION))


def render_error(error: PenstockError, request_id: str) -> Response:
    """An error of a whole REST request."""
    from fastapi.responses import Response  # noqa: PLC0415 - callbacks tell errors too, in a process that serves no HTTP

    del request_id  # stands in the header alone
    said = refused_key(error) if isinstance(error, e.Unauthenticated) else error_out(error, Named())
    return Response(
        envelope([said]), status_code=said.status, media_type="application/json", headers=dict(said.headers)
    )


def _of_field(field: InvalidField) -> dict[str, object]:
    """`missing…`, `conflict…`, `unsupported…` or `invalid…` and the field; `invalidRequest` for the whole array."""
    if field.rule.startswith(_OWN_CODE):
        return {"code": field.rule.removeprefix(_OWN_CODE)}
    if not field.path:
        return {"code": "invalidRequest"}
    facts = {_FACTS[name]: value for name, value in field.facts.items() if name in _FACTS}
    return {"code": _code_of(_name(field.path[:1]), _PREFIXES.get(field.rule, _INVALID)), **facts}


def _code_of(name: str, prefix: str = _INVALID) -> str:
    return prefix + name[:1].upper() + name[1:] if name else "invalidRequest"


def _parameter(fields: tuple[InvalidField, ...]) -> dict[str, object]:
    names = [_name(field.path) for field in fields if field.path]
    if not names:
        return {}
    return {"parameter": names[0] if len(names) == 1 else names}


def _name(path: tuple[str | int, ...]) -> str:
    """`lora[0].model`, as the product's own builders write it."""
    first, *rest = (str(part) if isinstance(part, str) else f"[{part}]" for part in path)
    return first + "".join(part if part.startswith("[") else f".{part}" for part in rest)
