"""How a file goes up: create, send, complete. Small ones in one piece, large ones in parts over several connections."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from penstock.client.calls import Part, Reply, api_error, store_error, succeeded
from penstock.client.errors import ConnectionFailedError, PenstockApiError, PenstockClientError, UploadError
from penstock.client.results import Upload
from penstock.client.steps import Digest, Flow, Pause, Put, Together, perform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from penstock.client.calls import Calls
    from penstock.client.files import Progress, Source
    from penstock.client.results import Asset, ReceivedPart
    from penstock.client.retries import Retries

OnBegin: TypeAlias = Callable[[Upload], object]
_SIGNED_AT_ONCE = 64
"""Part URLs per question: few enough to be used before they expire, enough to keep the questions rare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InParts:
    """Which files go up in parts, and how. Sizes in bytes.

    A file of `at_least` so many bytes does, over so many `connections`; the server chooses the `part_size` unless it is
    given. After a failure the parts that arrived stay for a resumption, unless `abort_on_failure`.
    """

    at_least: int = 64 * 2**20
    part_size: int | None = None
    connections: int = 4
    abort_on_failure: bool = False


IN_PARTS = InParts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How to send one file. `resume` is the id of an upload in parts to go on with; `on_begin` hears of the upload.

    `instant` hashes the file first: bytes that the account holds are not sent, all others are held to that hash. What a
    resumption compares is told to `on_compare`, if there is one, and only then what is sent to `on_progress`. `check`
    is called now and then, at the end too, and ends it by what it raises.
    """

    expires_in: int | None = None
    on_progress: Progress | None = None
    on_compare: Progress | None = None
    on_begin: OnBegin | None = None
    check: Callable[[], None] = lambda: None
    parts: InParts = IN_PARTS
    resume: str | None = None
    instant: bool = False


def upload(calls: Calls, retries: Retries, source: Source, sending: Sending) -> Flow[Asset]:
    """Create, send, complete."""
    try:
        if sending.resume is not None:
            return (yield from _resume(calls, retries, source, sending, sending.resume))
        sha256 = (yield from sha256_of(source)) if sending.instant else None
        if source.size and source.size >= sending.parts.at_least:
            part_size = sending.parts.part_size or 0
            call = calls.upload_of(source, expires_in=sending.expires_in, parts=part_size, sha256=sha256)
            begun = yield from perform(call, retries)
            _tell(sending, begun)
            if begun.asset_id is not None:
                return (yield from perform(calls.get_asset(begun.asset_id), retries))
            return (yield from _Parts(calls, retries, source, sending, begun).send({}))
        return (yield from _in_one_piece(calls, retries, source, sending, sha256))
    finally:
        source.close()


def sha256_of(source: Source, on_progress: Progress | None = None) -> Flow[str]:
    """Read it all. Its SHA-256 in hexadecimal."""
    reply = yield Digest(algorithm="sha256", source=source, offset=0, size=source.size, on_progress=on_progress)
    return reply.body.decode()


def _in_one_piece(calls: Calls, retries: Retries, source: Source, sending: Sending, sha256: str | None) -> Flow[Asset]:
    """A second upload is begun only if the first one's URL expired before the bytes were in."""
    try:
        return (yield from _one_attempt(calls, retries, source, sending, sha256))
    except _UrlExpiredError:
        return (yield from _one_attempt(calls, retries, source, sending, sha256))


def _one_attempt(calls: Calls, retries: Retries, source: Source, sending: Sending, sha256: str | None) -> Flow[Asset]:
    begun = yield from perform(calls.upload_of(source, expires_in=sending.expires_in, sha256=sha256), retries)
    _tell(sending, begun)
    if begun.asset_id is not None:
        return (yield from perform(calls.get_asset(begun.asset_id), retries))
    if begun.upload_url is None:
        raise UploadError(f"upload {begun.id} is {begun.state}: it takes no bytes")
    put = Put(
        url=begun.upload_url,
        headers=_framed(begun.headers or {}, source.size),
        source=source,
        size=source.size,
        on_progress=sending.on_progress,
    )
    yield from _send(put, retries)
    sending.check()
    return (yield from perform(calls.complete_upload(begun.id), retries))


