"""Runway's error table and body: `error`, and `issues` where fields are named (RW-55)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi.responses import Response

from penstock.dialects.base.errors import ErrorTable, documented, error_headers, field_errors, inferred, look_up
from penstock.domain import errors as e

if TYPE_CHECKING:
    from penstock.domain.errors import InvalidField, PenstockError

# The body has no code of its own: the codes here become the `code` of an issue, and are all inferred (zod's words).
ERRORS: ErrorTable = {
    e.InvalidField: documented("custom", 400),
    e.InvalidFields: documented("custom", 400),
    e.MalformedBody: documented("custom", 400),
    e.ReferenceInvalid: documented("custom", 400),
    e.Unauthenticated: documented("unauthenticated", 401),
    e.RunNotFound: documented("not_found", 404),
    e.RouteNotFound: documented("not_found", 404),
    e.MethodRefused: documented("method_not_allowed", 405),
    e.RateLimited: documented("rate_limited", 429),
    e.ObjectStoreUnavailable: documented("unavailable", 503),
    e.DatabaseUnavailable: documented("unavailable", 503),
    e.InternalError: inferred("internal", 500),
    e.InsufficientCredits: inferred("insufficient_credits", 400),
    e.ScopeMissing: inferred("forbidden", 401),
    e.ModelNotFound: inferred("invalid_enum_value", 400),
    e.BodyTooLarge: inferred("too_big", 413),
    e.FileTooLarge: inferred("too_big", 400),
    e.FileTooSmall: inferred("too_small", 400),
    e.FileSizeMismatch: inferred("custom", 400),
    e.FileTypeMismatch: inferred("custom", 400),
    e.FileTypeRefused: inferred("custom", 400),
    e.FileHashMismatch: inferred("custom", 400),
    e.NotSafetensors: inferred("custom", 400),
    e.ModelFileMismatch: inferred("custom", 400),
    e.SourceNotOwned: inferred("custom", 400),
    e.ModelUploadNotFound: inferred("not_found", 404),
    e.ModelUploadConflict: inferred("custom", 400),
    e.NoRunner: inferred("custom", 400),
    e.QuotaExceeded: inferred("custom", 400),
    e.InvalidCursor: inferred("custom", 400),
    e.IdempotencyMismatch: inferred("custom", 400),
    e.RunnerFailed: inferred("custom", 400),
    e.RunNotFinished: inferred("custom", 400),
    e.IllegalTransition: inferred("custom", 400),
    e.UploadNotCompletable: inferred("custom", 400),
    e.UploadIncomplete: inferred("custom", 400),
    e.WrongUploadMethod: inferred("custom", 400),
    e.NameTaken: inferred("custom", 400),
    e.FolderConflict: inferred("custom", 400),
    e.TooManyEndpoints: inferred("custom", 400),
    e.AssetNotFound: inferred("custom", 400),
    e.AssetGone: inferred("custom", 400),
    e.UploadNotFound: inferred("custom", 400),
    e.FileNotStored: inferred("custom", 400),
    e.AccountNotFound: inferred("not_found", 404),
    e.FolderNotFound: inferred("not_found", 404),
    e.DeliveryNotFound: inferred("not_found", 404),
    e.EndpointNotFound: inferred("not_found", 404),
    e.KeyNotFound: inferred("not_found", 404),
    e.StorageFull: inferred("unavailable", 503),
}
_MOST_RETRY_AFTER_SECONDS = 60  # the Python client ignores more (RW-11)
_WORDS: dict[type[PenstockError], str] = {
    e.RunNotFound: "Task not found.",
    e.InsufficientCredits: "You do not have enough credits to run this task.",
}
_ISSUE_CODES = {
    "missing": "invalid_type",
    "type": "invalid_type",
    "string_type": "invalid_type",
    "int_type": "invalid_type",
    "literal_error": "invalid_literal",
    "string_too_short": "too_small",
    "greater_than_equal": "too_small",
    "string_too_long": "too_big",
    "less_than_equal": "too_big",
    "unknown": "unrecognized_keys",
}


def render_error(error: PenstockError, request_id: str) -> Response:  # noqa: ARG001 - the body has no place for the id
    """`{"error": …}`, with `issues` of `{code, path, message}` when the error names fields."""
    row = look_up(ERRORS, error)
    issues = [_issue(field) for field in field_errors(error)]
    body: dict[str, object] = {"error": "Validation of the request failed." if issues else _words(error)}
    if issues:
        body["issues"] = issues
    return Response(json.dumps(body), status_code=row.status, media_type="application/json", headers=_headers(error))


def _words(error: PenstockError) -> str:
    return _WORDS.get(type(error), error.message)


def _issue(field: InvalidField) -> dict[str, object]:
    path = field.path[1:] if field.path[:1] == ("input",) else field.path
    return {"code": _ISSUE_CODES.get(field.rule, "custom"), "path": list(path), "message": field.reason}


def _headers(error: PenstockError) -> dict[str, str]:
    if isinstance(error, e.RateLimited) and error.retry_after > _MOST_RETRY_AFTER_SECONDS:
        # A day's limit: the official clients would try again at once, and believe this header more (inferred).
        return {"Retry-After": str(_MOST_RETRY_AFTER_SECONDS), "x-should-retry": "false"}
    return error_headers(error)
