"""Runflow's error tables and body: `{code, message, errors}`, flat (concepts/errors)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi.responses import Response

from penstock.dialects.base.errors import ErrorTable, documented, error_headers, field_errors, inferred, look_up
from penstock.domain import errors as e

if TYPE_CHECKING:
    from penstock.domain.errors import PenstockError

_VALIDATION = "VALIDATION_ERROR"
_NO_ASSET = "ASSET_NOT_FOUND"
_NO_UPLOAD = "ASSET_UPLOAD_NOT_FOUND"
_CONFLICT = "CONFLICT"
_UNAVAILABLE = "SERVICE_UNAVAILABLE"

# The product documents statuses throughout, and of the codes those marked so.
ERRORS: ErrorTable = {
    e.MalformedBody: inferred("BAD_REQUEST", 400),
    e.IdempotencyMismatch: inferred("BAD_REQUEST", 400),
    e.Unauthenticated: documented("UNAUTHORIZED", 401),
    e.InsufficientCredits: documented("INSUFFICIENT_CREDIT", 402),
    e.ScopeMissing: documented("PERMISSION_DENIED", 403),
    e.AccountNotFound: documented("ORGANIZATION_MEMBERSHIP_REQUIRED", 403),
    e.QuotaExceeded: inferred("QUOTA_EXCEEDED", 403),
    e.RunNotFound: documented("RUN_NOT_FOUND", 404),
    e.AssetNotFound: inferred(_NO_ASSET, 404),
    e.AssetGone: inferred(_NO_ASSET, 404),
    e.UploadNotFound: inferred(_NO_UPLOAD, 404),
    e.FolderNotFound: inferred("ASSET_FOLDER_NOT_FOUND", 404),
    e.DeliveryNotFound: inferred("NOT_FOUND", 404),
    e.EndpointNotFound: inferred("NOT_FOUND", 404),
    e.ModelNotFound: inferred("MODEL_NOT_FOUND", 404),
    e.RouteNotFound: inferred("NOT_FOUND", 404),
    e.KeyNotFound: inferred("NOT_FOUND", 404),
    e.MethodRefused: inferred("METHOD_NOT_ALLOWED", 405),
    e.FileNotStored: inferred("UPLOAD_NOT_COMPLETE", 409),
    e.UploadIncomplete: inferred("UPLOAD_NOT_COMPLETE", 409),
    e.UploadNotCompletable: inferred(_CONFLICT, 409),
    e.WrongUploadMethod: inferred(_CONFLICT, 409),
    e.IllegalTransition: inferred(_CONFLICT, 409),
    e.RunNotFinished: inferred(_CONFLICT, 409),
    e.NameTaken: inferred(_CONFLICT, 409),
    e.FolderConflict: inferred(_CONFLICT, 409),
    e.TooManyEndpoints: inferred(_CONFLICT, 409),
    e.BodyTooLarge: inferred("BODY_TOO_LARGE", 413),
    e.InvalidField: inferred(_VALIDATION, 422),
    e.InvalidFields: inferred(_VALIDATION, 422),
    e.InvalidCursor: inferred(_VALIDATION, 422),
    e.ReferenceInvalid: inferred(_VALIDATION, 422),
    e.FileTooLarge: inferred(_VALIDATION, 422),
    e.FileTooSmall: inferred(_VALIDATION, 422),
    e.FileSizeMismatch: inferred(_VALIDATION, 422),
    e.FileTypeMismatch: inferred(_VALIDATION, 422),
    e.FileTypeRefused: inferred(_VALIDATION, 422),
    e.FileHashMismatch: inferred(_VALIDATION, 422),
    e.NotSafetensors: inferred(_VALIDATION, 422),
    e.ModelFileMismatch: inferred(_VALIDATION, 422),
    e.SourceNotOwned: documented("PERMISSION_DENIED", 403),
    e.ModelUploadNotFound: inferred("NOT_FOUND", 404),
    e.ModelUploadConflict: inferred(_CONFLICT, 409),
    e.NoRunner: inferred(_VALIDATION, 422),
    e.RunnerFailed: inferred("MODEL_FAILED", 422),
    e.RateLimited: documented("RATE_LIMITED", 429),
    e.InternalError: inferred("INTERNAL_ERROR", 500),
    e.ObjectStoreUnavailable: inferred(_UNAVAILABLE, 503),
    e.DatabaseUnavailable: inferred(_UNAVAILABLE, 503),
    e.StorageFull: inferred(_UNAVAILABLE, 503),
}
RUN_ERRORS: ErrorTable = {
    **ERRORS,
    # An asset that a run names and that is not there is a wrong input (422, backend-contract); a data URI over the
    # limit of inline files is a request that is too large (413, inferred).
    e.AssetNotFound: documented(_NO_ASSET, 422),
    e.AssetGone: documented(_NO_ASSET, 422),
    e.UploadNotFound: documented(_NO_ASSET, 422),
    e.FileNotStored: documented(_NO_ASSET, 422),
    e.UploadNotCompletable: documented(_NO_ASSET, 422),
    e.UploadIncomplete: documented(_NO_ASSET, 422),
    e.FileTooLarge: inferred("BODY_TOO_LARGE", 413),
}
"""Where a run is asked for."""

_QUERY = frozenset({"limit", "pq", "from_prev", "q", "sort_by", "fields", "embed"})
"""Parameters of listings, which no body has as members."""


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
    return Response(
        json.dumps(body), status_code=row.status, media_type="application/json", headers=error_headers(error)
    )


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
