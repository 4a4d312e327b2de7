"""The native error table and body: RFC 9457 problem details with a stable `code` per error."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi.responses import Response

from penstock.dialects.base.errors import ErrorTable, WireError, error_headers, field_errors, look_up
from penstock.dialects.native.wire.common import tombstone_out
from penstock.domain import errors as e
from penstock.domain.ids import format_prefixed

if TYPE_CHECKING:
    from penstock.domain.errors import InvalidField, PenstockError

_STATUS: dict[type[PenstockError], int] = {
    e.InvalidField: 422,
    e.InvalidFields: 422,
    e.MalformedBody: 400,
    e.BodyTooLarge: 413,
    e.FileTooLarge: 413,
    e.FileTooSmall: 422,
    e.FileSizeMismatch: 422,
    e.FileTypeMismatch: 422,
    e.FileTypeRefused: 422,
    e.FileHashMismatch: 422,
    e.NotSafetensors: 422,
    e.ModelFileMismatch: 422,
    e.QuotaExceeded: 403,
    e.ReferenceInvalid: 422,
    e.InvalidCursor: 422,
    e.MethodRefused: 405,
    e.IdempotencyMismatch: 422,
    e.Unauthenticated: 401,
    e.ScopeMissing: 403,
    e.SourceNotOwned: 403,
    e.AccountNotFound: 404,
    e.KeyNotFound: 404,
    e.UploadNotFound: 404,
    e.AssetNotFound: 404,
    e.AssetGone: 410,
    e.FileNotStored: 404,
    e.FolderNotFound: 404,
    e.ModelNotFound: 404,
    e.RunNotFound: 404,
    e.ModelUploadNotFound: 404,
    e.DeliveryNotFound: 404,
    e.EndpointNotFound: 404,
    e.TooManyEndpoints: 409,
    e.RouteNotFound: 404,
    e.IllegalTransition: 409,
    e.UploadNotCompletable: 409,
    e.UploadIncomplete: 409,
    e.WrongUploadMethod: 409,
    e.RunNotFinished: 409,
    e.ModelUploadConflict: 409,
    e.NoRunner: 409,
    e.NameTaken: 409,
    e.FolderConflict: 409,
    e.InsufficientCredits: 402,
    e.RateLimited: 429,
    e.RunnerFailed: 422,
    e.InternalError: 500,
    e.ObjectStoreUnavailable: 503,
    e.DatabaseUnavailable: 503,
    e.StorageFull: 507,
}
ERRORS: ErrorTable = {error: WireError(code=error.code, status=status) for error, status in _STATUS.items()}
_NAMED = re.compile(r"\b(upload|asset|run|folder)(:?) ([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\b")


def render_error(error: PenstockError, request_id: str) -> Response:
    """`application/problem+json` (RFC 9457 §3) with `code`, `request_id` and, in `errors`, a pointer per bad field."""
    row = look_up(ERRORS, error)
    problem: dict[str, object] = {
        "type": f"urn:penstock:error:{row.code}",
        "title": row.code.replace("_", " ").capitalize(),
        "status": row.status,
        "detail": _detail(error),
        "code": row.code,
        "request_id": request_id,
    }
    fields = field_errors(error)
    if fields:
        problem["errors"] = [{"pointer": _pointer(f), "detail": f.reason, "code": f.rule} for f in fields]
    if isinstance(error, e.AssetGone) and error.tombstone is not None:
        problem["tombstone"] = tombstone_out(error.tombstone).model_dump()
    return Response(
        json.dumps(problem), status_code=row.status, media_type="application/problem+json", headers=_headers(error)
    )


def _detail(error: PenstockError) -> str:
    """The error's sentence, with ids as this API spells them."""
    if type(error) not in ERRORS:
        return e.InternalError().message
    if isinstance(error, e.FileNotStored):
        return "the bytes of this upload have not arrived"
    return _NAMED.sub(
        lambda found: (f"{found[1]}: " if found[2] else "") + format_prefixed(found[1], found[3]), error.message
    )


def _pointer(field: InvalidField) -> str:
    """A JSON pointer as a URI fragment (RFC 6901 §6)."""
    return "#" + "".join("/" + quote(str(part).replace("~", "~0").replace("/", "~1")) for part in field.path)


def _headers(error: PenstockError) -> dict[str, str]:
    if isinstance(error, e.NotFound):
        # Caches may keep 404 and 410 otherwise (RFC 9110 §15.1), and the file may come yet.
        return {"Cache-Control": "no-store"}
    return error_headers(error)
