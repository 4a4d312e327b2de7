"""ModelRoute's error tables and body: one envelope, a dozen documented codes, and whether to try again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi.responses import Response

from penstock.dialects.base.errors import ErrorTable, documented, error_headers, field_errors, inferred, look_up
from penstock.domain import errors as e

if TYPE_CHECKING:
    from penstock.domain.errors import PenstockError

_VALIDATION = "INPUT_VALIDATION_ERROR"
_MISSING_FILE = "FILE_NOT_FOUND"
RETRYABLE = frozenset(
    {
        *("RATE_LIMITED", "MODEL_OVERLOADED", "MODEL_UNAVAILABLE"),
        *("GENERATION_TIMEOUT", "GENERATION_FAILED", "SERVICE_UNAVAILABLE"),
    }
)
"""errors/error-codes. Of what is not listed there nothing is retryable (inferred)."""

# Bytes that came and were refused make a file that is not there: its upload "was not completed" (MO-31, inferred).
ERRORS: ErrorTable = {
    e.InvalidField: documented(_VALIDATION, 400),
    e.InvalidFields: documented(_VALIDATION, 400),
    e.MalformedBody: documented(_VALIDATION, 400),
    e.ReferenceInvalid: documented(_VALIDATION, 400),
    e.ModelNotFound: inferred(_VALIDATION, 400),
    e.BodyTooLarge: inferred(_VALIDATION, 400),
    e.InvalidCursor: inferred(_VALIDATION, 400),
    e.FileTypeRefused: documented("FILE_FORMAT_UNSUPPORTED", 400),
    e.FileTypeMismatch: inferred("FILE_FORMAT_UNSUPPORTED", 400),
    e.AssetNotFound: documented(_MISSING_FILE, 400),
    e.AssetGone: documented(_MISSING_FILE, 400),
    e.UploadNotFound: documented(_MISSING_FILE, 400),
    e.FileNotStored: documented(_MISSING_FILE, 400),
    e.UploadNotCompletable: documented(_MISSING_FILE, 400),
    e.UploadIncomplete: documented(_MISSING_FILE, 400),
    e.FileTooLarge: inferred(_MISSING_FILE, 400),
    e.FileTooSmall: inferred(_MISSING_FILE, 400),
    e.FileSizeMismatch: inferred(_MISSING_FILE, 400),
    e.FileHashMismatch: inferred(_MISSING_FILE, 400),
    e.InsufficientCredits: documented("INSUFFICIENT_BALANCE", 402),
    e.RateLimited: documented("RATE_LIMITED", 429),
    e.RunnerFailed: documented("GENERATION_FAILED", 500),
    e.InternalError: documented("INTERNAL_ERROR", 500),
    e.ObjectStoreUnavailable: documented("SERVICE_UNAVAILABLE", 503),
    e.DatabaseUnavailable: documented("SERVICE_UNAVAILABLE", 503),
    e.StorageFull: documented("SERVICE_UNAVAILABLE", 503),
    e.NotSafetensors: inferred("FILE_FORMAT_UNSUPPORTED", 400),
    e.ModelFileMismatch: inferred("FILE_FORMAT_UNSUPPORTED", 400),
    e.SourceNotOwned: inferred("FORBIDDEN", 403),
    e.ModelUploadNotFound: inferred("NOT_FOUND", 404),
    e.ModelUploadConflict: inferred("CONFLICT", 409),
    e.NoRunner: inferred(_VALIDATION, 400),
    e.Unauthenticated: inferred("UNAUTHORIZED", 401),
    e.ScopeMissing: inferred("FORBIDDEN", 403),
    e.QuotaExceeded: inferred("QUOTA_EXCEEDED", 403),
    e.RunNotFound: inferred("NOT_FOUND", 404),
    e.DeliveryNotFound: inferred("NOT_FOUND", 404),
    e.EndpointNotFound: inferred("NOT_FOUND", 404),
    e.RouteNotFound: inferred("NOT_FOUND", 404),
    e.AccountNotFound: inferred("NOT_FOUND", 404),
    e.FolderNotFound: inferred("NOT_FOUND", 404),
    e.KeyNotFound: inferred("NOT_FOUND", 404),
    e.MethodRefused: inferred("METHOD_NOT_ALLOWED", 405),
    e.IdempotencyMismatch: inferred("CONFLICT", 409),
    e.IllegalTransition: inferred("CONFLICT", 409),
    e.RunNotFinished: inferred("CONFLICT", 409),
    e.WrongUploadMethod: inferred("CONFLICT", 409),
    e.NameTaken: inferred("CONFLICT", 409),
    e.FolderConflict: inferred("CONFLICT", 409),
    e.TooManyEndpoints: inferred("CONFLICT", 409),
}
READ_ERRORS: ErrorTable = {
    error: inferred(_MISSING_FILE, 404) if row.code == _MISSING_FILE else row for error, row in ERRORS.items()
}
"""Where a file itself is asked for: what is not there is 404 (inferred), while an execution that names it is 400."""

_NO_FILE = "the file does not exist, or its upload was not completed"
# One text for whatever is not there, so that nobody learns of others' files (MO-17); no id of the house is shown.
_WORDS: dict[type[PenstockError], str] = {
    e.RunNotFound: "the execution does not exist",
    e.EndpointNotFound: "the endpoint does not exist",
    e.AssetNotFound: _NO_FILE,
    e.AssetGone: _NO_FILE,
    e.UploadNotFound: _NO_FILE,
    e.FileNotStored: _NO_FILE,
    e.UploadNotCompletable: _NO_FILE,
    e.UploadIncomplete: _NO_FILE,
}
# REQUIRED and OUT_OF_RANGE are documented; the other codes of details are inferred.
_DETAIL_CODES = {
    "missing": "REQUIRED",
    "greater_than_equal": "OUT_OF_RANGE",
    "less_than_equal": "OUT_OF_RANGE",
    "string_too_short": "OUT_OF_RANGE",
    "string_too_long": "OUT_OF_RANGE",
    "too_big": "OUT_OF_RANGE",
    "too_long": "OUT_OF_RANGE",
    "string_type": "INVALID_TYPE",
    "int_type": "INVALID_TYPE",
    "bool_type": "INVALID_TYPE",
    "list_type": "INVALID_TYPE",
    "dict_type": "INVALID_TYPE",
    "type": "INVALID_TYPE",
}


def render_error(error: PenstockError, request_id: str) -> Response:
    """An error of an execution, or of no route in particular."""
    return _rendered(ERRORS, error, request_id)


def render_read_error(error: PenstockError, request_id: str) -> Response:
    """An error where files are asked for."""
    return _rendered(READ_ERRORS, error, request_id)


def _rendered(table: ErrorTable, error: PenstockError, request_id: str) -> Response:
    row = look_up(table, error)
    said: dict[str, object] = {
        "code": row.code,
        "message": _WORDS.get(type(error), error.message),
        "retryable": row.code in RETRYABLE,
        "request_id": request_id,
    }
    if row.code == _VALIDATION:
        said["details"] = _details(error)
    body = json.dumps({"error": said})
    return Response(body, status_code=row.status, media_type="application/json", headers=error_headers(error))


def _details(error: PenstockError) -> list[dict[str, str]]:
    """What is wrong with which field; `body` stands for the whole (inferred)."""
    if isinstance(error, e.ModelNotFound):
        return [_detail("model", "INVALID_VALUE", error.message)]
    wrong = field_errors(error)
    if not wrong:
        return [_detail("body", "INVALID_VALUE", error.message)]
    return [_field(field) for field in wrong]


def _field(field: e.InvalidField) -> dict[str, str]:
    name = ".".join(map(str, field.path)) or "body"
    message = f"{name} is required" if field.rule == "missing" else f"{name}: {field.reason}"
    return _detail(name, _DETAIL_CODES.get(field.rule, "INVALID_VALUE"), message)


def _detail(field: str, code: str, message: str) -> dict[str, str]:
    return {"field": field, "code": code, "message": message}
