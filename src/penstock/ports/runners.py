"""What runs a model. A runner gets resolved inputs and a context, does the work, and returns an output.

Inside an input, a file is a `FileInput` and a registered model a `WeightsInput`; inside an output, a file that the
runner made is an `OutputFile` below `context.workdir`. All may stand anywhere in the JSON-like value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

JsonLike = object
"""JSON values in which a `FileInput`, a `WeightsInput` (inputs) or an `OutputFile` (outputs) may stand in any place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInput:
    """A file that an input field names: an asset, already resolved and leased."""

    asset_id: str
    name: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsInput:
    """A registered model that a run uses: its file stays as long as the run goes on, and is read from a URL.

    `size` (bytes) and `sha256` (hex) are those of what the URL serves.
    """

    air: str
    name: str
    category: str
    architecture: str
    file_id: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """A file that the runner made. `path` lies below the run's `workdir`."""

    path: Path
    name: str
    content_type: str


class RunCancelledError(Exception):
    """Raised by a runner that stopped because `context.cancelled()` became true."""


class RunImpossibleError(Exception):
    """The server cannot carry the run out, whatever the model could do; the message is fit for the caller."""


class RunContext(Protocol):
    """The runner's window to the rest: files, progress, logs, cancellation. Valid during one attempt only."""

    @property
    def workdir(self) -> Path:
        """A private, empty directory; removed after the attempt."""
        ...

    def fetch(self, file: FileInput) -> Path:
        """Bring a file's bytes into `workdir` and return its path (repeatable).

        Raises `ObjectStoreUnavailable`, and `RunImpossibleError` when they are gone.
        """
        ...

    def url(self, file: FileInput | WeightsInput) -> str:
        """A short-lived URL from which another server can GET the file, or a range of it."""
        ...

    def log(self, message: str, *, level: str = "info") -> None:
        """Add a line to the run's log, readable by the caller while the run goes on."""
        ...

    def progress(self, fraction: float) -> None:
        """Say how far the run is, 0.0 to 1.0. Cheap; may be called often."""
        ...

    def cancelled(self) -> bool:
        """Whether to stop: somebody asked to cancel, the time is up, or the server ends. Cheap; may be called often."""
        ...


class Runner(Protocol):
    """Runs models of one kind. Stateless between calls; a run may be executed again after a crash."""

    def run(self, model: str, inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
        """Run `model` (the runner's own name for it) and return its output, or raise.

        Raises `RunnerFailed` (domain; message fit for the caller), `RunCancelledError`, or `Unavailable` or
        `AttemptInterruptedError` (ports.jobs), on which the run is tried again later.
        """
        ...
