"""The library: what is asked of listings, changes of one asset and of many, tags."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from penstock.dialects.native.wire.assets import AssetOut
from penstock.dialects.native.wire.common import Request, Tag
from penstock.domain.errors import PenstockError
from penstock.domain.tags import MAX_TAGS
from penstock.services.library import MAX_BULK

_MAX_FILENAME = 500
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]


class AssetPage(BaseModel):
    """Assets in the order asked for. With a cursor there is more to look at, however few come with it."""

    data: list[AssetOut]
    next_cursor: str | None = Field(description="Null at the end, and only there.")


class ChangeAsset(Request):
    """What shall change; what is absent stays. Of two changes at the same time the later one's fields stand."""

    filename: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_FILENAME)] | None = Field(
        default=None, description="The name shown; the media URL stays as it is."
    )
    folder_id: str | None = Field(default=None, description="The folder it goes to; null: the top.")
    tags: Tags | None = Field(default=None, description="All its tags from now on. Kept in lower case, each once.")


class BulkRequest(Request):
    """One action on many assets. Repeating it changes nothing more."""

    ids: Annotated[list[str], Field(min_length=1, max_length=MAX_BULK)]
    action: Literal["move", "tag", "untag", "delete", "restore"]
    folder_id: str | None = Field(default=None, description="Where `move` goes; null: the top.")
    tags: Tags | None = Field(default=None, description="What `tag` adds and `untag` takes away.")


class BulkResult(BaseModel):
    """How one of them went."""

    id: str
    ok: bool
    code: str | None = Field(description="What is wrong, as in an error; null when it is as was asked for.")
    detail: str | None


class BulkAnswer(BaseModel):
    """A result for each id, in the order asked. Some may have failed: what worked stays."""

    data: list[BulkResult]


class TagPage(BaseModel):
    """Tags in use, by name."""

    data: list[str]
    next_cursor: str | None


def bulk_result(identifier: str, error: PenstockError | None) -> BulkResult:
    """The result for one id as it was asked."""
    detail = None if error is None else f"{error.code.replace('_', ' ')}"
    return BulkResult(id=identifier, ok=error is None, code=error.code if error else None, detail=detail)
