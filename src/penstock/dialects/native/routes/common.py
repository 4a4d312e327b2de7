"""What the native routes share: parameters, answers, and who asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from penstock.dialects.base import Services
from penstock.dialects.base.http import principal
from penstock.dialects.base.streams import SSE_COMMENT, EventStream, sse_frame
from penstock.dialects.native.wire import common
from penstock.domain.errors import AssetNotFound, FolderNotFound, ModelUploadNotFound, RunNotFound, UploadNotFound
from penstock.domain.events import EventKind
from penstock.domain.ids import AssetId, FolderId, ModelUploadId, RunId, UploadId, parse_prefixed

_MAX_EVENT_DIGITS = 18


EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    204: {"description": "There will be no more events"},
}


Limit = Annotated[int, Query(ge=1, le=100, description="Items per page.")]


Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]


IdempotencyKey = Annotated[
    str | None, Header(description="Makes a repeat of this request return the first one's result.")
]


async def event_stream(
    services: Services,
    request: Request,
    subject: str,
    after: int,
    finals: frozenset[EventKind],
    is_over: Callable[[], bool],
) -> Response:
    """Events of a subject that the caller owns (`is_over` raises when it does not); 204 when there will be no more.

    A browser's EventSource comes back after every end but a 204 (WHATWG HTML, server-sent events).
    """
    over = await run_in_threadpool(is_over)
    last = request.headers.get("last-event-id", "")
    start = int(last) if last.isdecimal() and len(last) <= _MAX_EVENT_DIGITS else after
    account_id = principal(request).account_id
    if over and not await run_in_threadpool(services.streams.after, account_id, subject, start):
        return Response(status_code=204)

    async def frames() -> AsyncIterator[bytes]:
        async for event in services.streams.follow(account_id, subject, after=start, finals=finals):
            yield (
                SSE_COMMENT
                if event is None
                else sse_frame(event.kind.value, common.event_out(event), number=event.number)
            )

    return EventStream(frames(), place=services.streams.place(account_id))


def json_answer(body: BaseModel, status: int = 200) -> Response:
    return Response(body.__pydantic_serializer__.to_json(body), status_code=status, media_type="application/json")


def bearer_secret(request: Request) -> str | None:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else None


def upload_id_of(text: str) -> UploadId:
    found = parse_prefixed("upload", text)
    if found is None:
        raise UploadNotFound(text)
    return UploadId(found)


def asset_id_of(text: str) -> AssetId:
    found = parse_prefixed("asset", text)
    if found is None:
        raise AssetNotFound(text)
    return AssetId(found)


def folder_id_of(text: str) -> FolderId:
    found = parse_prefixed("folder", text)
    if found is None:
        raise FolderNotFound(text)
    return FolderId(found)


def run_id_of(text: str) -> RunId:
    found = parse_prefixed("run", text)
    if found is None:
        raise RunNotFound(text)
    return RunId(found)


def model_upload_id_of(text: str) -> ModelUploadId:
    found = parse_prefixed("modelupload", text)
    if found is None:
        raise ModelUploadNotFound(text)
    return ModelUploadId(found)


After = Annotated[int, Query(description="Number of the last event that is known already.")]
