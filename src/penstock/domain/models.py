"""Registered models: an AIR, what its owner says of it, and the file behind it.

A model is there once it is ready, and only then; what happens before is its upload's affair (`model_uploads`). The
same AIR again is an update. A version of a model is an AIR of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.domain.ids import AccountId, ModelFileId, ModelId
    from penstock.domain.weights import Category


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """The first part of an AIR, in lower case. It belongs to one account; nobody else may register under it."""

    name: str
    account_id: AccountId
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What an owner says of a model.

    `unique_identifier` stands for the file's content and is opaque. `version_label` is shown, not ordered. The
    defaults hold for runs that say nothing; None: not applicable or the model's own. `comment` is for its owner only.
    `hero_image_url` is kept as it was given.
    """

    category: Category
    type: str | None
    architecture: str
    conditioning: str | None
    name: str
    version_label: str
    unique_identifier: str
    private: bool = True
    default_steps: int | None = None
    default_scheduler: str | None = None
    default_cfg: float | None = None
    default_strength: float | None = None
    default_weight: float | None = None
    hero_image_url: str | None = None
    tags: tuple[str, ...] = ()
    positive_trigger_words: tuple[str, ...] = ()
    negative_trigger_words: tuple[str, ...] = ()
    short_description: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredModel:
    """A model that can be used. `air` is `source:number@version`, source in lower case, digits as they were given."""

    id: ModelId
    account_id: AccountId
    air: str
    source: str
    number: str
    version: str
    card: ModelCard
    file_id: ModelFileId
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """Weights at rest: as they came, and as they are served. Several models of one account may share them.

    Keys name objects; sizes are bytes; hashes are SHA-256 (hex). Where nothing was to be changed, `optimized_key` is
    `original_key`. `summary` is what the manifest says in short (a JSON object).
    """

    id: ModelFileId
    account_id: AccountId
    original_key: str
    size: int
    sha256: str
    optimized_key: str
    optimized_size: int
    optimized_sha256: str
    manifest_key: str
    summary: Mapping[str, object] = field(default_factory=dict)
    created_at: datetime


def stored_bytes(file: ModelFile) -> int:
    """What its weights take: one object's size, or both."""
    return file.size + (0 if file.optimized_key == file.original_key else file.optimized_size)


class ModelSort(StrEnum):
    """Orders of a search."""

    NAME = "name"
    ADDED = "added"
    UPDATED = "updated"
    USED = "used"


class Visibility(StrEnum):
    """Whose models a search shows: what the caller may see at all, their own, or parts of that."""

    ALL = "all"
    PUBLIC = "public"
    PRIVATE = "private"
    OWNED = "owned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuery:
    """What to search; empty or None: any.

    All words of `text` stand in name, AIR, tags or description, the last one as a beginning; all `tags` must be there.
    `below`: only what comes after a model that was added then and has that id, newest first (`ADDED`, descending).
    """

    text: str | None = None
    airs: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    types: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    conditionings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    visibility: Visibility = Visibility.ALL
    sort: ModelSort = ModelSort.ADDED
    descending: bool = True
    below: tuple[datetime, str] | None = None
    offset: int = 0
    limit: int = 20
