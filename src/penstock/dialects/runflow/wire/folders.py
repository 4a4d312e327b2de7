"""Folders of assets. The product's documents name the routes; the members are inferred."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from penstock.dialects.runflow.wire.common import parse_folder, timestamp
from penstock.services.folders import FolderChange

if TYPE_CHECKING:
    from penstock.domain.folders import Folder

Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class CreateFolder(BaseModel):
    """`POST /v1/asset-folders`."""

    model_config = ConfigDict(strict=True)

    name: Name
    parent_id: str | None = None


class ChangeFolder(BaseModel):
    """`PATCH /v1/asset-folders/{id}`: what is absent stays; a `parent_id` of null is the top."""

    model_config = ConfigDict(strict=True)

    name: Name | None = None
    parent_id: str | None = None

    def change(self) -> FolderChange:
        """Raises `FolderNotFound` for a parent that cannot be one."""
        parent_id = parse_folder(self.parent_id) if self.parent_id is not None else None
        return FolderChange(name=self.name, moves="parent_id" in self.model_fields_set, parent_id=parent_id)


class FolderOut(BaseModel):
    """A folder."""

    id: str
    org_id: str
    name: str
    parent_id: str | None
    created_at: str
    updated_at: str


def folder_out(folder: Folder) -> FolderOut:
    """A folder as answered."""
    return FolderOut(
        id=folder.id,
        org_id=folder.account_id,
        name=folder.name,
        parent_id=folder.parent_id,
        created_at=timestamp(folder.created_at),
        updated_at=timestamp(folder.updated_at),
    )
