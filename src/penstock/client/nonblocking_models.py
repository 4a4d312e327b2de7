"""What the asynchronous client does with registered models and their sources."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.client import flows, steps
from penstock.client.files import Sink, open_source
from penstock.client.pushing import Push, Pushing
from penstock.client.sending import IN_PARTS, InParts

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Sequence

    from penstock.client.calls import Calls
    from penstock.client.files import File
    from penstock.client.nonblocking_effects import AsyncEffects
    from penstock.client.pushing import OnChange, OnStep
    from penstock.client.results import Examination, ModelReuse, ModelSource, ModelUpload, RegisteredModel
    from penstock.client.retries import Retries


class AsyncModelVerbs:
    """A part of `AsyncPenstock`, which sets the attributes."""

    _calls: Calls
    _effects: AsyncEffects
    _retries: Retries

    async def create_model_source(self, name: str) -> ModelSource:
        """Make a source the account's own, for good: AIRs begin with it. A repeat is the same."""
        return await self._effects.do(steps.perform(self._calls.create_model_source(name), self._retries))

    async def model_sources(self) -> tuple[ModelSource, ...]:
        """The account's sources, by name."""
        return (await self._effects.do(steps.perform(self._calls.list_model_sources(), self._retries))).data

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
        return await self._effects.do(steps.perform(self._calls.examine(head, declared), self._retries))

    async def register_model(
        self, air: str, *, url: str | None = None, asset_id: str | None = None, **said: object
    ) -> ModelUpload:
        """Register a model under an AIR, or change the one that is there; its file comes from a URL or an asset.

        `said` are the fields of `POST /v1/models`: `category`, `architecture`, `name`, `version_label` and so on.
        Follow it with `wait_model_upload`.
        """
        body = {"air": air, **({"url": url} if url else {}), **({"asset_id": asset_id} if asset_id else {}), **said}
        return await self._effects.do(steps.perform(self._calls.register_model(body), self._retries))

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
        return await self._effects.do(
            flows.finish_model_upload(self._calls, self._retries, upload_id, deadline, on_change)
        )

    async def push_model(
        self,
        file: File,
        air: str,
        *,
        parts: InParts = IN_PARTS,
        on_step: OnStep | None = None,
        on_change: OnChange | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as for `run`
        **said: object,
    ) -> RegisteredModel:
        """Register a file here under an AIR, and wait until the model can be used; `said` as for `register_model`.

        The file is hashed first. What has arrived of it before is not sent again, whoever sent it from whatever
        machine, and a registration of it that is going on is followed: so what was interrupted goes on when it is
        called again, within a day. `on_step(step, done, total)` tells how far it is, in bytes: `hash`, `follow`,
        `kept` (the model has this file), `compare`, `send`; `on_change` as for `wait_model_upload`, which says what is
        raised; and `UploadError` when the file is written to meanwhile. `timeout` is for the server's work.
        """
        source = await asyncio.to_thread(open_source, file)
        how = Pushing(on_step=on_step, on_change=on_change, parts=parts)
        push = Push(
            calls=self._calls, retries=self._retries, source=source, air=air, said=said, how=how, timeout=timeout
        )
        return await self._effects.do(push.go())

    async def model_uploads(self, *, page_size: int = 100) -> AsyncIterator[ModelUpload]:
        """What became of registrations, newest first; fetched page by page."""
        cursor: str | None = None
        while True:
            call = self._calls.list_model_uploads(cursor=cursor, limit=page_size)
            page = await self._effects.do(steps.perform(call, self._retries))
            for upload in page.data:
                yield upload
            cursor = page.next_cursor
            if cursor is None:
                return

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
            page = await self._effects.do(steps.perform(call, self._retries))
            for model in page.data:
                yield model
            cursor = page.next_cursor
            if cursor is None:
                return

    async def registered_model(self, air: str) -> RegisteredModel:
        """One's own model or a public one, with its file."""
        return await self._effects.do(steps.perform(self._calls.get_registered(air), self._retries))

    async def change_model(self, air: str, **said: object) -> RegisteredModel:
        """Change what is said of a model, at once; what is not named stays, None takes back what need not be there."""
        return await self._effects.do(steps.perform(self._calls.change_registered(air, said), self._retries))

    async def delete_model(self, air: str) -> None:
        """Remove a model; its file goes when nothing else needs it."""
        await self._effects.do(steps.perform(self._calls.delete_registered(air), self._retries))

    async def download_model(self, air: str, path: str | os.PathLike[str], *, part: str = "original") -> Path:
        """Save a model's weights as they came (`original`) or as they are served (`optimized`), or its `manifest`.

        Their size and SHA-256 are checked.
        """
        target = Path(path)
        await self._effects.do(
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
        return await self._effects.do(steps.perform(self._calls.compare_models(air, other), self._retries))

    async def verify_model(self, air: str, *, on_step: OnStep | None = None) -> None:
        """Read a model's weights back, all of them, and check their sizes and hashes; nothing is kept.

        `on_step(part, done, total)` tells how far it is, in bytes, with the `original` and, where it is another file,
        with the `optimized`. Raises `DownloadError`, which names each that is not what was registered.
        """
        await self._effects.do(flows.verify_model(self._calls, self._retries, air, on_step))
