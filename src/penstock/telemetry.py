"""Log events and metrics: declared here, one line each. Never a secret, a signature, a presigned URL or a file.

An undeclared event or metric, or a field that looks like a secret, raises, so a test that reaches the line finds it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import mmap
import sys
import threading
from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric as Family

EVENTS: Mapping[str, str] = {
    "api.request": "an API request was answered (method, path without query, status, ms, request_id, account_id)",
    "api.error": "an API request failed inside; `error` is the exception's type (request_id)",
    "api.socket": "a WebSocket ended (path without query, `code` it was closed with, how many `tasks` came, ms, "
    "request_id, account_id)",
    "store.request": "an object request was answered; `code` is the S3 error code of a refusal "
    "(method, path without query, status, code, bytes, ms, request_id)",
    "store.abandoned": "a client went away before it had its answer (method, path without query, code, bytes, ms, "
    "request_id)",
    "store.metrics": "metrics are served on the admin listener (host, port)",
    "store.unreadable": "an object could not be read as it was written (path, request_id); `penstock fsck` tells more",
    "store.degraded": "the store refuses writes (reason)",
    "store.failed": "an object request failed inside; `error` is the exception's type, `where` the line that raised it",
    "store.process_died": "one of several processes of the store ended and is replaced (number, code)",
    "store.recovered": "the store takes writes again",
    "store.swept": "leftovers of writes that did not end were removed (files)",
    "upload.admitted": "bytes became an asset (upload_id, asset_id, size, content_type)",
    "upload.rejected": "bytes were refused (upload_id, reason)",
    "asset.ready": "intake of an asset has ended (asset_id); `thumbnail`: whether it has one; `problem`: what could "
    "not be seen in it",
    "media.isolation": "how decoders are confined on this machine (network, files, calls, limits, parent), and whether "
    "`films` can be opened",
    "media.child_ended": "a decoder's process ended under a file (code); `files`: how many it had looked into before",
    "weights.isolation": "how the readers of model files' headers are confined on this machine (network, files, calls, "
    "limits, parent)",
    "weights.child_ended": "a reader of headers ended under a file (code); `files`: how many it had read before",
    "fetch.allowed": "what downloads and callbacks may reach beside the public internet (places)",
    "fetch.blocked": "a place that a user named was not connected to (host); `why`: an `address` that is not allowed, "
    "a `name` without addresses, or another `peer` than was meant",
    "run.started": "a run's attempt began (run_id, model, attempt)",
    "run.finished": "a run ended (run_id, state, seconds)",
    "callback.attempted": "a callback was posted, or could not be (delivery_id, dialect, attempt, status, ms); `state` "
    "is the delivery's now",
    "callback.abandoned": "a callback is not tried any more, for no attempt could help (delivery_id, dialect, error)",
    "callback.endpoint_off": "an endpoint was turned off: so many attempts in a row failed (endpoint_id, failures)",
    "model.phase": "a phase of a model upload ended (model_upload_id, phase); `seconds`: in this attempt",
    "model.ranges": "ranges of a model's file came by several connections beside each other (model_upload_id, "
    "connections, ranges)",
    "model.failed": "a model upload came to nothing (model_upload_id); `error` is the code of why",
    "job.retried": "a job failed and will be tried again (job_id, kind, failures, error)",
    "job.buried": "a job failed for good and waits for an operator (job_id, kind, error)",
    "job.lost": "a job's lease was taken over; this worker's late write was refused (job_id, kind)",
    "storage.charged": "an account was charged for the models that it keeps (account_id, day, gigabytes)",
    "sweep.refused": "a sweep found something that it does not remove unasked (what, reason)",
    "sweep.removed": "a sweep removed things (what, count)",
    "worker.failed": "the worker could not do its rounds and will try again (error)",
    "serve.part_started": "a part was started (name, pid)",
    "serve.part_died": "a part died and will be restarted (name, code)",
    "serve.draining": "the server is stopping (signal)",
    "runner.isolation": "how model code is confined on this machine (network, limits)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a metric counts, by which labels, and, of a histogram, the upper bounds of its buckets."""

    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers one series of it has: a histogram has its buckets, one of them unbounded, and the sum."""
        return len(self.bounds) + 2 if self.kind == "histogram" else 1


_REQUEST_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_FSYNC_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

METRICS: Mapping[str, Metric] = {
    "penstock_store_requests": Metric(
        kind="counter",
        labels=("operation", "status"),
        meaning="object requests that ended, by S3 operation and outcome",
    ),
    "penstock_store_errors": Metric(
        kind="counter", labels=("code",), meaning="requests and connections that were refused, by S3 error code"
    ),
    "penstock_store_received_bytes": Metric(kind="counter", meaning="bytes of request bodies that came in"),
    "penstock_store_sent_bytes": Metric(kind="counter", meaning="bytes of answers' bodies that went out"),
    "penstock_store_request_seconds": Metric(
        kind="histogram",
        labels=("operation",),
        bounds=_REQUEST_BOUNDS,
        meaning="time from a request's head to the end of its answer, in seconds; the client's own pace is in it",
    ),
    "penstock_store_fsync_seconds": Metric(
        kind="histogram", labels=("of",), bounds=_FSYNC_BOUNDS, meaning="time that one fsync took, in seconds"
    ),
    "penstock_store_connections": Metric(kind="gauge", meaning="connections that are open"),
    "penstock_store_degraded": Metric(kind="gauge", meaning="processes that refuse writes since the disk failed one"),
    "penstock_store_free_bytes": Metric(kind="gauge", meaning="bytes that can still be written to the data directory"),
    "penstock_store_uploads": Metric(kind="gauge", meaning="multipart uploads that are open"),
}

_FORBIDDEN_FIELDS = frozenset({"secret", "key", "token", "signature", "authorization", "url", "query", "password"})
_write_lock = threading.Lock()
_as_json = json.JSONEncoder(default=str).encode


class Log:
    """Writes declared events to a stream as JSON lines; a disabled one (`stream` None) only checks them."""

    def __init__(self, part: str, stream: TextIO | None = sys.stderr) -> None:
        self._part = part
        self._stream = stream

    def __call__(self, event: str, **fields: object) -> None:
        """Write one event. Raises `ValueError` for an undeclared event or a field that must never be logged."""
        if event not in EVENTS or not _FORBIDDEN_FIELDS.isdisjoint(fields):
            msg = f"undeclared log event or forbidden field: {event} {sorted(fields)}"
            raise ValueError(msg)
        if self._stream is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")  # noqa: TID251 - a log line's own time is not a decision
        line = _as_json({"at": now, "part": self._part, "event": event, **fields}) + "\n"
        # A log on a full disk, or whose reader has gone, must not fail what it tells of.
        with _write_lock, contextlib.suppress(OSError):
            self._stream.write(line)
            self._stream.flush()


class Meters:
    """The numbers of a room's metrics, in memory that processes forked later share. Each process writes its own part.

    So counting needs no system call, and whichever process is asked tells the sums. `labels` gives every label's closed
    set of values; only the metrics of `room` (`penstock_store_…`) have a place.
    """

    def __init__(self, room: str, labels: Mapping[str, Sequence[str]], *, processes: int = 1) -> None:
        self._names = [name for name in METRICS if name.startswith(room)]
        self._places: dict[tuple[str, ...], int] = {}
        self._size = 0
        for name in self._names:
            for values in itertools.product(*[labels[label] for label in METRICS[name].labels]):
                self._places[(name, *values)] = self._size
                self._size += METRICS[name].width
        self._processes = processes
        memory = mmap.mmap(-1, 8 * self._size * processes)
        self._numbers: memoryview[float] = memoryview(memory).cast("d")

    def of(self, process: int) -> Meter:
        """The part of a process (from 0). A process that takes the place of a dead one counts on, from its numbers."""
        part = self._numbers[process * self._size : (process + 1) * self._size]
        for (name, *_), place in self._places.items():
            if METRICS[name].kind == "gauge":
                part[place] = 0.0
        return Meter(part, self._places)

    def render(self, accept: str, measured: Mapping[str, float]) -> tuple[bytes, str]:
        """The sums of all processes as Prometheus reads them, and their media type. `measured` replaces gauges."""
        # Costs 5 MB and 30 ms, which only a process that is asked for metrics pays.
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - see above
        from prometheus_client.registry import CollectorRegistry  # noqa: PLC0415 - see above

        registry = CollectorRegistry()
        registry.register(_Collector(lambda: self._families(measured)))
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type

    def _families(self, measured: Mapping[str, float]) -> Iterator[Family]:
        from prometheus_client import core  # noqa: PLC0415 - as in `render`

        families = {
            "counter": core.CounterMetricFamily,
            "gauge": core.GaugeMetricFamily,
            "histogram": core.HistogramMetricFamily,
        }
        for name in self._names:
            metric = METRICS[name]
            family = families[metric.kind](name, metric.meaning, labels=metric.labels)
            for (owner, *values), place in self._places.items():
                if owner != name:
                    continue
                if isinstance(family, core.HistogramMetricFamily):
                    *buckets, total = [self._sum(place + number) for number in range(metric.width)]
                    bounds = [*map(str, metric.bounds), "+Inf"]
                    family.add_metric(values, list(zip(bounds, itertools.accumulate(buckets), strict=True)), total)
                else:
                    family.add_metric(values, measured.get(name, self._sum(place)))
            yield family

    def _sum(self, place: int) -> float:
        return sum(self._numbers[place + process * self._size] for process in range(self._processes))


class _Collector:
    """What a registry asks for its metrics."""

    def __init__(self, collect: Callable[[], Iterable[Family]]) -> None:
        self.collect = collect


class Meter:
    """Counts for one process. Safe to use from several threads; an undeclared metric or label raises `KeyError`."""

    def __init__(self, numbers: memoryview[float], places: Mapping[tuple[str, ...], int]) -> None:
        self._numbers = numbers
        self._places = places
        self._lock = threading.Lock()

    def add(self, amount: float, *series: str) -> None:
        """Add to a counter or a gauge; `series` is its name and the values of its labels."""
        place = self._places[series]
        with self._lock:
            self._numbers[place] += amount

    def set(self, value: float, *series: str) -> None:
        """Set a gauge."""
        self._numbers[self._places[series]] = value

    def observe(self, value: float, *series: str) -> None:
        """Add a value to a histogram."""
        place = self._places[series]
        bounds = METRICS[series[0]].bounds
        with self._lock:
            self._numbers[place + bisect_left(bounds, value)] += 1
            self._numbers[place + len(bounds) + 1] += value
