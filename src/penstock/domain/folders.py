"""Folders: a tree per account. Names are labels like those of files, unique among siblings."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from penstock.domain.errors import FolderConflict, InvalidField
from penstock.domain.filenames import clean_filename
from penstock.domain.search import query_words, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from penstock.domain.ids import AccountId, FolderId

MAX_DEPTH = 32
MAX_FOLDERS = 10_000
"""Of one account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder; `parent_id` None is the top."""

    id: FolderId
    account_id: AccountId
    parent_id: FolderId | None
    name: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderFilter:
    """What a listing of folders shall show. `query`: all its words in the name, the last one as a beginning."""

    query: str | None = None
    parent_id: FolderId | None = None
    at_top: bool = False


def fits(folder: Folder, wanted: FolderFilter) -> bool:
    """Whether a folder is asked for."""
    if wanted.at_top and folder.parent_id is not None:
        return False
    if wanted.parent_id not in {None, folder.parent_id}:
        return False
    whole, last = query_words(wanted.query or "")
    words = words_of([folder.name])
    return set(whole) <= set(words) and (last is None or any(word.startswith(last) for word in words))


def fingerprint(wanted: FolderFilter) -> str:
    """What binds a cursor to its listing: the same for the same filter only."""
    return hashlib.blake2s(repr(astuple(wanted)).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def clean_folder_name(raw: str) -> str:
    """A folder's name, cleaned like a file's (S7). Raises `InvalidField` when nothing is left of it."""
    name = clean_filename(raw)
    if not any(c.isprintable() and c not in {".", " ", "/", "\\", ":"} for c in raw):
        raise InvalidField(("name",), "must hold a visible character")
    return name


def check_place(folder_id: FolderId | None, *, ancestors: Sequence[Folder], height: int) -> None:
    """Whether a folder whose subtree has `height` levels may stand below these ancestors, the top one first.

    Raises `FolderConflict`: into itself, or too deep.
    """
    if any(ancestor.id == folder_id for ancestor in ancestors):
        raise FolderConflict("a folder cannot be moved into itself or below itself")
    if len(ancestors) + height > MAX_DEPTH:
        raise FolderConflict(f"folders are nested at most {MAX_DEPTH} deep")


def free_name(name: str, *, taken: Callable[[str], bool]) -> str:
    """The name, or the first of `name (2)`, `name (3)` … that is not taken."""
    if not taken(name):
        return name
    return next(
        candidate for number in itertools.count(2) if not taken(candidate := clean_filename(f"{name[:150]} ({number})"))
    )
