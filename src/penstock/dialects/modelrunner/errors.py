"""ModelRunner's error table and body: one envelope that is the union of the errors page and of openapi (MR-24)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi.responses import Response

from penstock.dialects.base.errors import ErrorTable, WireError, field_errors, look_up
from penstock.domain import errors as e

if TYPE_CHECKING:
    from penstock.domain.errors import PenstockError


def _documented(code: str, status: int) -> WireError:
    return WireError(code=code, status=status)


def _inferred(code: str, status: int) -> WireError:
    return WireError(code=code, status=status, inferred=True)


# Documented statuses are the product's own. Of the codes, which stand in `details.code`, only INVALID_OUTPUT is.
ERRORS: ErrorTable = {
    e.InvalidField: _documented("INVALID_INPUT", 400),
    e.InvalidFields: _documented("INVALID_INPUT", 400),
    e.MalformedBody: _documented("MALFORMED_BODY", 400),
    e.ReferenceInvalid: _documented("INVALID_INPUT", 400),
    e.RunNotFinished: _documented("REQUEST_NOT_COMPLETED", 400),
    e.Unauthenticated: _documented("UNAUTHENTICATED", 401),
    e.InsufficientCredits: _documented("INSUFFICIENT_BALANCE", 402),
    e.ScopeMissing: _documented("ACCESS_DENIED", 403),
    e.ModelNotFound: _documented("MODEL_NOT_FOUND", 404),
    e.RunNotFound: _documented("REQUEST_NOT_FOUND", 404),
    e.DeliveryNotFound: _inferred("DELIVERY_NOT_FOUND", 404),
    e.EndpointNotFound: _inferred("NOT_FOUND", 404),
    e.TooManyEndpoints: _inferred("CONFLICT", 409),
    e.AssetNotFound: _documented("FILE_NOT_FOUND", 404),
    e.AssetGone: _documented("FILE_NOT_FOUND", 404),
    e.UploadNotFound: _documented("FILE_NOT_FOUND", 404),
    e.FileNotStored: _documented("FILE_NOT_FOUND", 404),
    e.RunnerFailed: _documented("INVALID_OUTPUT", 422),
    e.RateLimited: _documented("RATE_LIMITED", 429),
    e.InternalError: _documented("INTERNAL_ERROR", 500),
    e.BodyTooLarge: _inferred("BODY_TOO_LARGE", 413),
    e.FileTooLarge: _inferred("FILE_TOO_LARGE", 400),
    e.FileTooSmall: _inferred("FILE_TOO_SMALL", 400),
    e.FileSizeMismatch: _inferred("FILE_SIZE_MISMATCH", 400),
    e.FileTypeMismatch: _inferred("FILE_TYPE_MISMATCH", 400),
    e.FileTypeRefused: _inferred("FILE_TYPE_REFUSED", 400),
    e.FileHashMismatch: _inferred("FILE_HASH_MISMATCH", 400),
    e.NotSafetensors: _inferred("FILE_TYPE_MISMATCH", 400),
    e.ModelFileMismatch: _inferred("FILE_TYPE_MISMATCH", 400),
    e.SourceNotOwned: _documented("ACCESS_DENIED", 403),
    e.ModelUploadNotFound: _inferred("NOT_FOUND", 404),
    e.ModelUploadConflict: _inferred("CONFLICT", 409),
    e.NoRunner: _inferred("CONFLICT", 409),
    e.UploadIncomplete: _inferred("UPLOAD_INCOMPLETE", 400),
    e.QuotaExceeded: _inferred("QUOTA_EXCEEDED", 403),
    e.InvalidCursor: _documented("INVALID_INPUT", 400),
    e.IdempotencyMismatch: _documented("INVALID_INPUT", 400),
    e.RouteNotFound: _inferred("NOT_FOUND", 404),
    e.AccountNotFound: _inferred("NOT_FOUND", 404),
    e.FolderNotFound: _inferred("NOT_FOUND", 404),
    e.KeyNotFound: _inferred("NOT_FOUND", 404),
    e.MethodRefused: _inferred("METHOD_NOT_ALLOWED", 405),
    e.IllegalTransition: _inferred("CONFLICT", 409),
    e.UploadNotCompletable: _inferred("CONFLICT", 409),
    e.WrongUploadMethod: _inferred("CONFLICT", 409),
    e.NameTaken: _inferred("CONFLICT", 409),
    e.FolderConflict: _inferred("CONFLICT", 409),
    e.ObjectStoreUnavailable: _inferred("UNAVAILABLE", 503),
    e.DatabaseUnavailable: _inferred("UNAVAILABLE", 503),
    e.StorageFull: _inferred("STORAGE_FULL", 507),
}
_RETRY_AFTER_SECONDS = 1
# The product says request and file where the house says run, upload and asset, and ids in its own spelling.
_WORDS: dict[type[PenstockError], str] = {
    e.RunNotFound: "request not found",
    e.RunNotFinished: "the request is not completed yet",
    e.AssetNotFound: "file not found",
    e.AssetGone: "file not found",
    e.UploadNotFound: "file not found",
    e.FileNotStored: "file not found",
}
# Issue codes of zod, which the product's validation speaks; what it has no word for is `custom`.
_ISSUE_CODES = {
    "missing": "invalid_type",
    "type": "invalid_type",
    "string_type": "invalid_type",
    "int_type": "invalid_type",
    "int_from_float": "invalid_type",
    "bool_parsing": "invalid_type",
    "dict_type": "invalid_type",
    "model_attributes_type": "invalid_type",
    "string_too_short": "too_small",
    "greater_than_equal": "too_small",
    "too_short": "too_small",
    "less_than_equal": "too_big",
    "too_long": "too_big",
    "list_type": "invalid_type",
    "int_parsing": "invalid_type",
    "string_too_long": "too_big",
    "too_big": "too_big",
    "unknown": "unrecognized_keys",
}


def render_error(error: PenstockError, request_id: str) -> Response:
    """The envelope: `error` (a sentence, or an array of issues), `message`, `statusCode`, `request_id`, `details`."""
    row = look_up(ERRORS, error)
    issues = _issues(error)
    message = _WORDS.get(type(error), error.message)
    details: dict[str, object] = {"code": row.code}
    if issues:
        message = f"Validation failed: {'; '.join(_sentence(issue) for issue in issues)}"
        details["validationErrors"] = issues
    body = {
        "error": issues or message,
        "message": message,
        "statusCode": row.status,
        "request_id": request_id,
        "details": details,
    }
    return Response(json.dumps(body), status_code=row.status, media_type="application/json", headers=_headers(error))


def _issues(error: PenstockError) -> list[dict[str, object]]:
    """The fields that an error names, in the form of zod's issues."""
    return [_issue(field.path, field.reason, field.rule) for field in field_errors(error)]


def _issue(path: tuple[str | int, ...], reason: str, rule: str) -> dict[str, object]:
    # The body is the model's input itself, so a field's path has no `input` before it here.
    path = path[1:] if path[:1] == ("input",) else path
    message = "Required" if rule == "missing" else reason
    return {"path": list(path), "message": message, "code": _ISSUE_CODES.get(rule, "custom")}


def _sentence(issue: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in issue["path"])
    return f"{where}: {issue['message']}" if where else str(issue["message"])


def _headers(error: PenstockError) -> dict[str, str]:
    match error:
        case e.Unauthenticated():
            return {"WWW-Authenticate": "Key"}
        case e.MethodRefused(allowed=allowed):
            return {"Allow": ", ".join(allowed)}
        case e.RateLimited(retry_after=seconds):
            return {"Retry-After": str(max(1, round(seconds)))}
        case e.Unavailable():
            return {"Retry-After": str(_RETRY_AFTER_SECONDS)}
        case _:
            return {}
