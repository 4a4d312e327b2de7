"""Runflow's error tables and body: `{code, message, errors}`, flat (concepts/errors)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi.responses import Response

from penstock.dialects.base.errors import ErrorTable, WireError, field_errors, look_up
from penstock.domain import errors as e

if TYPE_CHECKING:
    from penstock.domain.errors import PenstockError


def _documented(code: str, status: int) -> WireError:
    return WireError(code=code, status=status)


def _inferred(code: str, status: int) -> WireError:
    return WireError(code=code, status=status, inferred=True)


_VALIDATION = "VALIDATION_ERROR"
_NO_ASSET = "ASSET_NOT_FOUND"
_NO_UPLOAD = "ASSET_UPLOAD_NOT_FOUND"
_CONFLICT = "CONFLICT"
_UNAVAILABLE = "SERVICE_UNAVAILABLE"

# The product documents statuses throughout, and of the codes those marked so.
ERRORS: ErrorTable = {
    e.MalformedBody: _inferred("BAD_REQUEST", 400),
    e.IdempotencyMismatch: _inferred("BAD_REQUEST", 400),
    e.Unauthenticated: _documented("UNAUTHORIZED", 401),
    e.InsufficientCredits: _documented("INSUFFICIENT_CREDIT", 402),
    e.ScopeMissing: _documented("PERMISSION_DENIED", 403),
    e.AccountNotFound: _documented("ORGANIZATION_MEMBERSHIP_REQUIRED", 403),
    e.QuotaExceeded: _inferred("QUOTA_EXCEEDED", 403),
    e.RunNotFound: _documented("RUN_NOT_FOUND", 404),
    e.AssetNotFound: _inferred(_NO_ASSET, 404),
    e.AssetGone: _inferred(_NO_ASSET, 404),
    e.UploadNotFound: _inferred(_NO_UPLOAD, 404),
    e.FolderNotFound: _inferred("ASSET_FOLDER_NOT_FOUND", 404),
    e.DeliveryNotFound: _inferred("NOT_FOUND", 404),
    e.EndpointNotFound: _inferred("NOT_FOUND", 404),
    e.ModelNotFound: _inferred("MODEL_NOT_FOUND", 404),
    e.RouteNotFound: _inferred("NOT_FOUND", 404),
    e.KeyNotFound: _inferred("NOT_FOUND", 404),
    e.MethodRefused: _inferred("METHOD_NOT_ALLOWED", 405),
    e.FileNotStored: _inferred("UPLOAD_NOT_COMPLETE", 409),
    e.UploadIncomplete: _inferred("UPLOAD_NOT_COMPLETE", 409),
    e.UploadNotCompletable: _inferred(_CONFLICT, 409),
    e.WrongUploadMethod: _inferred(_CONFLICT, 409),
    e.IllegalTransition: _inferred(_CONFLICT, 409),
    e.RunNotFinished: _inferred(_CONFLICT, 409),
    e.NameTaken: _inferred(_CONFLICT, 409),
    e.FolderConflict: _inferred(_CONFLICT, 409),
    e.TooManyEndpoints: _inferred(_CONFLICT, 409),
    e.BodyTooLarge: _inferred("BODY_TOO_LARGE", 413),
    e.InvalidField: _inferred(_VALIDATION, 422),
    e.InvalidFields: _inferred(_VALIDATION, 422),
    e.InvalidCursor: _inferred(_VALIDATION, 422),
    e.ReferenceInvalid: _inferred(_VALIDATION, 422),
    e.FileTooLarge: _inferred(_VALIDATION, 422),
    e.FileTooSmall: _inferred(_VALIDATION, 422),
    e.FileSizeMismatch: _inferred(_VALIDATION, 422),
    e.FileTypeMismatch: _inferred(_VALIDATION, 422),
    e.FileTypeRefused: _inferred(_VALIDATION, 422),
    e.FileHashMismatch: _inferred(_VALIDATION, 422),
    e.NotSafetensors: _inferred(_VALIDATION, 422),
    e.ModelFileMismatch: _inferred(_VALIDATION, 422),
    e.SourceNotOwned: _documented("PERMISSION_DENIED", 403),
    e.ModelUploadNotFound: _inferred("NOT_FOUND", 404),
    e.ModelUploadConflict: _inferred(_CONFLICT, 409),
    e.NoRunner: _inferred(_VALIDATION, 422),
    e.RunnerFailed: _inferred("MODEL_FAILED", 422),
    e.RateLimited: _documented("RATE_LIMITED", 429),
    e.InternalError: _inferred("INTERNAL_ERROR", 500),
    e.ObjectStoreUnavailable: _inferred(_UNAVAILABLE, 503),
    e.DatabaseUnavailable: _inferred(_UNAVAILABLE, 503),
    e.StorageFull: _inferred(_UNAVAILABLE, 503),
}
RUN_ERRORS: ErrorTable = {
    **ERRORS,
    # An asset that a run names and that is not there is a wrong input (422, backend-contract); a data URI over the
    # limit of inline files is a request that is too large (413, inferred).
    e.AssetNotFound: _documented(_NO_ASSET, 422),
    e.AssetGone: _documented(_NO_ASSET, 422),
    e.UploadNotFound: _documented(_NO_ASSET, 422),
    e.FileNotStored: _documented(_NO_ASSET, 422),
    e.UploadNotCompletable: _documented(_NO_ASSET, 422),
    e.UploadIncomplete: _documented(_NO_ASSET, 422),
    e.FileTooLarge: _inferred("BODY_TOO_LARGE", 413),
}
"""Where a run is asked for."""

_QUERY = frozenset({"limit", "pq", "from_prev", "q", "sort_by", "fields", "embed"})
"""Parameters of listings, which no body has as members."""
_RETRY_AFTER_SECONDS = 1


def render_error(error: PenstockError, request_id: str) -> Response:
    """An error, but for those of asking for a run."""
    del request_id  # stands in the header alone
    return _rendered(ERRORS, error)


def render_run_error(error: PenstockError, request_id: str) -> Response:
    """An error where a run is asked for."""
    del request_id
    return _rendered(RUN_ERRORS, error)


def _rendered(table: ErrorTable, error: PenstockError) -> Response:
    row = look_up(table, error)
    wrong = [_field(field) for field in field_errors(error)]
    message = "Request validation failed." if wrong else _message(error)
    if not wrong and error.at:
        wrong = [_field(e.InvalidField(error.at, message))]
    body = {"code": row.code, "message": message, "errors": wrong or None}
    return Response(json.dumps(body), status_code=row.status, media_type="application/json", headers=_headers(error))


def _field(field: e.InvalidField) -> dict[str, object]:
    """One wrong field, in the form of FastAPI's (the product's own members of an entry are not known: inferred)."""
    where = "query" if field.path[:1] and field.path[0] in _QUERY else "body"
    kind = "missing" if field.rule == "missing" else "value_error"
    return {"loc": [where, *field.path], "msg": field.reason, "type": kind}


def _message(error: PenstockError) -> str:
    """The product says organization where the house says account."""
    match error:
        case e.AccountNotFound():
            return "this key is of another organization"
        case e.MethodRefused(allowed=()):
            return "no method is possible here; a model is named by its owner and its slug"
        case _:
            return error.message


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
