"""Log events: declared here, one line each, fields only. Never a secret, a signature, a presigned URL or a file.

An undeclared event or a field that looks like a secret raises, so a test that reaches the line finds it.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS: Mapping[str, str] = {
    "api.request": "an API request was answered (method, path without query, status, ms, request_id, account_id)",
    "api.error": "an API request failed inside; `error` is the exception's type (request_id)",
    "store.request": "an object request was answered (method, path, status, bytes, ms, request_id)",
    "store.degraded": "the store refuses writes (reason)",
    "store.failed": "an object request failed inside; `error` is the exception's type, `where` the line that raised it",
    "store.recovered": "the store takes writes again",
    "store.swept": "leftovers of an earlier process were removed (files)",
    "upload.admitted": "bytes became an asset (upload_id, asset_id, size, content_type)",
    "upload.rejected": "bytes were refused (upload_id, reason)",
    "run.started": "a run's attempt began (run_id, model, attempt)",
    "run.finished": "a run ended (run_id, state, seconds)",
    "job.retried": "a job failed and will be tried again (job_id, kind, failures, error)",
    "job.buried": "a job failed for good and waits for an operator (job_id, kind, error)",
    "job.lost": "a job's lease was taken over; this worker's late write was refused (job_id, kind)",
    "sweep.removed": "a sweep removed things (what, count)",
    "worker.failed": "the worker could not do its rounds and will try again (error)",
    "serve.part_started": "a part was started (name, pid)",
    "serve.part_died": "a part died and will be restarted (name, code)",
    "serve.draining": "the server is stopping (signal)",
    "runner.isolation": "how model code is confined on this machine (network, limits)",
}
_FORBIDDEN_FIELDS = frozenset({"secret", "key", "token", "signature", "authorization", "url", "query", "password"})
_write_lock = threading.Lock()


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
        line = json.dumps({"at": now, "part": self._part, "event": event, **fields}, default=str)
        with _write_lock:
            print(line, file=self._stream, flush=True)
