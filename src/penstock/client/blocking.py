"""The synchronous client: performs effects on a blocking httpx2 client. May be shared between threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar, overload

import httpx2

from penstock.client import flows, sending, steps
from penstock.client.calls import Calls, Reply, Request
from penstock.client.config import configure
from penstock.client.effects import DOWNLOAD_HEADERS, NO_ANSWER, failed, patience, reply_of
from penstock.client.errors import PenstockClientError
from penstock.client.files import Listener, Pieces, Sink, digest_of, open_source
from penstock.client.inputs import open_files
from penstock.client.retries import Retries
from penstock.client.sending import IN_PARTS, InParts, Sending
from penstock.client.version import USER_AGENT

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from penstock.client.files import File, Progress
    from penstock.client.results import (
        Account,
        Asset,
        Event,
        Examination,
        Folder,
        Model,
        ModelReuse,
        ModelSource,
        ModelUpload,
        OutputFile,
        ReceivedPart,
        RegisteredModel,
        Run,
        SignedParts,
        Upload,
    )
    from penstock.client.sending import OnBegin

T = TypeVar("T")
_LOOK_UP_SECONDS = 0.5
"""How long the main thread waits for others before it looks whether it was interrupted."""


class Penstock:
    """A Penstock server, as one account sees it.

        with Penstock() as penstock:
            run = penstock.run("builtin/remove-background", image=Path("cat.jpg"))
            penstock.download(run.files[0], "cat-cut-out.png")

    `url` and `api_key` default to `PENSTOCK_URL` and `PENSTOCK_API_KEY`. `timeout` is in seconds without a sign of life
    from the server; `retries` is how often a request is repeated at most (all that this client sends can be).
    Every method raises errors of `penstock.client.errors`.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._config = configure(url=url, api_key=api_key, timeout=timeout, retries=retries)
        self._calls = Calls(self._config, user_agent=USER_AGENT)
        self._retries = Retries(retries)
        self._http = httpx2.Client(timeout=patience(timeout), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

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
        return self._do(sending.upload(self._calls, self._retries, source, how))

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
        return self._do(steps.perform(call, self._retries))

    def upload(self, upload_id: str) -> Upload:
        """One upload as it stands."""
        return self._do(steps.perform(self._calls.get_upload(upload_id), self._retries))

    def uploads(self, *, page_size: int = 100) -> Iterator[Upload]:
        """Every upload, newest first, without what is needed to send it; fetched page by page."""
        cursor: str | None = None
        while True:
            page = self._do(steps.perform(self._calls.list_uploads(cursor=cursor, limit=page_size), self._retries))
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def sign_parts(self, upload_id: str, part_numbers: Sequence[int]) -> SignedParts:
        """URLs to PUT parts to; the `ETag` of each answer names the part in the completion."""
        return self._do(steps.perform(self._calls.sign_parts(upload_id, part_numbers), self._retries))

    def received_parts(self, upload_id: str) -> tuple[ReceivedPart, ...]:
        """Every part that has arrived, by number."""
        return self._do(sending.received_parts(self._calls, self._retries, upload_id))

    def abort_upload(self, upload_id: str) -> Upload:
        """End an upload, and remove what has arrived of it."""
        return self._do(steps.perform(self._calls.abort_upload(upload_id), self._retries))

    def complete_upload(self, upload_id: str) -> Asset:
        """Make an asset of the bytes that were sent. Repeating it gives the same asset."""
        return self._do(steps.perform(self._calls.complete_upload(upload_id), self._retries))

    def asset(self, asset_id: str) -> Asset:
        """One asset."""
        return self._do(steps.perform(self._calls.get_asset(asset_id), self._retries))

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
            page = self._do(steps.perform(call, self._retries))
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def folders(self, parent_id: str | None = None, *, page_size: int = 100) -> Iterator[Folder]:
        """The folders in a folder, or those at the top, by name; fetched page by page."""
        cursor: str | None = None
        while True:
            call = self._calls.list_folders(parent_id=parent_id, cursor=cursor, limit=page_size)
            page = self._do(steps.perform(call, self._retries))
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def create_folder(self, name: str, *, parent_id: str | None = None) -> Folder:
        """A new folder, at the top or in another."""
        return self._do(steps.perform(self._calls.create_folder(name, parent_id), self._retries))

    @overload
    def download(self, what: Asset | OutputFile | str, path: None = None) -> bytes: ...
    @overload
    def download(self, what: Asset | OutputFile | str, path: str | os.PathLike[str]) -> Path: ...
    def download(self, what: Asset | OutputFile | str, path: str | os.PathLike[str] | None = None) -> bytes | Path:
        """The bytes of an asset, of a file in a run's output or behind a media URL; in memory, or whole in `path`."""
        url, size, sha256 = flows.what_to_download(what)
        target = None if path is None else Path(path)
        content = self._do(flows.download(self._retries, url, Sink(target, size=size, sha256=sha256)))
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
            for event in self._events(run.id, 0, deadline):
                on_event(event)
        return self._do(flows.finish_run(self._calls, self._retries, run.id, deadline))

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
        return self._do(flows.begin_run(self._calls, self._retries, model, inputs, sources, more))

    def get_run(self, run_id: str) -> Run:
        """One run as it stands."""
        return self._do(steps.perform(self._calls.get_run(run_id), self._retries))

    def wait_run(self, run_id: str, *, timeout: float | None = None) -> Run:
        """Wait for the end of a run. Raises `RunFailedError`, or `RunTimeoutError` after `timeout` seconds."""
        return self._do(flows.finish_run(self._calls, self._retries, run_id, flows.Deadline(timeout)))

    def cancel_run(self, run_id: str) -> Run:
        """Ask for the end of a run; one that has finished stays as it is."""
        return self._do(steps.perform(self._calls.cancel_run(run_id), self._retries))

    def events(self, run_id: str, *, after: int = 0) -> Iterator[Event]:
        """A run's events as they happen, each once, up to its end; connects again when the connection breaks."""
        return self._events(run_id, after, flows.Deadline(None))

    # --- registered models

    def create_model_source(self, name: str) -> ModelSource:
        """Make a source the account's own, for good: AIRs begin with it. A repeat is the same."""
        return self._do(steps.perform(self._calls.create_model_source(name), self._retries))

    def model_sources(self) -> tuple[ModelSource, ...]:
        """The account's sources, by name."""
        return self._do(steps.perform(self._calls.list_model_sources(), self._retries)).data

    def examine_model(
        self,
        head: bytes,
        *,
        size_bytes: int | None = None,
        category: str | None = None,
        architecture: str | None = None,
        type: str | None = None,  # noqa: A002 - the field's name
        conditioning: str | None = None,
    ) -> Examination:
        """What a safetensors file is, from its header: the first 8 bytes, and as many more as these say.

        `size_bytes` is that of the whole file. With a `category` also whether it is what is declared.
        """
        declared = {
            "size_bytes": size_bytes,
            "category": category,
            "architecture": architecture,
            "type": type,
            "conditioning": conditioning,
        }
        return self._do(steps.perform(self._calls.examine(head, declared), self._retries))

    def register_model(
        self, air: str, *, url: str | None = None, asset_id: str | None = None, **said: object
    ) -> ModelUpload:
        """Register a model under an AIR, or change the one that is there; its file comes from a URL or an asset.

        `said` are the fields of `POST /v1/models`: `category`, `architecture`, `name`, `version_label` and so on.
        Follow it with `wait_model_upload`.
        """
        body = {"air": air, **({"url": url} if url else {}), **({"asset_id": asset_id} if asset_id else {}), **said}
        return self._do(steps.perform(self._calls.register_model(body), self._retries))

    def wait_model_upload(
        self,
        upload_id: str,
        *,
        timeout: float | None = None,
        on_change: Callable[[ModelUpload], object] | None = None,
    ) -> ModelUpload:
        """Wait until the model can be used. `on_change` sees each phase, and now and then how far it is.

        Raises `ModelUploadFailedError`, or `ModelUploadTimeoutError` after `timeout` seconds.
        """
        deadline = flows.Deadline(timeout)
        return self._do(flows.finish_model_upload(self._calls, self._retries, upload_id, deadline, on_change))

    def registered_models(  # noqa: PLR0913 - what can be asked for
        self,
        *,
        q: str | None = None,
        tags: Sequence[str] = (),
        category: str | None = None,
        architecture: str | None = None,
        source: str | None = None,
        visibility: str = "all",
        page_size: int = 100,
    ) -> Iterator[RegisteredModel]:
        """The account's models and public ones that fit, newest first; fetched page by page.

        `q`: words of name, AIR, tags or description; `visibility`: all, public, private or owned.
        """
        filters = {
            "q": q,
            "tag": list(tags),
            "category": category,
            "architecture": architecture,
            "source": source,
            "visibility": visibility,
        }
        cursor: str | None = None
        while True:
            call = self._calls.list_registered(cursor=cursor, limit=page_size, filters=filters)
            page = self._do(steps.perform(call, self._retries))
            yield from page.data
            cursor = page.next_cursor
            if cursor is None:
                return

    def registered_model(self, air: str) -> RegisteredModel:
        """One's own model or a public one, with its file."""
        return self._do(steps.perform(self._calls.get_registered(air), self._retries))

    def change_model(self, air: str, **said: object) -> RegisteredModel:
        """Change what is said of a model, at once; what is not named stays, None takes back what need not be there."""
        return self._do(steps.perform(self._calls.change_registered(air, said), self._retries))

    def delete_model(self, air: str) -> None:
        """Remove a model; its file goes when nothing else needs it."""
        self._do(steps.perform(self._calls.delete_registered(air), self._retries))

    def download_model(self, air: str, path: str | os.PathLike[str], *, part: str = "original") -> Path:
        """Save a model's weights as they came (`original`) or as they are served (`optimized`), or its `manifest`.

        Their size and SHA-256 are checked.
        """
        target = Path(path)
        self._do(
            flows.download_model(
                self._calls,
                self._retries,
                air,
                part,
                lambda size, sha256: Sink(target, size=size, sha256=sha256),
            )
        )
        return target

    def compare_models(self, air: str, other: str) -> ModelReuse:
        """How many tensors of a model stand in another, too, under whatever name."""
        return self._do(steps.perform(self._calls.compare_models(air, other), self._retries))

    def verify_model(self, air: str) -> None:
        """Read a model's weights back, all of them, and check their sizes and hashes; nothing is kept.

        Raises `DownloadError` when they are not what was registered.
        """
        for part in ("original", "optimized"):
            self._do(
                flows.download_model(
                    self._calls,
                    self._retries,
                    air,
                    part,
                    lambda size, sha256: Listener(size=size, sha256=sha256),
                )
            )

    # --- the rest

    def models(self) -> tuple[Model, ...]:
        """Every model that can be run."""
        return self._do(steps.perform(self._calls.list_models(), self._retries)).data

    def account(self) -> Account:
        """The account behind the key, and its balance."""
        return self._do(steps.perform(self._calls.get_account(), self._retries))

    # --- effects

    def _do(self, flow: steps.Flow[T], stop: threading.Event | None = None) -> T:
        """Go through a flow. Once `stop` is set, by another thread, it ends at the next piece or pause."""
        stop = stop or threading.Event()
        try:
            effect = next(flow)
            while True:
                try:
                    reply = self._perform(effect, stop)
                except NO_ANSWER as error:
                    effect = flow.throw(failed(error))
                except PenstockClientError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(reply)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()

    def _perform(self, effect: steps.Effect, stop: threading.Event) -> Reply:
        match effect:
            case Request():
                return self._ask(effect)
            case steps.Put():
                return self._put(effect, stop)
            case steps.Digest():
                with effect.source.open(effect.offset) as stream:
                    return Reply(body=digest_of(Pieces(stream, effect.size, None), effect.algorithm))
            case steps.Fetch():
                return self._fetch(effect)
            case steps.Together():
                self._go_together(effect)
            case steps.Pause():
                if stop.wait(effect.seconds):
                    raise _StoppedError
        return Reply()

    def _go_together(self, together: steps.Together) -> None:
        flows_left, lock = iter(together.flows), threading.Lock()
        stop = threading.Event()
        failures: list[BaseException] = []

        def work() -> None:
            try:
                while not stop.is_set():
                    with lock:
                        flow = next(flows_left, None)
                    if flow is None:
                        return
                    self._do(flow, stop)
            except BaseException as error:  # noqa: BLE001 - raised again where the flows are awaited
                failures.append(error)
                stop.set()

        workers = [threading.Thread(target=work, daemon=True) for _ in range(together.at_once)]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                while worker.is_alive():  # a Ctrl-C just before a wait without end would be noticed only after it
                    worker.join(_LOOK_UP_SECONDS)
        except BaseException:  # interrupted: not the moment to wait for a server that may be silent
            stop.set()
            raise
        if failures:
            raise failures[0]

    def _ask(self, request: Request) -> Reply:
        return reply_of(
            self._http.request(
                request.method,
                request.url,
                headers=request.headers,
                content=request.body,
                timeout=patience(self._config.timeout + request.wait),
            )
        )

    def _put(self, put: steps.Put, stop: threading.Event) -> Reply:
        with put.source.open(put.offset) as stream:
            pieces = Pieces(stream, put.size, put.on_progress)

            def body() -> Iterator[bytes]:
                while piece := pieces.read():
                    if stop.is_set():
                        raise _StoppedError
                    yield piece
                    pieces.sent()

            return reply_of(self._http.put(put.url, headers=put.headers, content=body()))

    def _fetch(self, fetch: steps.Fetch) -> Reply:
        with self._http.stream("GET", fetch.url, headers=DOWNLOAD_HEADERS, follow_redirects=True) as response:
            if not response.is_success:
                response.read()
                return reply_of(response)
            fetch.sink.begin()
            for piece in response.iter_raw():
                fetch.sink.write(piece)
            return Reply(status=response.status_code)

    def _events(self, run_id: str, after: int, deadline: flows.Deadline) -> Iterator[Event]:
        stream = flows.EventStream(self._calls, self._retries, run_id, after=after, deadline=deadline)
        while not stream.finished:
            request = stream.request()
            silence = patience(stream.silence(self._config.timeout))
            pause = None
            try:
                with self._http.stream("GET", request.url, headers=request.headers, timeout=silence) as response:
                    if response.status_code == flows.NO_MORE_EVENTS:
                        return
                    if not response.is_success:
                        response.read()
                        pause = stream.refused(reply_of(response))
                    else:
                        for message in httpx2.EventSource(response):
                            event = stream.take(message.data)
                            if event is not None:
                                yield event
                            if stream.finished:
                                return
            except NO_ANSWER as error:
                pause = stream.interrupted(failed(error), silent=isinstance(error, httpx2.ReadTimeout))
            time.sleep(stream.interrupted(None) if pause is None else pause)


class _StoppedError(Exception):
    """A part was given up because another failed, or because the whole was interrupted."""
