"""The product's error table, and the error object that is the same on both transports (contract §7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.dialects.base.errors import ErrorTable, WireError, field_errors, look_up
from penstock.dialects.runware.task import Failure
from penstock.dialects.runware.wire import AUTHENTICATION, Named, envelope, told
from penstock.domain import errors as e
from penstock.domain.errors import PenstockError

if TYPE_CHECKING:
    from fastapi.responses import Response

    from penstock.dialects.runware.task import Refusal
    from penstock.dialects.runware.wire import Told
    from penstock.domain.errors import InvalidField


def _documented(code: str, status: int) -> WireError:
    return WireError(code=code, status=status)


def _inferred(code: str, status: int) -> WireError:
    return WireError(code=code, status=status, inferred=True)


_INVALID = "invalid"
_NO_MEDIA = "mediaNotFound"
_UNAVAILABLE = "serviceUnavailable"
_PROCESSING = "processingFailed"

# "Documented" are codes that stand in the product's documents or in its clients' tables. Which status goes with one is
# the list of statuses read by its sense, except where a test or the documents name both. Rows of `invalid` are only
# the beginning of a code: the field's name follows.
ERRORS: ErrorTable = {
    e.Unauthenticated: _documented("invalidApiKey", 401),
    e.InsufficientCredits: _documented("insufficientCredits", 402),
    e.SourceNotOwned: _inferred("modelOwnershipValidationError", 403),
    e.ScopeMissing: _inferred("insufficientPermissions", 403),
    e.AccountNotFound: _inferred("invalidApiKey", 401),
    e.InvalidField: _documented(_INVALID, 400),
    e.InvalidFields: _documented(_INVALID, 400),
    e.ReferenceInvalid: _documented(_INVALID, 400),
    e.MalformedBody: _inferred("invalidJSON", 400),
    e.InvalidCursor: _inferred("invalidOffset", 400),
    e.IdempotencyMismatch: _documented("conflictTaskUUID", 400),
    e.BodyTooLarge: _inferred("valueTooLarge", 413),
    e.FileTooLarge: _documented("valueTooLarge", 400),
    e.FileTooSmall: _inferred("invalidMedia", 400),
    e.FileSizeMismatch: _inferred("invalidMedia", 400),
    e.FileTypeMismatch: _inferred("invalidMedia", 400),
    e.FileTypeRefused: _inferred("invalidMedia", 400),
    e.FileHashMismatch: _inferred("invalidMedia", 400),
    e.NotSafetensors: _inferred("invalidModelFile", 400),
    e.ModelFileMismatch: _inferred("invalidModelFile", 400),
    e.QuotaExceeded: _inferred("maxStorageExceeded", 403),
    e.AssetNotFound: _documented(_NO_MEDIA, 404),
    e.AssetGone: _documented(_NO_MEDIA, 404),
    e.UploadNotFound: _documented(_NO_MEDIA, 404),
    e.FileNotStored: _documented(_NO_MEDIA, 404),
    e.FolderNotFound: _inferred(_NO_MEDIA, 404),
    e.ModelNotFound: _documented("modelNotFound", 404),
    e.RunNotFound: _documented("taskNotFound", 404),
    e.ModelUploadNotFound: _documented("taskNotFound", 404),
    e.DeliveryNotFound: _inferred("taskNotFound", 404),
    e.EndpointNotFound: _inferred("taskNotFound", 404),
    e.KeyNotFound: _inferred("taskNotFound", 404),
    e.RouteNotFound: _inferred("invalidPath", 404),
    e.MethodRefused: _inferred("unsupportedMethod", 405),
    e.IllegalTransition: _inferred("conflictState", 400),
    e.UploadNotCompletable: _documented("uploadFailed", 400),
    e.UploadIncomplete: _documented("uploadFailed", 400),
    e.WrongUploadMethod: _inferred("conflictState", 400),
    e.ModelUploadConflict: _documented("conflictTaskUUID", 400),
    e.NoRunner: _documented("modelNotReady", 400),
    e.RunNotFinished: _inferred("conflictState", 400),
    e.NameTaken: _inferred("conflictName", 400),
    e.FolderConflict: _inferred("conflictState", 400),
    e.TooManyEndpoints: _inferred("maxEndpoints", 400),
    e.RunnerFailed: _documented(_PROCESSING, 400),
    e.RateLimited: _documented("rateLimitExceeded", 429),
    e.InternalError: _documented("internalServerError", 500),
    e.ObjectStoreUnavailable: _documented(_UNAVAILABLE, 503),
    e.DatabaseUnavailable: _documented(_UNAVAILABLE, 503),
    e.StorageFull: _inferred(_UNAVAILABLE, 503),
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
        _documented("downloadFailed", 400),
    ),
    **dict.fromkeys(
        (e.InternalError.code, e.ObjectStoreUnavailable.code, e.DatabaseUnavailable.code, e.StorageFull.code),
        _documented(_PROCESSING, 500),
    ),
}
"""What ended a task, by the code that was kept of it: there what a file's source did has words of its own."""
_PREFIXES = {"missing": "missing", "conflict": "conflict", "unsupported": "unsupported"}
_OWN_CODE = "code:"
_FACTS = {"type": "type", "least": "min", "most": "max", "allowed": "allowedValues", "default": "default"}
_RETRY_AFTER_SECONDS = 1


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
    return told(said | who.members(), status=row.status, headers=_headers(error))


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


def _headers(error: PenstockError) -> dict[str, str]:
    match error:
        case e.Unauthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case e.MethodRefused(allowed=allowed):
            return {"Allow": ", ".join(allowed)}
        case e.RateLimited(retry_after=seconds):
            return {"Retry-After": str(max(1, round(seconds)))}
        case e.Unavailable():
            return {"Retry-After": str(_RETRY_AFTER_SECONDS)}
        case _:
            return {}


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
