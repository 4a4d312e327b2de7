"""The asynchronous client: performs effects on an asynchronous httpx2 client, and touches files in threads."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
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
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

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


class AsyncPenstock:
    """`Penstock` for asyncio: the same methods with the same meaning, awaited."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = configure(url=url, api_key=api_key, timeout=timeout, retries=retries)
        self._calls = Calls(self._config, user_agent=USER_AGENT)
        self._retries = Retries(retries)
        self._http = httpx2.AsyncClient(timeout=patience(timeout), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # --- files

    async def upload_file(  # noqa: PLR0913 - options of a public call, named by who needs them
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
        source = await asyncio.to_thread(open_source, file, filename=filename, content_type=content_type)
        how = Sending(
            expires_in=expires_in,
            on_progress=on_progress,
            on_begin=on_begin,
            parts=parts,
            resume=resume,
            instant=instant,
        )
        return await self._do(sending.upload(self._calls, self._retries, source, how))

    async def create_upload(  # noqa: PLR0913 - the fields of an upload
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
        return await self._do(steps.perform(call, self._retries))

    async def upload(self, upload_id: str) -> Upload:
        """One upload as it stands."""
        return await self._do(steps.perform(self._calls.get_upload(upload_id), self._retries))

    async def uploads(self, *, page_size: int = 100) -> AsyncIterator[Upload]:
        """Every upload, newest first, without what is needed to send it; fetched page by page."""
        cursor: str | None = None
        while True:
            page = await self._do(
                steps.perform(self._calls.list_uploads(cursor=cursor, limit=page_size), self._retries)
            )
            for upload in page.data:
                yield upload
            cursor = page.next_cursor
            if cursor is None:
                return

    async def sign_parts(self, upload_id: str, part_numbers: Sequence[int]) -> SignedParts:
        """URLs to PUT parts to; the `ETag` of each answer names the part in the completion."""
        return await self._do(steps.perform(self._calls.sign_parts(upload_id, part_numbers), self._retries))

    async def received_parts(self, upload_id: str) -> tuple[ReceivedPart, ...]:
        """Every part that has arrived, by number."""
        return await self._do(sending.received_parts(self._calls, self._retries, upload_id))

    async def abort_upload(self, upload_id: str) -> Upload:
        """End an upload, and remove what has arrived of it."""
        return await self._do(steps.perform(self._calls.abort_upload(upload_id), self._retries))

    async def complete_upload(self, upload_id: str) -> Asset:
        """Make an asset of the bytes that were sent. Repeating it gives the same asset."""
        return await self._do(steps.perform(self._calls.complete_upload(upload_id), self._retries))

    async def asset(self, asset_id: str) -> Asset:
        """One asset."""
        return await self._do(steps.perform(self._calls.get_asset(asset_id), self._retries))

    async def assets(
        self,
        *,
        q: str | None = None,
        folder_id: str | None = None,
        tags: Sequence[str] = (),
        kind: str | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[Asset]:
        """Assets that fit, newest first; fetched page by page. `q`: words of name and tags; `tags`: all of them.

        The folder `none` is the top.
        """
        filters = {"q": q, "folder_id": folder_id, "tag": list(tags), "kind": kind}
        cursor: str | None = None
        while True:
            call = self._calls.list_assets(cursor=cursor, limit=page_size, filters=filters)
            page = await self._do(steps.perform(call, self._retries))
            for asset in page.data:
                yield asset
            cursor = page.next_cursor
            if cursor is None:
                return

    async def folders(self, parent_id: str | None = None, *, page_size: int = 100) -> AsyncIterator[Folder]:
        """The folders in a folder, or those at the top, by name; fetched page by page."""
        cursor: str | None = None
        while True:
            call = self._calls.list_folders(parent_id=parent_id, cursor=cursor, limit=page_size)
            page = await self._do(steps.perform(call, self._retries))
            for folder in page.data:
                yield folder
            cursor = page.next_cursor
            if cursor is None:
                return

    async def create_folder(self, name: str, *, parent_id: str | None = None) -> Folder:
        """A new folder, at the top or in another."""
        return await self._do(steps.perform(self._calls.create_folder(name, parent_id), self._retries))

    @overload
    async def download(self, what: Asset | OutputFile | str, path: None = None) -> bytes: ...
    @overload
    async def download(self, what: Asset | OutputFile | str, path: str | os.PathLike[str]) -> Path: ...
    async def download(
        self, what: Asset | OutputFile | str, path: str | os.PathLike[str] | None = None
    ) -> bytes | Path:
        """The bytes of an asset, of a file in a run's output or behind a media URL; in memory, or whole in `path`."""
        url, size, sha256 = flows.what_to_download(what)
        target = None if path is None else Path(path)
        content = await self._do(flows.download(self._retries, url, Sink(target, size=size, sha256=sha256)))
        return content if target is None else target

    # --- runs

    async def run(
        self,
        model: str,
        inputs: Mapping[str, object] | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        on_event: Callable[[Event], object] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - ends the waiting, not the run
        **more_inputs: object,
    ) -> Run:
        """Run a model and wait for its result. Raises `RunFailedError`, or `RunTimeoutError` after `timeout` seconds.

        Inputs are JSON values; a `Path`, bytes or an open binary file anywhere among them is uploaded first, and an
        asset or a file of another run stands for itself. `on_event` sees every event as it happens.
        """
        deadline = flows.Deadline(timeout)
        run = await self.create_run(model, {**(inputs or {}), **more_inputs}, metadata=metadata)
        if on_event is not None:
            async with aclosing(self._events(run.id, 0, deadline)) as events:
                async for event in events:
                    on_event(event)
        return await self._do(flows.finish_run(self._calls, self._retries, run.id, deadline))

    async def create_run(
        self,
        model: str,
        inputs: Mapping[str, object],
        *,
        metadata: Mapping[str, str] | None = None,
        callback_url: str | None = None,
    ) -> Run:
        """Queue a run, its files uploaded, without waiting for it; `callback_url` is told of its end."""
        more = {"metadata": dict(metadata) if metadata else None, "callback_url": callback_url}
        sources = await asyncio.to_thread(open_files, inputs)
        return await self._do(flows.begin_run(self._calls, self._retries, model, inputs, sources, more))

    async def get_run(self, run_id: str) -> Run:
        """One run as it stands."""
        return await self._do(steps.perform(self._calls.get_run(run_id), self._retries))

    async def wait_run(
        self,
        run_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as for `run`
    ) -> Run:
        """Wait for the end of a run. Raises `RunFailedError`, or `RunTimeoutError` after `timeout` seconds."""
        return await self._do(flows.finish_run(self._calls, self._retries, run_id, flows.Deadline(timeout)))

    async def cancel_run(self, run_id: str) -> Run:
        """Ask for the end of a run; one that has finished stays as it is."""
        return await self._do(steps.perform(self._calls.cancel_run(run_id), self._retries))

    def events(self, run_id: str, *, after: int = 0) -> AsyncIterator[Event]:
        """A run's events as they happen, each once, up to its end; connects again when the connection breaks."""
        return self._events(run_id, after, flows.Deadline(None))

    # --- registered models

    async def create_model_source(self, name: str) -> ModelSource:
        """Make a source the account's own, for good: AIRs begin with it. A repeat is the same."""
        return await self._do(steps.perform(self._calls.create_model_source(name), self._retries))

    async def model_sources(self) -> tuple[ModelSource, ...]:
        """The account's sources, by name."""
        return (await self._do(steps.perform(self._calls.list_model_sources(), self._retries))).data

    async def examine_model(
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
        return await self._do(steps.perform(self._calls.examine(head, declared), self._retries))

    async def register_model(
        self, air: str, *, url: str | None = None, asset_id: str | None = None, **said: object
    ) -> ModelUpload:
        """Register a model under an AIR, or change the one that is there; its file comes from a URL or an asset.

        `said` are the fields of `POST /v1/models`: `category`, `architecture`, `name`, `version_label` and so on.
        Follow it with `wait_model_upload`.
        """
        body = {"air": air, **({"url": url} if url else {}), **({"asset_id": asset_id} if asset_id else {}), **said}
        return await self._do(steps.perform(self._calls.register_model(body), self._retries))

    async def wait_model_upload(
        self,
        upload_id: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as for `run`
        on_change: Callable[[ModelUpload], object] | None = None,
    ) -> ModelUpload:
        """Wait until the model can be used. `on_change` sees each phase, and now and then how far it is.

        Raises `ModelUploadFailedError`, or `ModelUploadTimeoutError` after `timeout` seconds.
        """
        deadline = flows.Deadline(timeout)
        return await self._do(flows.finish_model_upload(self._calls, self._retries, upload_id, deadline, on_change))

    async def registered_models(  # noqa: PLR0913 - what can be asked for
        self,
        *,
        q: str | None = None,
        tags: Sequence[str] = (),
        category: str | None = None,
        architecture: str | None = None,
        source: str | None = None,
        visibility: str = "all",
        page_size: int = 100,
    ) -> AsyncIterator[RegisteredModel]:
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
            page = await self._do(steps.perform(call, self._retries))
            for model in page.data:
                yield model
            cursor = page.next_cursor
            if cursor is None:
                return

    async def registered_model(self, air: str) -> RegisteredModel:
        """One's own model or a public one, with its file."""
        return await self._do(steps.perform(self._calls.get_registered(air), self._retries))

    async def change_model(self, air: str, **said: object) -> RegisteredModel:
        """Change what is said of a model, at once; what is not named stays, None takes back what need not be there."""
        return await self._do(steps.perform(self._calls.change_registered(air, said), self._retries))

    async def delete_model(self, air: str) -> None:
        """Remove a model; its file goes when nothing else needs it."""
        await self._do(steps.perform(self._calls.delete_registered(air), self._retries))

    async def download_model(self, air: str, path: str | os.PathLike[str], *, part: str = "original") -> Path:
        """Save a model's weights as they came (`original`) or as they are served (`optimized`), or its `manifest`.

        Their size and SHA-256 are checked.
        """
        target = Path(path)
        await self._do(
            flows.download_model(
                self._calls,
                self._retries,
                air,
                part,
                lambda size, sha256: Sink(target, size=size, sha256=sha256),
            )
        )
        return target

    async def compare_models(self, air: str, other: str) -> ModelReuse:
        """How many tensors of a model stand in another, too, under whatever name."""
        return await self._do(steps.perform(self._calls.compare_models(air, other), self._retries))

    async def verify_model(self, air: str) -> None:
        """Read a model's weights back, all of them, and check their sizes and hashes; nothing is kept.

        Raises `DownloadError` when they are not what was registered.
        """
        for part in ("original", "optimized"):
            await self._do(
                flows.download_model(
                    self._calls,
                    self._retries,
                    air,
                    part,
                    lambda size, sha256: Listener(size=size, sha256=sha256),
                )
            )

    # --- the rest

    async def models(self) -> tuple[Model, ...]:
        """Every model that can be run."""
        return (await self._do(steps.perform(self._calls.list_models(), self._retries))).data

    async def account(self) -> Account:
        """The account behind the key, and its balance."""
        return await self._do(steps.perform(self._calls.get_account(), self._retries))

    # --- effects

    async def _do(self, flow: steps.Flow[T]) -> T:
        try:
            effect = next(flow)
            while True:
                try:
                    reply = await self._perform(effect)
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

    async def _perform(self, effect: steps.Effect) -> Reply:
        match effect:
            case Request():
                return await self._ask(effect)
            case steps.Put():
                return await self._put(effect)
            case steps.Digest():
                with effect.source.open(effect.offset) as stream:
                    return Reply(
                        body=await asyncio.to_thread(digest_of, Pieces(stream, effect.size, None), effect.algorithm)
                    )
            case steps.Fetch():
                return await self._fetch(effect)
            case steps.Together():
                await self._go_together(effect)
            case steps.Pause():
                await asyncio.sleep(effect.seconds)
        return Reply()

    async def _go_together(self, together: steps.Together) -> None:
        flows_left = iter(together.flows)

        async def work() -> None:
            for flow in flows_left:
                await self._do(flow)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(together.at_once):
                    group.create_task(work())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask(self, request: Request) -> Reply:
        return reply_of(
            await self._http.request(
                request.method,
                request.url,
                headers=request.headers,
                content=request.body,
                timeout=patience(self._config.timeout + request.wait),
            )
        )

    async def _put(self, put: steps.Put) -> Reply:
        with put.source.open(put.offset) as stream:
            pieces = Pieces(stream, put.size, put.on_progress)

            async def body() -> AsyncIterator[bytes]:
                while piece := await asyncio.to_thread(pieces.read):
                    yield piece
                    pieces.sent()

            return reply_of(await self._http.put(put.url, headers=put.headers, content=body()))

    async def _fetch(self, fetch: steps.Fetch) -> Reply:
        async with self._http.stream("GET", fetch.url, headers=DOWNLOAD_HEADERS, follow_redirects=True) as response:
            if not response.is_success:
                await response.aread()
                return reply_of(response)
            await asyncio.to_thread(fetch.sink.begin)
            async for piece in response.aiter_raw():
                await asyncio.to_thread(fetch.sink.write, piece)
            return Reply(status=response.status_code)

    async def _events(self, run_id: str, after: int, deadline: flows.Deadline) -> AsyncGenerator[Event]:
        stream = flows.EventStream(self._calls, self._retries, run_id, after=after, deadline=deadline)
        while not stream.finished:
            request = stream.request()
            silence = patience(stream.silence(self._config.timeout))
            pause = None
            try:
                async with self._http.stream("GET", request.url, headers=request.headers, timeout=silence) as response:
                    if response.status_code == flows.NO_MORE_EVENTS:
                        return
                    if not response.is_success:
                        await response.aread()
                        pause = stream.refused(reply_of(response))
                    else:
                        async for message in httpx2.EventSource(response):
                            event = stream.take(message.data)
                            if event is not None:
                                yield event
                            if stream.finished:
                                return
            except NO_ANSWER as error:
                pause = stream.interrupted(failed(error), silent=isinstance(error, httpx2.ReadTimeout))
            await asyncio.sleep(stream.interrupted(None) if pause is None else pause)
