"""How a model's file goes from here into the registry: hashed, sent as far as it is not there yet, registered, awaited.

The server is the journal. The file goes up under a name that is its SHA-256, so whoever pushes the same bytes again,
from any machine, finds what has arrived of them, and never takes another version of the file for it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from penstock.client.errors import (
    ConflictError,
    InvalidRequestError,
    ModelUploadFailedError,
    NotFoundError,
    PenstockClientError,
    UploadError,
)
from penstock.client.flows import Deadline, finish_model_upload
from penstock.client.results import ModelUpload
from penstock.client.sending import IN_PARTS, InParts, Sending, sha256_of, upload
from penstock.client.steps import perform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.client.calls import Call, Calls
    from penstock.client.files import Progress, Source
    from penstock.client.results import Asset, Page, RegisteredModel, Upload
    from penstock.client.retries import Retries
    from penstock.client.steps import Flow

T = TypeVar("T")
OnStep: TypeAlias = Callable[[str, int, int], None]
OnChange: TypeAlias = Callable[[ModelUpload], object]
_KEPT_SECONDS = 24 * 3600
"""How long the asset stays that the file is at first; the model has bytes of its own."""
_PAGE = 100
_LOOK_BACK = 20
"""So many pages are looked at, newest first: what is older than a day is of no use."""
_WAITING = "pending"
_NEEDS_FILE = ("#/url", "missing")
"""The only thing that is wrong with a registration when it brings no file and needs one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushing:
    """How to push, and who hears of it.

    `on_step(step, done, total)`, in bytes: `hash` reads the file, `compare` what has arrived of it already, and `send`
    begins with how much of it is not sent again. `kept`: the model has it. `on_change` sees the registration, after a
    `follow` at first one that was going on.
    """

    on_step: OnStep | None = None
    on_change: OnChange | None = None
    parts: InParts = IN_PARTS

    def step(self, name: str) -> Progress | None:
        """Tells of one step."""
        tell = self.on_step
        return None if tell is None else lambda done, total: tell(name, done, total)

    def tell(self, name: str, done: int, total: int) -> None:
        """Tells of one step, once."""
        if self.on_step is not None:
            self.on_step(name, done, total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One file on its way under an AIR, with what is said of it; `timeout` seconds for each registration."""

    calls: Calls
    retries: Retries
    source: Source
    air: str
    said: Mapping[str, object]
    how: Pushing
    timeout: float | None = None

    def go(self) -> Flow[RegisteredModel]:
        """Send what is missing, register it, wait for the end.

        Raises `UploadError` when somebody writes to the file meanwhile, and what `finish_model_upload` raises.
        """
        try:
            check = _check_of(self.source)
            sha256 = yield from sha256_of(self.source, self.how.step("hash"))
            check()
            body = {"air": self.air, "unique_identifier": sha256, **self.said}
            yield from self._follow(body["unique_identifier"])
            begun = yield from self._registered_without_file(body)
            if begun is None:
                asset = yield from self._asset(sha256, check)
                begun = yield from perform(self.calls.register_model({**body, "asset_id": asset.id}), self.retries)
        finally:
            self.source.close()
        yield from self._wait(begun)
        model = yield from perform(self.calls.get_registered(self.air), self.retries)
        if model.unique_identifier == sha256 and model.file is not None and model.file.original.sha256 != sha256:
            raise UploadError(
                f"{self.air} has other bytes than the file: their SHA-256 is {model.file.original.sha256}"
            )
        return model

    def _wait(self, begun: ModelUpload) -> Flow[ModelUpload]:
        deadline = Deadline(self.timeout)
        return finish_model_upload(self.calls, self.retries, begun.id, deadline, self.how.on_change)

    def _follow(self, identifier: object) -> Flow[None]:
        """Wait for the end of the newest registration under the AIR, if it is going on and brings that content.

        Should it fail, what is said now may fare better.
        """
        newest = yield from _first(
            lambda cursor: self.calls.list_model_uploads(cursor=cursor, limit=_PAGE),
            self.retries,
            lambda one: one.air == self.air.lower(),
        )
        if newest is None or newest.finished or newest.unique_identifier != identifier:
            return
        self.how.tell("follow", newest.received_bytes, newest.size_bytes or 0)
        with suppress(ModelUploadFailedError):
            yield from self._wait(newest)

    def _registered_without_file(self, body: Mapping[str, object]) -> Flow[ModelUpload | None]:
        """What begins where the model has the file; None where it is needed.

        Whatever else is wrong with what is said is refused here, before anything is sent.
        """
        try:
            begun = yield from perform(self.calls.register_model(body), self.retries)
        except InvalidRequestError as error:
            if [(field.pointer, field.code) for field in error.errors] != [_NEEDS_FILE]:
                raise
            return None
        self.how.tell("kept", self.source.size, self.source.size)
        return begun

    def _asset(self, sha256: str, check: Callable[[], None]) -> Flow[Asset]:
        """The file as an asset: what is there of it is not sent again."""
        named = replace(
            self.source,
            filename=f"{sha256}.safetensors",
            content_type="application/octet-stream",
            close=lambda: None,  # it may be read once more
        )
        sending = Sending(
            expires_in=_KEPT_SECONDS,
            on_progress=self.how.step("send"),
            on_compare=self.how.step("compare"),
            check=check,
            parts=self.how.parts,
        )
        before = yield from self._begun(named)
        if before is None:
            return (yield from upload(self.calls, self.retries, named, sending))
        there = yield from self._asset_of(before)
        if there is not None:
            self.how.tell("send", named.size, named.size)
            return there
        if before.state == _WAITING:
            try:
                return (yield from upload(self.calls, self.retries, named, replace(sending, resume=before.id)))
            except PenstockClientError as error:
                there = yield from self._asset_of(before)  # somebody else may have sent the rest
                if there is not None:
                    return there
                if not _is_over(error):
                    raise
        return (yield from upload(self.calls, self.retries, named, sending))

    def _begun(self, named: Source) -> Flow[Upload | None]:
        """The newest upload of these bytes that can be used, or gone on with."""

        def fits(one: Upload) -> bool:
            usable = one.asset_id is not None or (one.state, one.method) == (_WAITING, "multipart")
            return usable and (one.filename, one.size_bytes) == (named.filename, named.size)

        return _first(lambda cursor: self.calls.list_uploads(cursor=cursor, limit=_PAGE), self.retries, fits)

    def _asset_of(self, begun: Upload) -> Flow[Asset | None]:
        """What an upload has become by now, if that is still there."""
        with suppress(NotFoundError):
            now = yield from perform(self.calls.get_upload(begun.id), self.retries)
            if now.asset_id is not None:
                return (yield from perform(self.calls.get_asset(now.asset_id), self.retries))
        return None


def _check_of(source: Source) -> Callable[[], None]:
    """Raises `UploadError` once the file is no longer the one it is now."""
    before = source.stamp()

    def check() -> None:
        if source.stamp() != before:
            raise UploadError(f"{source.filename} was written to while it was sent; push it again when it is done")

    return check


def _is_over(error: PenstockClientError) -> bool:
    """Whether an upload cannot be gone on with: its day is over, or somebody has given it up."""
    return isinstance(error, ConflictError | NotFoundError) or getattr(error, "code", "") == "NoSuchUpload"


def _first(
    page_at: Callable[[str | None], Call[Page[T]]], retries: Retries, fits: Callable[[T], bool]
) -> Flow[T | None]:
    """The first thing of a listing that fits, as far as it is looked at."""
    cursor: str | None = None
    for _ in range(_LOOK_BACK):
        page = yield from perform(page_at(cursor), retries)
        for one in page.data:
            if fits(one):
                return one
        cursor = page.next_cursor
        if cursor is None:
            break
    return None
