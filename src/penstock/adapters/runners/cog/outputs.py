"""What a prediction made: files, sent as data URLs or named by URLs, become files of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from penstock.domain.errors import ReferenceInvalid, RunnerFailed
from penstock.domain.media_types import MEDIA_TYPES, OCTET_STREAM, essence
from penstock.domain.references import parse_data_uri
from penstock.ports.fetch import Download, SourceFailedError, SourceRefusedError
from penstock.ports.runners import OutputFile, RunCancelledError, RunImpossibleError

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from penstock.ports.fetch import Fetcher
    from penstock.ports.runners import JsonLike, RunContext

_TRIES = 3
_MOST_FILES = 1000
_TYPES = {extension: one.name for one in reversed(tuple(MEDIA_TYPES.values())) for extension in one.extensions}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputLimits:
    """How much is fetched of one file, and for how long."""

    max_bytes: int
    within: timedelta


class Outputs:
    """Turns one prediction's output into a run's. `has_urls`: strings that are URLs name files."""

    def __init__(self, context: RunContext, fetcher: Fetcher, limits: OutputLimits, *, has_urls: bool) -> None:
        self._context = context
        self._fetcher = fetcher
        self._limits = limits
        self._has_urls = has_urls
        self._count = 0

    def convert(self, value: object) -> JsonLike:
        """The value with every file brought here. Raises `RunnerFailed`, `RunImpossibleError`, `RunCancelledError`."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {str(name): self.convert(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.convert(item) for item in value]
        return value

    def _text(self, value: str) -> JsonLike:
        if value[:5].lower() == "data:":
            return self._decoded(value)
        if self._has_urls and value[:8].lower().startswith(("http://", "https://")):
            return self._fetched(value)
        return value

    def _decoded(self, value: str) -> JsonLike:
        try:
            inline = parse_data_uri(value)
        except ReferenceInvalid:
            inline = None
        if inline is None:
            return value  # a text that happens to begin so
        known = MEDIA_TYPES.get(essence(inline.content_type))
        extension = f".{known.extensions[0]}" if known and known.extensions else ""
        path = self._place()
        path.write_bytes(inline.data)
        return OutputFile(path=path, name=f"output-{self._count}{extension}", content_type=inline.content_type)

    def _fetched(self, url: str) -> OutputFile:
        path = self._place()
        for left in reversed(range(_TRIES)):
            try:
                self._fetch(url, path)
                break
            except SourceRefusedError as error:
                raise RunnerFailed(f"a file that the model made could not be fetched: {error.reason}") from error
            except SourceFailedError as error:
                if not left:
                    msg = f"a file that the model made could not be fetched: {error.reason}"
                    raise RunImpossibleError(msg) from error
        name = PurePosixPath(unquote(urlsplit(url).path)).name or f"output-{self._count}"
        content_type = _TYPES.get(name.rpartition(".")[2].lower(), OCTET_STREAM)
        return OutputFile(path=path, name=name, content_type=content_type)

    def _fetch(self, url: str, path: Path) -> None:
        download = Download(
            url=url, max_bytes=self._limits.max_bytes, within=self._limits.within, watch=self._stop_if_cancelled
        )
        with self._fetcher.get(download) as answer, path.open("wb") as file:
            for block in answer.blocks():
                file.write(block)

    def _place(self) -> Path:
        self._count += 1
        if self._count > _MOST_FILES:
            raise RunnerFailed(f"the model made more than {_MOST_FILES} files")
        return self._context.workdir / f"output-{self._count}"

    def _stop_if_cancelled(self) -> None:
        if self._context.cancelled():
            raise RunCancelledError
