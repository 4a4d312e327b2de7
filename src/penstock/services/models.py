"""Registered models: find, show, change, read back, remove. How they come to be is `model_uploads`'.

A model that somebody may not see is to them as if it were not there, also to whoever guesses its name (P11).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from penstock.domain.air import parse_reference
from penstock.domain.errors import InvalidField, ModelNotFound, ObjectStoreUnavailable
from penstock.domain.filenames import content_disposition
from penstock.domain.media_types import OCTET_STREAM
from penstock.domain.model_cards import check_given, merged
from penstock.domain.model_reuse import overlap
from penstock.domain.models import ModelSort
from penstock.ports.objects import ObjectNotFoundError
from penstock.services.paging import Page, check_limit, decode_cursor, page_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.domain.ids import AccountId
    from penstock.domain.model_reuse import Overlap
    from penstock.domain.models import ModelFile, ModelQuery, RegisteredModel
    from penstock.ports.clock import Clock
    from penstock.ports.database import Database, Transaction
    from penstock.ports.objects import ObjectStore, Presigner

_URL_TTL = timedelta(minutes=5)
"""Enough for a redirect that is followed at once; a GET that has begun goes on. So long can somebody begin one who may
not see the model any more."""
_JSON = "application/json"
_MAX_MANIFEST = 64 * 2**20
"""Bytes; one with 100,000 tensors is smaller."""


class Part(StrEnum):
    """What a model has in the store."""

    ORIGINAL = "original"
    OPTIMIZED = "optimized"
    MANIFEST = "manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownModel:
    """A model with its file. `shared_with` are the owner's other AIRs that have the same file; told to nobody else."""

    model: RegisteredModel
    file: ModelFile
    shared_with: tuple[str, ...] = ()


class Models:
    """Use cases on registered models."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        presigner: Presigner,
        *,
        clock: Clock,
        architectures: tuple[str, ...] = (),
    ) -> None:
        """`architectures`: what the operator lets models be declared as beside what everybody knows."""
        self._database = database
        self._objects = objects
        self._presigner = presigner
        self._clock = clock
        self._architectures = architectures

    def show(self, viewer: AccountId, air: str) -> ShownModel:
        """One's own model or a public one, named in any way that references are. Raises `ModelNotFound`."""
        with self._database.read() as tx:
            return _shown(tx, viewer, tx.models.get(viewer, _key(air)))

    def search(self, viewer: AccountId, query: ModelQuery) -> tuple[int, Sequence[RegisteredModel]]:
        """How many fit in all, and those from `offset` on. Raises `InvalidField`."""
        with self._database.read() as tx:
            return tx.models.search(viewer, query)

    def page(
        self, viewer: AccountId, query: ModelQuery, *, cursor: str | None, limit: int
    ) -> tuple[int, Page[RegisteredModel]]:
        """How many fit in all, and a page of them, newest first. Raises `InvalidCursor`, `InvalidField`."""
        check_limit(limit)
        wanted = replace(query, sort=ModelSort.ADDED, descending=True, below=decode_cursor(cursor), limit=limit + 1)
        total, found = self.search(viewer, wanted)
        return total, page_of(found, limit, lambda model: (model.created_at, model.id))

    def update(self, account_id: AccountId, air: str, given: Mapping[str, object]) -> ShownModel:
        """Change what is said of a model, at once. Its file comes only with an upload.

        Raises `ModelNotFound`, also of another's public one; `InvalidField`, `InvalidFields`.
        """
        checked = check_given(given, architectures=self._architectures)
        if "unique_identifier" in checked:
            raise InvalidField(("unique_identifier",), "stands for the file: upload that one under the same AIR")
        with self._database.write() as tx:
            model = tx.models.own(account_id, _key(air))
            if model is None:
                raise ModelNotFound(air)
            changed = replace(model, card=merged(model.card, checked), updated_at=self._clock.now())
            tx.models.put(changed)
            return _shown(tx, account_id, changed)

    def remove(self, account_id: AccountId, air: str) -> None:
        """Take a model away; its AIR is free again. Its file goes when nothing else needs it.

        Raises `ModelNotFound`, also of another's public one.
        """
        with self._database.write() as tx:
            model = tx.models.own(account_id, _key(air))
            if model is None:
                raise ModelNotFound(air)
            tx.models.remove(replace(model, updated_at=self._clock.now()))

    def location(self, viewer: AccountId, air: str, part: Part, *, method: str = "GET") -> str:
        """A presigned URL for reading a model's bytes, to be followed at once; ranges work. `method` is GET or HEAD.

        Raises `ModelNotFound`.
        """
        shown = self.show(viewer, air)
        file = shown.file
        keys = {
            Part.ORIGINAL: file.original_key,
            Part.OPTIMIZED: file.optimized_key,
            Part.MANIFEST: file.manifest_key,
        }
        ending = "manifest.json" if part is Part.MANIFEST else f"{part.value}.safetensors"
        name = f"{shown.model.source}-{shown.model.number}-{shown.model.version}.{ending}"
        return self._presigner.get(
            keys[part],
            expires_in=_URL_TTL,
            now=self._clock.now(),
            content_type=_JSON if part is Part.MANIFEST else OCTET_STREAM,
            disposition=content_disposition(name, inline=False),
            method=method,
        )

    def reuse(self, viewer: AccountId, air: str, other: str) -> Overlap:
        """How much of a model stands in another, by their manifests: what it would have cost to keep it once.

        Raises `ModelNotFound` for either, `ObjectStoreUnavailable` when a manifest is not there.
        """
        one, two = self.show(viewer, air).file, self.show(viewer, other).file
        manifest = self._manifest(one)
        return overlap(manifest, manifest if one.id == two.id else self._manifest(two))

    def _manifest(self, file: ModelFile) -> Mapping[str, object]:
        try:
            info, data = self._objects.peek(file.manifest_key, length=_MAX_MANIFEST)
        except ObjectNotFoundError:
            raise ObjectStoreUnavailable("a model's manifest is not in the store") from None
        if info.size > _MAX_MANIFEST:
            raise ObjectStoreUnavailable("a model's manifest is too large to be compared")
        read: Mapping[str, object] = json.loads(data)
        return read

    def sweep(self, *, limit: int) -> int:
        """Remove up to `limit` files that no model, no upload and no run needs any more. Returns how many.

        Rows first: what a crash leaves of the objects is swept as orphans.
        """
        with self._database.write() as tx:
            gone = [file for file in tx.model_files.unused(limit=limit) if tx.model_files.remove(file)]
        if gone:
            self._objects.delete(sorted(keys_of(gone)))
        return len(gone)


def keys_of(files: Sequence[ModelFile]) -> set[str]:
    """Their objects."""
    return {key for file in files for key in (file.original_key, file.optimized_key, file.manifest_key)}


def _shown(tx: Transaction, viewer: AccountId, model: RegisteredModel) -> ShownModel:
    file = tx.model_files.get(model.account_id, model.file_id)
    if model.account_id != viewer:
        card = replace(model.card, comment=None, unique_identifier="")
        return ShownModel(model=replace(model, card=card), file=file)
    others = tuple(air for air in tx.model_files.users(file.id) if air != model.air)
    return ShownModel(model=model, file=file, shared_with=others)


def _key(text: str) -> str:
    """The AIR as rows have it. Raises `ModelNotFound` for what can be none."""
    reference = parse_reference(text)
    if reference is None or reference.air is None:
        raise ModelNotFound(text)
    return reference.air
