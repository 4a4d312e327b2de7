"""ModelRunner's error table and body: one envelope that is the union of the errors page and of openapi (MR-24)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi.responses import Response

from penstock.dialects.base.errors import ErrorTable, documented, error_headers, field_errors, inferred, look_up
from penstock.domain import errors as e

if TYPE_CHECKING:
    from penstock.domain.errors import PenstockError

# Documented statuses are the product's own. Of the codes, which stand in `details.code`, only INVALID_OUTPUT is.
ERRORS: ErrorTable = {
    e.InvalidField: documented("INVALID_INPUT", 400),
    e.InvalidFields: documented("INVALID_INPUT", 400),
    e.MalformedBody: documented("MALFORMED_BODY", 400),
    e.ReferenceInvalid: documented("INVALID_INPUT", 400),
    e.RunNotFinished: documented("REQUEST_NOT_COMPLETED", 400),
    e.Unauthenticated: documented("UNAUTHENTICATED", 401),
    e.InsufficientCredits: documented("INSUFFICIENT_BALANCE", 402),
    e.ScopeMissing: documented("ACCESS_DENIED", 403),
    e.ModelNotFound: documented("MODEL_NOT_FOUND", 404),
    e.RunNotFound: documented("REQUEST_NOT_FOUND", 404),
    e.DeliveryNotFound: inferred("DELIVERY_NOT_FOUND", 404),
    e.EndpointNotFound: inferred("NOT_FOUND", 404),
    e.TooManyEndpoints: inferred("CONFLICT", 409),
    e.AssetNotFound: documented("FILE_NOT_FOUND", 404),
    e.AssetGone: documented("FILE_NOT_FOUND", 404),
    e.UploadNotFound: documented("FILE_NOT_FOUND", 404),
    e.FileNotStored: documented("FILE_NOT_FOUND", 404),
    e.RunnerFailed: documented("INVALID_OUTPUT", 422),
    e.RateLimited: documented("RATE_LIMITED", 429),
    e.InternalError: documented("INTERNAL_ERROR", 500),
    e.BodyTooLarge: inferred("BODY_TOO_LARGE", 413),
    e.FileTooLarge: inferred("FILE_TOO_LARGE", 400),
    e.FileTooSmall: inferred("FILE_TOO_SMALL", 400),
    e.FileSizeMismatch: inferred("FILE_SIZE_MISMATCH", 400),
    e.FileTypeMismatch: inferred("FILE_TYPE_MISMATCH", 400),
    e.FileTypeRefused: inferred("FILE_TYPE_REFUSED", 400),
    e.FileHashMismatch: inferred("FILE_HASH_MISMATCH", 400),
    e.NotSafetensors: inferred("FILE_TYPE_MISMATCH", 400),
    e.ModelFileMismatch: inferred("FILE_TYPE_MISMATCH", 400),
    e.SourceNotOwned: documented("ACCESS_DENIED", 403),
    e.ModelUploadNotFound: inferred("NOT_FOUND", 404),
    e.ModelUploadConflict: inferred("CONFLICT", 409),
    e.NoRunner: inferred("CONFLICT", 409),
    e.UploadIncomplete: inferred("UPLOAD_INCOMPLETE", 400),
    e.QuotaExceeded: inferred("QUOTA_EXCEEDED", 403),
    e.InvalidCursor: documented("INVALID_INPUT", 400),
    e.IdempotencyMismatch: documented("INVALID_INPUT", 400),
    e.RouteNotFound: inferred("NOT_FOUND", 404),
    e.AccountNotFound: inferred("NOT_FOUND", 404),
    e.FolderNotFound: inferred("NOT_FOUND", 404),
    e.KeyNotFound: inferred("NOT_FOUND", 404),
    e.MethodRefused: inferred("METHOD_NOT_ALLOWED", 405),
    e.IllegalTransition: inferred("CONFLICT", 409),
    e.UploadNotCompletable: inferred("CONFLICT", 409),
    e.WrongUploadMethod: inferred("CONFLICT", 409),
    e.NameTaken: inferred("CONFLICT", 409),
    e.FolderConflict: inferred("CONFLICT", 409),
    e.ObjectStoreUnavailable: inferred("UNAVAILABLE", 503),
    e.DatabaseUnavailable: inferred("UNAVAILABLE", 503),
    e.StorageFull: inferred("STORAGE_FULL", 507),
}
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
    return Response(
        json.dumps(body),
        status_code=row.status,
        media_type="application/json",
        headers=error_headers(error, scheme="Key"),
    )


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