def _resume(calls: Calls, retries: Retries, source: Source, sending: Sending, upload_id: str) -> Flow[Asset]:
    """Send what is missing of an upload. What is there counts if it is what the file has at its place."""
    begun = yield from perform(calls.get_upload(upload_id), retries)
    if begun.asset_id is not None:
        return (yield from perform(calls.get_asset(begun.asset_id), retries))
    if begun.method != "multipart":
        raise UploadError(f"upload {begun.id} was not begun in parts: it cannot be resumed")
    if begun.size_bytes is not None and begun.size_bytes != source.size:
        raise UploadError(f"upload {begun.id} is of {begun.size_bytes} bytes, but the file has {source.size}")
    _tell(sending, begun)
    received = yield from received_parts(calls, retries, begun.id)
    there = {part.part_number: part for part in received}
    return (yield from _Parts(calls, retries, source, sending, begun).send(there))


def received_parts(calls: Calls, retries: Retries, upload_id: str) -> Flow[tuple[ReceivedPart, ...]]:
    """Every part that has arrived, page by page."""
    received: list[ReceivedPart] = []
    after: int | None = 0
    while after is not None:
        page = yield from perform(calls.list_parts(upload_id, after=after), retries)
        received += page.data
        after = page.next_after
    return tuple(received)


