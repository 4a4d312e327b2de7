"""What the client does step by step, without doing any of it.

The synchronous and the asynchronous client perform the same effects and so share every decision.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from penstock.client.calls import api_error, succeeded
from penstock.client.errors import (
    ConnectionFailedError,
    DownloadError,
    ModelUploadFailedError,
    ModelUploadTimeoutError,
    NotFoundError,
    RunFailedError,
    RunTimeoutError,
)
from penstock.client.files import Listener
from penstock.client.inputs import close_all, with_ids
from penstock.client.results import Asset, Event, OutputFile, Run, read_json
from penstock.client.sending import Sending, upload
from penstock.client.steps import Fetch, Flow, Pause, perform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.client.calls import Calls, Reply, Request
    from penstock.client.errors import PenstockApiError
    from penstock.client.files import Sink, Source
    from penstock.client.pushing import OnStep
    from penstock.client.results import ModelUpload, StoredWeights
    from penstock.client.retries import Retries

NO_MORE_EVENTS = 204
"""The status that tells a stream's reader not to come back (WHATWG HTML, server-sent events)."""
_LONGEST_WAIT = 30.0  # seconds that one question for a run's end may stay open
_SHORTEST_WAIT = 0.2  # a server that answers sooner than this without news is given a rest
_OFTEN = 1.0  # seconds after which somebody who watches is told how far it is
_STREAM_SILENCE = 5.0  # with a deadline, a silent event stream is left after so many seconds to look at the clock


def download(retries: Retries, url: str, sink: Sink) -> Flow[bytes]:
    """The bytes behind a public URL, whole and checked; nothing is left behind otherwise."""
    return (yield from _download(retries, lambda: _known(url), sink))


def _known(url: str) -> Flow[str]:
    yield from ()
    return url


def _download(retries: Retries, locate: Callable[[], Flow[str]], sink: Sink) -> Flow[bytes]:
    """The same, with a URL for each attempt: a signed one does not last.

    An attempt goes on where the last one broke off, where the server's ETag allows it; attempts that bring nothing are
    those that count then.
    """
    attempt = 0
    try:
        while True:
            attempt += 1
            url = yield from locate()
            before = sink.received
            failure: PenstockApiError | ConnectionFailedError
            try:
                reply = yield Fetch(url=url, sink=sink)
            except ConnectionFailedError as error:
                failure = error
                attempt = 1 if sink.rest and sink.received > before else attempt
            else:
                if succeeded(reply):
                    return sink.finish()
                failure = api_error(reply)
            yield Pause(seconds=retries.after(failure, attempt))
    finally:
        sink.discard()


def what_to_download(what: Asset | OutputFile | str) -> tuple[str, int | None, str | None]:
    """URL, size and SHA-256 as far as they are known. Raises `DownloadError` for a file that was deleted."""
    if isinstance(what, str):
        return what, None, None
    if what.url is None:
        raise DownloadError("the file has been deleted")
    return what.url, what.size_bytes, what.sha256 if isinstance(what, Asset) else None


def begin_run(
    calls: Calls,
    retries: Retries,
    model: str,
    inputs: Mapping[str, object],
    sources: Mapping[int | str, Source],
    more: Mapping[str, object],
) -> Flow[Run]:
    """Upload the files among the inputs, then create the run with `more` members."""
    ids: dict[int | str, str] = {}
    try:
        for name, source in sources.items():
            asset = yield from upload(calls, retries, source, Sending())
            ids[name] = asset.id
    finally:
        close_all(sources)
    return (yield from perform(calls.create_run(model, with_ids(inputs, ids), more), retries))


