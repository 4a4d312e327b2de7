"""What all routes share: who asks, for whom, and how they are answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from penstock.dialects.base.http import principal
from penstock.dialects.runflow.wire.common import ORGANIZATION_HEADER
from penstock.domain.errors import AccountNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence


DIALECT = "runflow"


def read_key(request: Request) -> str | None:
    """`Authorization: Bearer <key>`."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


async def check_organization(request: Request) -> None:
    """A key speaks for its own organization alone, named or not. Raises `AccountNotFound` for another's (RF-29)."""
    named = request.headers.get(ORGANIZATION_HEADER)
    if named is not None and "principal" in request.scope["state"] and named != principal(request).account_id:
        raise AccountNotFound(named)


def json_answer(content: object, status: int = 200) -> Response:
    """An answer of JSON."""
    return JSONResponse(content, status_code=status)


def listed(items: Sequence[bytes], *, next_pq: str | None) -> Response:
    """A page that is turned forwards alone, of items that are JSON."""
    rest = json.dumps({"next_pq": next_pq, "prev_pq": None}, separators=(",", ":")).encode()
    return Response(b'{"items":[' + b",".join(items) + b"]," + rest[1:], media_type="application/json")
