"""A file at a URL, as `model_original.Origin`, over the guarded fetcher."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from penstock.ports.fetch import Download, SourceRefusedError
from penstock.workflows.model_attempt import OUT_OF_TIME

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.ports.fetch import Answer, Fetcher, Ranges


class UrlOrigin:
    """Every connection follows the URL anew, within what is left of the time, up to the same bound."""

    def __init__(self, url: str, fetcher: Fetcher, *, left: Callable[[], timedelta], max_bytes: int) -> None:
        """`left` says how long it may still take; it is asked by whatever thread connects."""
        self._url = url
        self._fetcher = fetcher
        self._left = left
        self._max_bytes = max_bytes

    def open(self, start: int, etag: str | None, *, watch: Callable[[], None]) -> Answer:
        """Its bytes from `start` on, if it still is the version `etag`; from 0 otherwise. Raises `SourceError`s."""
        return self._fetcher.get(self._download(start, etag, watch))

    def ranges(self, etag: str, size: int, *, watch: Callable[[], None]) -> Ranges:
        """Ranges of that version of the file, which has `size` bytes. Raises `SourceError`s."""
        return self._fetcher.ranges(self._download(0, etag, watch), size=size)

    def _download(self, start: int, etag: str | None, watch: Callable[[], None]) -> Download:
        left = self._left()
        if left <= timedelta(0):  # used up by attempts before: its server is not to be blamed
            raise SourceRefusedError(OUT_OF_TIME, code="source_failed")
        return Download(url=self._url, max_bytes=self._max_bytes, within=left, watch=watch, start=start, etag=etag)