class Deadline:
    """A point on the monotonic clock, or never."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return self._end is not None

    def within(self, seconds: float) -> float:
        """So many seconds, or what is left if that is less; never negative."""
        return seconds if self._end is None else max(0.0, min(seconds, self._end - time.monotonic()))

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self._end is not None and time.monotonic() >= self._end


def finish_run(calls: Calls, retries: Retries, run_id: str, deadline: Deadline) -> Flow[Run]:
    """Wait for the end of a run. Raises `RunFailedError`, or `RunTimeoutError` after the deadline."""
    while True:
        asked = time.monotonic()
        run = yield from perform(calls.get_run(run_id, wait=deadline.within(_LONGEST_WAIT)), retries)
        if run.succeeded:
            return run
        if run.finished:
            raise RunFailedError(run)
        if deadline.passed:
            raise RunTimeoutError(run)
        if time.monotonic() - asked < _SHORTEST_WAIT:
            yield Pause(seconds=deadline.within(_SHORTEST_WAIT))


def finish_model_upload(
    calls: Calls,
    retries: Retries,
    upload_id: str,
    deadline: Deadline,
    on_change: Callable[[ModelUpload], object] | None,
) -> Flow[ModelUpload]:
    """Wait for the end of a model upload. Raises `ModelUploadFailedError`, `ModelUploadTimeoutError`."""
    known = None
    while True:
        longest = _LONGEST_WAIT if on_change is None else _OFTEN
        asked = time.monotonic()
        upload = yield from perform(calls.get_model_upload(upload_id, wait=deadline.within(longest)), retries)
        if on_change is not None and upload != known:
            on_change(upload)
        known = upload
        if upload.phase == "ready":
            return upload
        if upload.finished:
            raise ModelUploadFailedError(upload)
        if deadline.passed:
            raise ModelUploadTimeoutError(upload)
        if time.monotonic() - asked < _SHORTEST_WAIT:
            yield Pause(seconds=deadline.within(_SHORTEST_WAIT))


def download_model(
    calls: Calls, retries: Retries, air: str, part: str, sink_of: Callable[[int | None, str | None], Sink]
) -> Flow[bytes]:
    """The bytes of a model, checked against what is known of them; nothing is left behind otherwise."""
    size, sha256 = None, None
    if part != "manifest":
        model = yield from perform(calls.get_registered(air), retries)
        if model.file is not None:
            stored = model.file.original if part == "original" else model.file.optimized
            size, sha256 = stored.size_bytes, stored.sha256
    return (yield from _download(retries, lambda: perform(calls.model_file(air, part), retries), sink_of(size, sha256)))


def verify_model(calls: Calls, retries: Retries, air: str, on_step: OnStep | None) -> Flow[None]:
    """Read a model's files and keep nothing. Raises `DownloadError`, which names each that is not as registered."""
    file = (yield from perform(calls.get_registered(air), retries)).file
    wrong: list[str] = []
    if file is None:
        raise DownloadError(f"{air} has no file")
    for part, stored in (("original", file.original), ("optimized", file.optimized)):
        if part == "optimized" and stored == file.original:
            break  # one object under two names
        call = calls.model_file(air, part)
        try:
            yield from _download(retries, partial(perform, call, retries), _listener(part, stored, on_step))
        except (DownloadError, NotFoundError) as error:
            wrong.append(f"the {part} file: {error}")
    if wrong:
        now = yield from perform(calls.get_registered(air), retries)
        if now.file is None or (now.file.original, now.file.optimized) != (file.original, file.optimized):
            raise DownloadError(f"{air} was given another file while it was read; verify it again")
        raise DownloadError(f"{air} is not what was registered. {'; '.join(wrong)}")


def _listener(part: str, stored: StoredWeights, on_step: OnStep | None) -> Listener:
    told = None if on_step is None else lambda done, total: on_step(part, done, total)
    return Listener(size=stored.size_bytes, sha256=stored.sha256, on_progress=told)


class EventStream:
    """A run's events over as many connections as it takes: what to ask for next, what is new, when to give up."""

    def __init__(self, calls: Calls, retries: Retries, run_id: str, *, after: int, deadline: Deadline) -> None:
        self._calls = calls
        self._retries = retries
        self._run_id = run_id
        self._deadline = deadline
        self._last = after
        self._attempt = 0
        self.finished = False

    def request(self) -> Request:
        """The next request, from the last event seen."""
        return self._calls.run_events(self._run_id, after=self._last)

    def silence(self, usual: float) -> float:
        """Seconds without a sign of life after which to leave the stream."""
        return max(0.05, self._deadline.within(_STREAM_SILENCE)) if self._deadline.is_set else usual

    def take(self, data: str) -> Event | None:
        """The event in a message, unless it was seen before. Raises `ConnectionFailedError` for one that is damaged."""
        try:
            event = read_json(Event, data)
        except ValueError:
            raise ConnectionFailedError("the event stream is not the API's", passing=False) from None
        if event.number <= self._last:
            return None
        self._last = event.number
        self._attempt = 0
        self.finished = event.final
        return event

    def refused(self, reply: Reply) -> float:
        """Seconds to wait after an answer that is no stream. Raises it when that is final."""
        self._attempt += 1
        return self._retries.after(api_error(reply), self._attempt)

    def interrupted(self, error: ConnectionFailedError | None, *, silent: bool = False) -> float:
        """Seconds to wait before connecting again, after a failure or an early end. Raises when enough is enough.

        A silence that the deadline made us leave is no failure; once the deadline has passed, the stream is over.
        """
        if self._deadline.passed:
            self.finished = True
            return 0.0
        if silent and self._deadline.is_set:
            return 0.0
        self._attempt += 1
        return self._retries.after(error or ConnectionFailedError("the event stream ended too early"), self._attempt)
