"""The history of requests and the removal of payloads.

The product documents the filters of the history and not its answer (guides/request-lifecycle): that is inferred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from penstock.dialects.base.strict_json import parse_strict
from penstock.dialects.modelrunner.wire.common import Camel, media_url
from penstock.dialects.modelrunner.wire.requests import ResultOut, standing
from penstock.domain.errors import IllegalTransition, InvalidField, MalformedBody
from penstock.domain.ids import format_short
from penstock.domain.runs import Run, RunFault, RunFilter, RunState, check_metadata, is_finished

if TYPE_CHECKING:
    from penstock.domain.assets import Asset


class HistoryOut(Camel):
    """`GET /requests`: results, of which those that have not finished have no output."""

    items: Sequence[ResultOut]
    page: int
    limit: int
    has_more: bool


class DeletedFile(BaseModel):
    """A file that went with the payloads."""

    link: str
    exception: str | None = None


class PayloadsOut(BaseModel):
    """`DELETE /requests/{id}/payloads` (guides/data-retention). Of a repeat no file is left to tell of (inferred)."""

    request_id: str
    payloads_deleted: bool
    cdn_delete_results: list[DeletedFile]


def parse_filter(*, status: str | None, endpoint: str | None, metadata: str | None) -> RunFilter:
    """The filters of a history: pairs of `metadata` match exactly, and all of them. Raises `InvalidField`."""
    return RunFilter(
        stands=None if status is None else _standing(status),
        model=endpoint,
        metadata={} if metadata is None else _pairs(metadata),
    )


def require_deletable(run: Run) -> None:
    """Raises `IllegalTransition` (409, guides/data-retention) for the payloads of a request that has not finished."""
    if not is_finished(run):
        raise IllegalTransition(subject="the request", state=run.state.value, event="deleting its payloads")


def payloads_out(run: Run, gone: Sequence[Asset], *, base_url: str) -> PayloadsOut:
    """What was removed of a run."""
    links = [DeletedFile(link=media_url(asset.media_key, base_url=base_url)) for asset in gone]
    return PayloadsOut(request_id=format_short(run.id), payloads_deleted=True, cdn_delete_results=links)


def _standing(word: str) -> frozenset[tuple[RunState, RunFault | None]]:
    ways = standing(word)
    if ways is None:
        raise InvalidField(("status",), "must be IN_QUEUE, IN_PROGRESS, COMPLETED, FAILED or CANCELLED")
    return ways


def _pairs(text: str) -> dict[str, str]:
    try:
        pairs = parse_strict(text.encode("utf-8", "surrogateescape"))
    except MalformedBody:
        pairs = None
    if not isinstance(pairs, dict):
        raise InvalidField(("metadata",), "must be a JSON object of strings")
    return {key: str(value) for key, value in check_metadata(pairs).items()}
