"""The synchronous client. May be shared between threads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from penstock.client import flows, sending, steps
from penstock.client.blocking_effects import Effects
from penstock.client.blocking_models import ModelVerbs
from penstock.client.calls import Calls
from penstock.client.config import configure
from penstock.client.files import Sink, open_source
from penstock.client.inputs import open_files
from penstock.client.retries import Retries
from penstock.client.sending import IN_PARTS, InParts, Sending
from penstock.client.version import USER_AGENT

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import httpx2

    from penstock.client.errors import PenstockClientError
    from penstock.client.files import File, Progress
    from penstock.client.results import (
        Account,
        Asset,
        Event,
        Folder,
        Model,
        OutputFile,
        ReceivedPart,
        Run,
        SignedParts,
        Upload,
    )
    from penstock.client.sending import OnBegin


class Penstock(ModelVerbs):
    """A Penstock server, as one account sees it.

        with Penstock() as penstock:
            run = penstock.run("builtin/remove-background", image=Path("cat.jpg"))
            penstock.download(run.files[0], "cat-cut-out.png")

    `url` and `api_key` default to `PENSTOCK_URL` and `PENSTOCK_API_KEY`. `timeout` is in seconds without a sign of life
    from the server; `retries` is how often a request is repeated at most (all that this client sends can be), and
    `on_retry(error, seconds)` hears of each failure that is not the last word, also from several threads.
    Every method raises errors of `penstock.client.errors`.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        on_retry: Callable[[PenstockClientError, float], object] | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._config = configure(url=url, api_key=api_key, timeout=timeout, retries=retries)
        self._calls = Calls(self._config, user_agent=USER_AGENT)
        self._retries = Retries(retries, on_retry=on_retry)
        self._effects = Effects(timeout, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._effects.close()

    # --- files

    def upload_file(  # noqa: PLR0913 - options of a public call, named by who needs them
        self,
        file: File,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        expires_in: int | None = None,
        on_progress: Progress | None = None,
        on_begin: OnBegin | None = None,
        parts: InParts = IN_PARTS,
        resume: str | None = None,
        instant: bool = False,
    ) -> Asset:
        """Upload a path, bytes or an open binary file. `expires_in`: seconds to keep the asset; None: until deleted.

        Large files go up in `parts`; `resume` is the id of such an upload, to send only what is missing of it (also on
        another machine), and `on_begin(upload)` tells it. `on_progress(sent, total)` gets bytes, one call at a time;
        what is sent again is taken off first. Memory use does not grow with the file.

        `instant` reads the file once more to tell its SHA-256 first: if the account holds these bytes, nothing is sent.
        """
        source = open_source(file, filename=filename, content_type=content_type)
        how = Sending(
            expires_in=expires_in,
            on_progress=on_progress,
            on_begin=on_begin,
            parts=parts,
            resume=resume,
            instant=instant,
        )
        return self._effects.do(sending.upload(self._calls, self._retries, source, how))

    def create_upload(  # noqa: PLR0913 - the fields of an upload
        self,
        *,
        filename: str,
        content_type: str,
        method: str = "put",
        size_bytes: int | None = None,
        part_size: int | None = None,
        expires_in: int | None = None,
        sha256: str | None = None,
    ) -> Upload:
        """Begin an upload that somebody else sends, by `put`, `form` or `multipart`; then `complete_upload`.

        A PUT goes to `upload_url` with `headers`; a form is POSTed as `form` says; parts are PUT to what `sign_parts`
        answers, each of `part_size` bytes but the last. Bytes that do not have the `sha256` (hex) are refused; when the
        account holds those that do, the upload is `ready` and has its asset.
        """
        call = self._calls.create_upload(
            filename=filename,
            content_type=content_type,
            method=method,
            size_bytes=size_bytes,
            part_size=part_size,
            expires_in=expires_in,
            sha256=sha256,
        )
        return self._effects.do(steps.perform(call, self._retries))

    def upload(self, upload_id: str) -> Upload:
        """One upload as it stands."""
        return self._effects.do(steps.perform(self._calls.get_upload(upload_id), self._retries))

    def uploads(self, *, page_size: int = 100) -> Iterator[Upload]:
        """Every upload, newest first, without what is needed to send it; fetched page by page."""
        cursor: str | None = None
        while True:
            page = self._effects.do(
                steps.perform(self._calls.list_uploads(cursor=cursor, limit=page_size), self._retries)
            )
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def sign_parts(self, upload_id: str, part_numbers: Sequence[int]) -> SignedParts:
        """URLs to PUT parts to; the `ETag` of each answer names the part in the completion."""
        return self._effects.do(steps.perform(self._calls.sign_parts(upload_id, part_numbers), self._retries))

    def received_parts(self, upload_id: str) -> tuple[ReceivedPart, ...]:
        """Every part that has arrived, by number."""
        return self._effects.do(sending.received_parts(self._calls, self._retries, upload_id))

    def abort_upload(self, upload_id: str) -> Upload:
        """End an upload, and remove what has arrived of it."""
        return self._effects.do(steps.perform(self._calls.abort_upload(upload_id), self._retries))

    def complete_upload(self, upload_id: str) -> Asset:
        """Make an asset of the bytes that were sent. Repeating it gives the same asset."""
        return self._effects.do(steps.perform(self._calls.complete_upload(upload_id), self._retries))

    def asset(self, asset_id: str) -> Asset:
        """One asset."""
        return self._effects.do(steps.perform(self._calls.get_asset(asset_id), self._retries))

    def assets(
        self,
        *,
        q: str | None = None,
        folder_id: str | None = None,
        tags: Sequence[str] = (),
        kind: str | None = None,
        page_size: int = 100,
    ) -> Iterator[Asset]:
        """Assets that fit, newest first; fetched page by page. `q`: words of name and tags; `tags`: all of them.

        The folder `none` is the top.
        """
        filters = {"q": q, "folder_id": folder_id, "tag": list(tags), "kind": kind}
        cursor: str | None = None
        while True:
            call = self._calls.list_assets(cursor=cursor, limit=page_size, filters=filters)
            page = self._effects.do(steps.perform(call, self._retries))
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def folders(self, parent_id: str | None = None, *, page_size: int = 100) -> Iterator[Folder]:
        """The folders in a folder, or those at the top, by name; fetched page by page."""
        cursor: str | None = None
        while True:
            call = self._calls.list_folders(parent_id=parent_id, cursor=cursor, limit=page_size)
            page = self._effects.do(steps.perform(call, self._retries))
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def create_folder(self, name: str, *, parent_id: str | None = None) -> Folder:
        """A new folder, at the top or in another."""
        return self._effects.do(steps.perform(self._calls.create_folder(name, parent_id), self._retries))

    @overload
    def download(self, what: Asset | OutputFile | str, path: None = None) -> bytes: ...
    @overload
    def download(self, what: Asset | OutputFile | str, path: str | os.PathLike[str]) -> Path: ...
    def download(self, what: Asset | OutputFile | str, path: str | os.PathLike[str] | None = None) -> bytes | Path:
        """The bytes of an asset, of a file in a run's output or behind a media URL; in memory, or whole in `path`."""
        url, size, sha256 = flows.what_to_download(what)
        target = None if path is None else Path(path)
        content = self._effects.do(flows.download(self._retries, url, Sink(target, size=size, sha256=sha256)))
        return content if target is None else target

    # --- runs

    def run(
        self,
        model: str,
        inputs: Mapping[str, object] | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        on_event: Callable[[Event], object] | None = None,
        timeout: float | None = None,
        **more_inputs: object,
    ) -> Run:
        """Run a model and wait for its result. Raises `RunFailedError`, or `RunTimeoutError` after `timeout` seconds.

        Inputs are JSON values; a `Path`, bytes or an open binary file anywhere among them is uploaded first, and an
        asset or a file of another run stands for itself. `on_event` sees every event as it happens.
        """
        deadline = flows.Deadline(timeout)
        run = self.create_run(model, {**(inputs or {}), **more_inputs}, metadata=metadata)
        if on_event is not None:
            for event in self._effects.events(self._stream(run.id, 0, deadline)):
                on_event(event)
        return self._effects.do(flows.finish_run(self._calls, self._retries, run.id, deadline))

    def create_run(
        self,
        model: str,
        inputs: Mapping[str, object],
        *,
        metadata: Mapping[str, str] | None = None,
        callback_url: str | None = None,
    ) -> Run:
        """Queue a run, its files uploaded, without waiting for it; `callback_url` is told of its end."""
        more = {"metadata": dict(metadata) if metadata else None, "callback_url": callback_url}
        sources = open_files(inputs)
        return self._effects.do(flows.begin_run(self._calls, self._retries, model, inputs, sources, more))

    def get_run(self, run_id: str) -> Run:
        """One run as it stands."""
        return self._effects.do(steps.perform(self._calls.get_run(run_id), self._retries))

    def wait_run(self, run_id: str, *, timeout: float | None = None) -> Run:
        """Wait for the end of a run. Raises `RunFailedError`, or `RunTimeoutError` after `timeout` seconds."""
        return self._effects.do(flows.finish_run(self._calls, self._retries, run_id, flows.Deadline(timeout)))

    def cancel_run(self, run_id: str) -> Run:
        """Ask for the end of a run; one that has finished stays as it is."""
        return self._effects.do(steps.perform(self._calls.cancel_run(run_id), self._retries))

    def events(self, run_id: str, *, after: int = 0) -> Iterator[Event]:
        """A run's events as they happen, each once, up to its end; connects again when the connection breaks."""
        return self._effects.events(self._stream(run_id, after, flows.Deadline(None)))

    # --- the rest

    def models(self) -> tuple[Model, ...]:
        """Every model that can be run."""
        return self._effects.do(steps.perform(self._calls.list_models(), self._retries)).data

    def account(self) -> Account:
        """The account behind the key, and its balance."""
        return self._effects.do(steps.perform(self._calls.get_account(), self._retries))

    def _stream(self, run_id: str, after: int, deadline: flows.Deadline) -> flows.EventStream:
        return flows.EventStream(self._calls, self._retries, run_id, after=after, deadline=deadline)
