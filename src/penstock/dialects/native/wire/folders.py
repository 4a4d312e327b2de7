"""Folders as asked for and as answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from penstock.dialects.native.wire.common import Request, timestamp
from penstock.domain.folders import Folder
from penstock.domain.ids import format_prefixed

FolderName = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class CreateFolder(Request):
    """A new folder."""

    name: FolderName = Field(description="A label, cleaned like a file's name; unique among its siblings.")
    parent_id: str | None = Field(default=None, description="The folder it goes into; null: the top.")


class ChangeFolder(Request):
    """What shall change; what is absent stays."""

    name: FolderName | None = None
    parent_id: str | None = Field(default=None, description="The folder it moves into; null: the top.")


class FolderPlace(BaseModel):
    """A folder on the way to another."""

    id: str
    name: str


class FolderOut(BaseModel):
    """A folder."""

    id: str
    object: Literal["folder"] = "folder"
    name: str
    parent_id: str | None = Field(description="Null: it is at the top.")
    path: list[FolderPlace] | None = Field(
        default=None, description="From the top to the folder itself; not in listings and after changes."
    )
    created_at: str
    updated_at: str


class FolderPage(BaseModel):
    """Folders, by name."""

    data: list[FolderOut]
    next_cursor: str | None


def folder_out(folder: Folder, *, path: Sequence[Folder] | None = None) -> FolderOut:
    """A folder as answered; `path` where it is told."""
    return FolderOut(
        id=format_prefixed("folder", folder.id),
        name=folder.name,
        parent_id=format_prefixed("folder", folder.parent_id) if folder.parent_id else None,
        path=[FolderPlace(id=format_prefixed("folder", one.id), name=one.name) for one in path] if path else None,
        created_at=timestamp(folder.created_at),
        updated_at=timestamp(folder.updated_at),
    )
