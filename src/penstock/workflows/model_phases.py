"""The phases of a model upload: what is to be done in each, and the transaction that ends it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.assets import is_readable
from penstock.domain.errors import AssetNotFound, FileTooLarge, ObjectStoreUnavailable
from penstock.domain.ids import ModelFileId
from penstock.domain.model_uploads import Phase, PhaseEvent, is_over
from penstock.domain.models import ModelFile
from penstock.domain.quotas import Change, require_room
from penstock.domain.weights import ModelCheck, require_fit
from penstock.ports.objects import ObjectChangedError, ObjectNotFoundError
from penstock.workflows.model_attempt import standing_of
from penstock.workflows.model_original import Original, StoreOrigin, read_head
from penstock.workflows.model_rewriting import Found, Rewriting, Rewritten, places_of
from penstock.workflows.parallel_ranges import ParallelOrigin
from penstock.workflows.part_stream import PART_BYTES
from penstock.workflows.range_lanes import Parallel
from penstock.workflows.url_origin import UrlOrigin

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.domain.assets import Asset
    from penstock.domain.events import EventData
    from penstock.domain.model_uploads import ModelUpload
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.database import Database, Transaction
    from penstock.ports.fetch import Fetcher
    from penstock.ports.objects import ObjectStore
    from penstock.ports.weights import Examiner, Rewriter, Survey
    from penstock.services.model_uploads import ModelUploads
    from penstock.workflows.model_attempt import Attempt
    from penstock.workflows.model_original import Brought

_LARGEST_COPY = 5 * 2**30
"""Bytes of the largest object that one call copies (S3 API, CopyObject)."""
_SURVEY_TYPE = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What an operator decides.

    What to do about a file that is not what was declared; the most bytes of one; how long one may be worked on until it
    has come, rests included (`Attempt.spent`); bytes of the parts that are sent to the store; by how many connections
    one comes.
    """

    check: ModelCheck = ModelCheck.ENFORCE
    max_bytes: int = 128 * 2**30
    within: timedelta = timedelta(hours=23)
    part_bytes: int = PART_BYTES
    parallel: Parallel = field(default_factory=Parallel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTools:
    """What model uploads are worked on with."""

    database: Database
    objects: ObjectStore
    fetcher: Fetcher
    examiner: Examiner
    rewriter: Rewriter
    uploads: ModelUploads
    options: ModelOptions
    clock: Clock
    entropy: Entropy


class Phases:
    """One attempt's way through the phases that are left."""

    def __init__(self, tools: ModelTools, attempt: Attempt) -> None:
        self._tools = tools
        self._attempt = attempt
        self._places = places_of(own_file(attempt.upload))
        self._rewriting = Rewriting(tools.objects, tools.rewriter, self._places, part_bytes=tools.options.part_bytes)
        self._original = Original(
            self._places.original,
            standing_of(attempt.job.state),
            tools.objects,
            tools.examiner,
            self._rewriting,
            keeper=attempt,
            judge=self._judge,
            part_bytes=tools.options.part_bytes,
        )

    @property
    def advanced(self) -> bool:
        """Whether the next attempt will find more of the file than this one did."""
        return self._original.advanced

    def go_through(self) -> None:
        """To the last. Raises `SourceError`s, `InputError`s, `AssetNotFound`, and what is the worker's affair."""
        ends: dict[Phase, Callable[[], None]] = {
            Phase.VALIDATED: self._download,
            Phase.DOWNLOADED: self._optimize,
            Phase.OPTIMIZED: self._store,
            Phase.STORED: self._deploy,
        }
        while not is_over(self._attempt.upload):
            ends[self._attempt.upload.phase]()

    def _download(self) -> None:
        """Bring the file, unless it is here already (RU-30)."""
        tools, upload = self._tools, self._attempt.upload
        with tools.database.write() as tx:
            file = tools.uploads.kept(tx, upload)
            self._attempt.own(tx, file.id if file is not None else own_file(upload))
        if file is not None:
            head, _ = read_head(tools.examiner, tools.objects.read(file.original_key), size=file.size)
            self._judge(head, file.size)
            self._end_phase(PhaseEvent.DOWNLOAD, {"size": file.size, "sha256": file.sha256})
        elif upload.asset_id is not None:
            self._downloaded(self._brought_from(self._asset(upload)))
        else:
            self._require_store()
            self._downloaded(self._original.bring(self._origin(upload)))

    def _origin(self, upload: ModelUpload) -> ParallelOrigin:
        tools, options, attempt = self._tools, self._tools.options, self._attempt
        url = UrlOrigin(upload.source_url or "", tools.fetcher, left=lambda: attempt.left, max_bytes=options.max_bytes)
        return ParallelOrigin(url, options.parallel, told=attempt.note_ranges)

    def _require_store(self) -> None:
        """That the store answers: while it is away, nobody's server is asked for what could not be kept."""
        with suppress(ObjectNotFoundError):
            self._tools.objects.head(self._places.original)

    def _downloaded(self, brought: Brought) -> None:
        """End the phase; of bytes that the account has as a model's file already, that one is used."""
        sha256, size = str(brought.survey["sha256"]), brought.info.size
        if brought.rewritten is None:
            data = json.dumps(brought.survey, separators=(",", ":")).encode()
            self._tools.objects.put(self._places.survey, data, size=len(data), content_type=_SURVEY_TYPE)
        rewritten = asdict(brought.rewritten) if brought.rewritten is not None else None
        original = {"size": size, "sha256": sha256, "etag": brought.info.etag, "header": brought.found.header_size}
        attempt = self._attempt
        at_rest = self._at_rest_of(sha256)
        with self._tools.database.write() as tx:
            self._takes(tx, at_rest)
            attempt.upload = replace(attempt.upload, received=size, size=size)
            attempt.remember(original=original, rewritten=rewritten)
            attempt.advance(tx, PhaseEvent.DOWNLOAD, {"size": size, "sha256": sha256})

    def _at_rest_of(self, sha256: str) -> ModelFile | None:
        """The account's file of the same bytes, if the store has it."""
        with self._tools.database.read() as tx:
            seen = tx.model_files.holding(self._attempt.upload.account_id, sha256)
        return seen if seen is not None and self._is_at_rest(seen) else None

    def _takes(self, tx: Transaction, at_rest: ModelFile | None) -> bool:
        """Whether the upload uses that file instead of its own from now on: not one that has gone since."""
        attempt = self._attempt
        held = tx.model_files.holding(attempt.upload.account_id, at_rest.sha256) if at_rest is not None else None
        if held is None or held != at_rest:
            return False
        attempt.upload = replace(attempt.upload, file_id=held.id)
        return True

    def _optimize(self) -> None:
        """Write the served file, unless that happened while the original came."""
        file = self._kept(self._attempt.upload)
        if file is not None:
            told = {"size": file.optimized_size, "sha256": file.optimized_sha256}
            self._end_phase(PhaseEvent.OPTIMIZE, told)
            return
        rewritten = self._attempt.rewritten or self._rewrite()
        self._attempt.remember(rewritten=asdict(rewritten))
        self._end_phase(PhaseEvent.OPTIMIZE, {"size": rewritten.size, "sha256": rewritten.sha256})

    def _rewrite(self) -> Rewritten:
        original = self._attempt.original
        self._attempt.aim(Phase.OPTIMIZED, original["size"])
        objects = self._tools.objects
        survey: Survey = json.loads(b"".join(objects.read(self._places.survey)))
        head = b"".join(objects.read(self._places.original, end=original["header"]))
        info = objects.head(self._places.original)
        return self._rewriting.afterwards(info, head, survey, look=self._attempt.look)

    def _store(self) -> None:
        """See that both files are at rest as they were written, and count them. Raises `QuotaExceeded`.

        Where another upload brought the same bytes meanwhile, that one's are used. Two that end in the same moment
        both keep theirs.
        """
        attempt = self._attempt
        if self._kept(attempt.upload) is not None:
            self._end_phase(PhaseEvent.STORE, {})
            return
        file, rewritten, original = self._file(), attempt.rewritten, attempt.original
        self._require_at_rest(file.original_key, size=file.size, etag=original["etag"])
        if rewritten is not None:
            self._require_at_rest(file.optimized_key, size=file.optimized_size, etag=rewritten.etag)
        self._tools.objects.head(file.manifest_key)
        at_rest = self._at_rest_of(file.sha256)
        with self._tools.database.write() as tx:
            if not self._takes(tx, at_rest):
                tx.model_files.add(file)
            attempt.advance(tx, PhaseEvent.STORE, {})

    def _deploy(self) -> None:
        """Let the AIR stand for the file."""
        attempt, tools = self._attempt, self._tools
        with tools.database.write() as tx:
            attempt.confirm(tx)
            file = tx.model_files.get(attempt.upload.account_id, attempt.upload.file_id or own_file(attempt.upload))
            attempt.upload = tools.uploads.finish(tx, attempt.upload, file)

    def _file(self) -> ModelFile:
        """What is to be kept, of what the steps before remembered."""
        attempt, rewritten = self._attempt, self._attempt.rewritten
        if rewritten is None:
            raise ObjectStoreUnavailable("what was rewritten is not known any more")
        original = attempt.original
        return ModelFile(
            id=own_file(attempt.upload),
            account_id=attempt.upload.account_id,
            original_key=self._places.original,
            size=original["size"],
            sha256=original["sha256"],
            optimized_key=self._places.original if rewritten.unchanged else self._places.optimized,
            optimized_size=rewritten.size,
            optimized_sha256=rewritten.sha256,
            manifest_key=self._places.manifest,
            summary=rewritten.summary,
            created_at=self._tools.clock.now(),
        )

    def _is_at_rest(self, file: ModelFile) -> bool:
        """Whether the store has what a file's row says: else its bytes, which came once more, are kept anew."""
        places = {file.original_key: file.size, file.optimized_key: file.optimized_size}
        try:
            self._tools.objects.head(file.manifest_key)
            return all(self._tools.objects.head(key).size == size for key, size in places.items())
        except ObjectNotFoundError:
            return False

    def _require_at_rest(self, key: str, *, size: int, etag: str) -> None:
        """An acknowledged object that is not there as it was written is nobody's fault but the store's."""
        try:
            info = self._tools.objects.head(key)
        except ObjectNotFoundError:
            raise ObjectStoreUnavailable("a model's file that was written is not in the store") from None
        if (info.size, info.etag) != (size, etag):
            raise ObjectStoreUnavailable("a model's file in the store is not the one that was written")

    def _judge(self, head: bytes, size: int | None) -> Found:
        """What a file is by its beginning up to its data; remembers with what warnings it is taken.

        Raises an `InputError` for one that is not welcome.
        """
        tools, attempt = self._tools, self._attempt
        upload = attempt.upload
        with tools.database.read() as tx:
            declared = tools.uploads.declaration(tx, upload)
            quota = tx.quotas.get(upload.account_id)
            coming = tx.model_uploads.coming(upload.account_id, beside=upload.id)
        check = tools.options.check
        seen = tools.examiner.examine(head, size=size, declared=None if check is ModelCheck.OFF else declared)
        warnings = require_fit(seen, check)
        if seen.size > tools.options.max_bytes:
            raise FileTooLarge(limit=tools.options.max_bytes, actual=seen.size)
        if upload.file_id == own_file(upload):
            more = Change(bytes=seen.size, bound=True)
            used = replace(quota.usage, bytes=quota.usage.bytes + coming + seen.size)
            require_room(more, after=used, limits=quota.limits)
        attempt.upload = replace(upload, size=seen.size, warnings=warnings)
        attempt.aim(Phase.DOWNLOADED, seen.size)
        return Found(size=seen.size, header_size=seen.header_size, category=seen.category, family=seen.family)

    def _asset(self, upload: ModelUpload) -> Asset:
        """The asset to read, which was leased when the upload was accepted. Raises `AssetNotFound`."""
        with self._tools.database.read() as tx:
            if upload.asset_id is None:
                raise AssetNotFound
            asset = tx.assets.get(upload.account_id, upload.asset_id)
            if not is_readable(asset, at=self._tools.clock.now(), leased=tx.assets.is_leased(asset.id)):
                raise AssetNotFound(asset.id)
        return asset

    def _brought_from(self, asset: Asset) -> Brought:
        """The file from an asset: on the server side where one call does it."""
        objects = self._tools.objects
        try:
            info = objects.head(asset.object_key)
            if info.size <= _LARGEST_COPY:
                return self._original.copy(info)
            return self._original.bring(StoreOrigin(objects, info))
        except (ObjectNotFoundError, ObjectChangedError):
            raise ObjectStoreUnavailable("an asset's bytes are not in the store") from None

    def _kept(self, upload: ModelUpload) -> ModelFile | None:
        """The file that is at rest already."""
        if upload.file_id is None:
            return None
        with self._tools.database.read() as tx:
            return next(iter(tx.model_files.of([upload.file_id])), None)

    def _end_phase(self, event: PhaseEvent, data: EventData) -> None:
        with self._tools.database.write() as tx:
            self._attempt.advance(tx, event, data)


def own_file(upload: ModelUpload) -> ModelFileId:
    """The file that an upload makes, if it makes one. So what is left of one in the store can be known by its name."""
    return ModelFileId(upload.id)