class _Parts:
    """One file on its way up in parts."""

    def __init__(self, calls: Calls, retries: Retries, source: Source, sending: Sending, begun: Upload) -> None:
        if not begun.part_size:
            raise UploadError(f"upload {begun.id} is {begun.state}: it takes no parts")
        self._calls = calls
        self._retries = retries
        self._source = source
        self._sending = sending
        self._id = begun.id
        self._part_size = begun.part_size
        self._compares = sending.resume is not None and sending.on_compare is not None
        self._tally = _Tally(source.size, sending.on_compare if self._compares else sending.on_progress)
        self._etags: dict[int, str] = {}

    def send(self, there: Mapping[int, ReceivedPart]) -> Flow[Asset]:
        """Send every part but those that are there, then complete."""
        try:
            yield from self._send_all(there)
            self._sending.check()
            parts = [Part(part_number=number, etag=etag) for number, etag in sorted(self._etags.items())]
            return (yield from perform(self._calls.complete_upload(self._id, parts), self._retries))
        except PenstockClientError:
            if self._sending.parts.abort_on_failure:
                with suppress(PenstockClientError):  # the failure that led here says more
                    yield from perform(self._calls.abort_upload(self._id), self._retries)
            raise

    def _send_all(self, there: Mapping[int, ReceivedPart]) -> Flow[None]:
        numbers = range(1, -(-self._source.size // self._part_size) + 1)
        found = [number for number in numbers if number in there and there[number].size_bytes == self._size(number)]
        yield self._together(self._compare(number, there[number].etag) for number in found)
        if self._compares:
            self._tally.tells(self._sending.on_progress)
        missing = [number for number in numbers if number not in self._etags]
        for batch in _batches(missing, _SIGNED_AT_ONCE):
            signed = yield from perform(self._calls.sign_parts(self._id, batch), self._retries)
            urls = {part.part_number: part.url for part in signed.data}
            yield self._together(self._send_part(number, urls.get(number, "")) for number in batch)

    def _together(self, flows: Iterator[Flow[None]]) -> Together:
        return Together(flows=flows, at_once=max(1, self._sending.parts.connections))

    def _compare(self, number: int, etag: str) -> Flow[None]:
        """Take a part that is there for sent if it is the file's, as far as its ETag can tell."""
        offset, size = self._offset(number), self._size(number)
        algorithm, digest = _digest_in(etag)
        if algorithm:
            reply = yield Digest(algorithm=algorithm, source=self._source, offset=offset, size=size)
            if reply.body.decode() != digest:
                return
        self._etags[number] = etag
        self._tally.note(number, size)

    def _send_part(self, number: int, url: str) -> Flow[None]:
        self._sending.check()
        size = self._size(number)
        put = Put(
            url=url,
            headers=_framed({}, size),
            source=self._source,
            offset=self._offset(number),
            size=size,
            on_progress=lambda sent, _: self._tally.note(number, sent),
        )
        try:
            reply = yield from _send(put, self._retries)
        except _UrlExpiredError:
            signed = yield from perform(self._calls.sign_parts(self._id, [number]), self._retries)
            reply = yield from _send(replace(put, url=signed.data[0].url), self._retries)
        etag = reply.headers.get("etag")
        if etag is None:
            raise UploadError(f"the object store gave no ETag for part {number}")
        self._etags[number] = etag

    def _offset(self, number: int) -> int:
        return (number - 1) * self._part_size

    def _size(self, number: int) -> int:
        return min(self._part_size, self._source.size - self._offset(number))


class _Tally:
    """The progress of a file whose parts are on their way at once, told by one thread at a time."""

    def __init__(self, total: int, on_progress: Progress | None) -> None:
        self._total = total
        self._lock = threading.Lock()
        self._sent: dict[int, int] = {}
        self._sum = 0
        self.tells(on_progress)

    def tells(self, on_progress: Progress | None) -> None:
        """From now on to that one, beginning with how far it is."""
        self._on_progress = on_progress
        if on_progress is not None:
            on_progress(self._sum, self._total)

    def note(self, number: int, sent: int) -> None:
        """So many bytes of a part have been sent."""
        with self._lock:
            self._sum += sent - self._sent.get(number, 0)
            self._sent[number] = sent
            if self._on_progress is not None:
                self._on_progress(self._sum, self._total)


def _send(put: Put, retries: Retries) -> Flow[Reply]:
    attempt = 0
    while True:
        attempt += 1
        try:
            reply = yield put
        except ConnectionFailedError as error:
            pause = retries.after(error, attempt)
        else:
            if succeeded(reply):
                return reply
            pause = _after_refusal(reply, retries, attempt)
        yield Pause(seconds=pause)


def _after_refusal(reply: Reply, retries: Retries, attempt: int) -> float:
    """Seconds to wait after the object store's refusal. Raises `UploadError` when another attempt is no use."""
    code, message = store_error(reply)
    if code == "AccessDenied" and "expired" in message.lower():
        raise _UrlExpiredError(message, status=reply.status, code=code)
    try:
        return retries.after(api_error(reply), attempt)
    except PenstockApiError:
        raise UploadError(message, status=reply.status, code=code) from None


class _UrlExpiredError(UploadError):
    """The presigned URL is past its time (S3: `AccessDenied`, "Request has expired")."""


def _digest_in(etag: str) -> tuple[str, str]:
    """The algorithm and the hexadecimal digest that a part's ETag shows; nothing when it does not.

    `sha256-…` is what the embedded store says; 32 digits are the MD5 on most others (S3 API: not under every
    encryption, where a part is sent again that need not be).
    """
    value = etag.strip('"')
    if value.startswith("sha256-"):
        return "sha256", value.removeprefix("sha256-")
    return ("md5", value) if re.fullmatch("[0-9a-f]{32}", value) else ("", "")


def _framed(headers: Mapping[str, str], size: int) -> dict[str, str]:
    """Content-Length frames the body (RFC 9112 §6.2); without it the bytes would go in chunks, which S3 refuses."""
    return {**headers, "Content-Length": str(size)}


def _tell(sending: Sending, begun: Upload) -> None:
    if sending.on_begin is not None:
        sending.on_begin(begun)


def _batches(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))
