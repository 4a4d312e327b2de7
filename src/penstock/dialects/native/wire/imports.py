"""Imports as asked for. What is answered is an upload."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from penstock.dialects.native.wire.common import Request, Tag
from penstock.dialects.native.wire.lifetimes import LEAST_SECONDS, MOST_SECONDS
from penstock.domain.egress import MAX_URL
from penstock.domain.tags import MAX_TAGS

_MAX_FILENAME = 500


class CreateImport(Request):
    """What to fetch."""

    source_url: Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)] = Field(
        description="An http or https URL of a public server, on port 80 or 443. Its query is shown to nobody."
    )
    filename: Annotated[str, StringConstraints(min_length=1, max_length=_MAX_FILENAME)] | None = Field(
        default=None, description="The file's name; absent: the last segment of the URL's path."
    )
    content_type: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        default=None, description="The media type that the bytes must show; absent: they decide."
    )
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        default=None, description="SHA-256 that the bytes must have, in hex; others are refused."
    )
    expires_in: int | None = Field(
        default=None,
        ge=LEAST_SECONDS,
        le=MOST_SECONDS,
        description="Seconds that the asset shall live after the bytes came; null: until deleted; absent: as the "
        "server's operator has set.",
    )
    folder_id: str | None = Field(default=None, description="The folder that the asset goes to; null: the top.")
    tags: Annotated[list[Tag], Field(max_length=MAX_TAGS)] = Field(
        default_factory=list, description="The tags of the asset."
    )
