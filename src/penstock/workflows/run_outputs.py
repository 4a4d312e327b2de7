"""What a run made, on its way into the store: checked, stored under keys of the attempt's own, and described."""

from __future__ import annotations

import contextlib
import hashlib
import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.domain.assets import Asset, intake_of_new
from penstock.domain.errors import RunnerFailed, Unavailable
from penstock.domain.filenames import clean_filename, url_slug
from penstock.domain.ids import AssetId, MediaKey, uuid4_text
from penstock.domain.media_types import OCTET_STREAM, kind_of, type_that_counts
from penstock.domain.runs import ASSET_MARK, Run
from penstock.domain.sniffing import SNIFF_BYTES, find_type
from penstock.ports.runners import OutputFile
from penstock.services.identity import new_media_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from penstock.domain.jobs import Job
    from penstock.ports.clock import Clock, Entropy
    from penstock.ports.objects import ObjectStore
    from penstock.ports.runners import JsonLike


class Outputs:
    """Files and values that runners return, as they are kept."""

    def __init__(self, objects: ObjectStore, *, clock: Clock, entropy: Entropy) -> None:
        self._objects = objects
        self._clock = clock
        self._entropy = entropy

    def store(self, job: Job, run: Run, output: JsonLike) -> tuple[object, list[Asset]]:
        """The output with every file replaced by its asset's mark, and those assets, whose bytes are durable now."""
        made: list[Asset] = []

        def stored(value: JsonLike) -> object:
            if isinstance(value, OutputFile):
                asset = self._store_file(job, run, value, index=len(made))
                made.append(asset)
                return {ASSET_MARK: asset.id}
            if isinstance(value, dict):
                return {_sound(str(key)): stored(item) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return [stored(item) for item in value]
            if isinstance(value, str):
                return _sound(value)
            if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
                return value
            raise RunnerFailed(f"the model returned a value that is not JSON: {type(value).__name__}")

        try:
            return stored(output), made
        except Exception:
            # Of the one whose storing failed nothing is certain.
            self.discard(_output_key(job, run, index) for index in range(len(made) + 1))
            raise

    def discard(self, keys: Iterable[str]) -> None:
        """Remove the outputs of an attempt that comes to nothing; their keys are its own."""
        with contextlib.suppress(Unavailable):
            self._objects.delete(keys)

    def _store_file(self, job: Job, run: Run, file: OutputFile, *, index: int) -> Asset:
        found = _found_type(file.path)
        content_type = type_that_counts(file.content_type, found)
        info = self._objects.put(
            _output_key(job, run, index), file.path, size=file.path.stat().st_size, content_type=content_type
        )
        name = clean_filename(file.name)
        sha256 = info.sha256 or _file_sha256(file.path)
        return Asset(
            id=_output_id(run, index),
            account_id=run.account_id,
            upload_id=None,
            run_id=run.id,
            name=name,
            size=info.size,
            sha256=sha256,
            content_type=content_type,
            declared_type=file.content_type,
            found_type=found or OCTET_STREAM,
            kind=kind_of(content_type),
            object_key=info.key,
            media_key=MediaKey(new_media_key(self._entropy, url_slug(name))),
            created_at=self._clock.now(),
            expires_at=None,
            intake=intake_of_new(kind=kind_of(content_type), sha256=sha256),
        )


def mortal(made: list[Asset], job: Job, ended: Run) -> list[Asset]:
    """The outputs with the end that the run's caller asked for, counted from the end of the run."""
    seconds = job.payload.get("output_lifetime_seconds")
    if not isinstance(seconds, int) or ended.finished_at is None:
        return made
    expires_at = ended.finished_at + timedelta(seconds=seconds)
    return [replace(asset, expires_at=expires_at) for asset in made]


def _output_id(run: Run, index: int) -> AssetId:
    """Follows from the run and the file's place in its output, so that a repeated attempt makes the same."""
    return AssetId(uuid4_text(hashlib.sha256(f"{run.id}/{index}".encode()).digest()[:16]))


def _output_key(job: Job, run: Run, index: int) -> str:
    return f"assets/{_output_id(run, index)}-{job.attempt}"


def _sound(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, which JSON can spell and no answer holds (RFC 8259 §8.2)."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _found_type(path: Path) -> str | None:
    with path.open("rb") as source:

        def read(start: int, end: int) -> bytes:
            source.seek(start)
            return source.read(end - start)

        return find_type(read(0, SNIFF_BYTES), size=path.stat().st_size, read=read)


def _file_sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
