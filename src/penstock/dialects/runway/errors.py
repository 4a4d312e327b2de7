"""Runway's error table and body: `error`, and `issues` where fields are named (RW-55)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi.responses import Response

from penstock.dialects.base.errors import ErrorTable, WireError, field_errors, look_up
from penstock.domain import errors as e

if TYPE_CHECKING:
    from penstock.domain.errors import InvalidField, PenstockError


def _documented(code: str, status: int) -> WireError:
    return WireError(code=code, status=status)


def _inferred(code: str, status: int) -> WireError:
    return WireError(code=code, status=status, inferred=True)


# The body has no code of its own: the codes here become the `code` of an issue, and are all inferred (zod's words).
ERRORS: ErrorTable = {
    e.InvalidField: _documented("custom", 400),
    e.InvalidFields: _documented("custom", 400),
    e.MalformedBody: _documented("custom", 400),
    e.ReferenceInvalid: _documented("custom", 400),
    e.Unauthenticated: _documented("unauthenticated", 401),
    e.RunNotFound: _documented("not_found", 404),
    e.RouteNotFound: _documented("not_found", 404),
    e.MethodRefused: _documented("method_not_allowed", 405),
    e.RateLimited: _documented("rate_limited", 429),
    e.ObjectStoreUnavailable: _documented("unavailable", 503),
    e.DatabaseUnavailable: _documented("unavailable", 503),
    e.InternalError: _inferred("internal", 500),
    e.InsufficientCredits: _inferred("insufficient_credits", 400),
    e.ScopeMissing: _inferred("forbidden", 401),
    e.ModelNotFound: _inferred("invalid_enum_value", 400),
    e.BodyTooLarge: _inferred("too_big", 413),
    e.FileTooLarge: _inferred("too_big", 400),
    e.FileTooSmall: _inferred("too_small", 400),
    e.FileSizeMismatch: _inferred("custom", 400),
    e.FileTypeMismatch: _inferred("custom", 400),
    e.FileTypeRefused: _inferred("custom", 400),
    e.FileHashMismatch: _inferred("custom", 400),
    e.NotSafetensors: _inferred("custom", 400),
    e.ModelFileMismatch: _inferred("custom", 400),
    e.SourceNotOwned: _inferred("custom", 400),
    e.ModelUploadNotFound: _inferred("not_found", 404),
    e.ModelUploadConflict: _inferred("custom", 400),
    e.NoRunner: _inferred("custom", 400),
    e.QuotaExceeded: _inferred("custom", 400),
    e.InvalidCursor: _inferred("custom", 400),
    e.IdempotencyMismatch: _inferred("custom", 400),
    e.RunnerFailed: _inferred("custom", 400),
    e.RunNotFinished: _inferred("custom", 400),
    e.IllegalTransition: _inferred("custom", 400),
    e.UploadNotCompletable: _inferred("custom", 400),
    e.UploadIncomplete: _inferred("custom", 400),
    e.WrongUploadMethod: _inferred("custom", 400),
    e.NameTaken: _inferred("custom", 400),
    e.FolderConflict: _inferred("custom", 400),
    e.TooManyEndpoints: _inferred("custom", 400),
    e.AssetNotFound: _inferred("custom", 400),
    e.AssetGone: _inferred("custom", 400),
    e.UploadNotFound: _inferred("custom", 400),
    e.FileNotStored: _inferred("custom", 400),
    e.AccountNotFound: _inferred("not_found", 404),
    e.FolderNotFound: _inferred("not_found", 404),
    e.DeliveryNotFound: _inferred("not_found", 404),
    e.EndpointNotFound: _inferred("not_found", 404),
    e.KeyNotFound: _inferred("not_found", 404),
    e.StorageFull: _inferred("unavailable", 503),
}
_RETRY_AFTER_SECONDS = 1
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
    match error:
        case e.Unauthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case e.MethodRefused(allowed=allowed):
            return {"Allow": ", ".join(allowed)}
        case e.RateLimited(retry_after=seconds) if seconds > _MOST_RETRY_AFTER_SECONDS:
            # A day's limit: the official clients would try again at once, and believe this header more (inferred).
            return {"Retry-After": str(_MOST_RETRY_AFTER_SECONDS), "x-should-retry": "false"}
        case e.RateLimited(retry_after=seconds):
            return {"Retry-After": str(max(1, round(seconds)))}
        case e.Unavailable():
            return {"Retry-After": str(_RETRY_AFTER_SECONDS)}
        case _:
            return {}
