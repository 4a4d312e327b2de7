"""Everything the client raises on purpose.

PenstockClientError
├── ConfigurationError          no address or no key, or neither makes sense
├── ConnectionFailedError       no answer: refused, reset, timed out
├── PenstockApiError            the server answered with an error (status, code, detail, request_id, errors)
│   ├── AuthenticationError     401
│   ├── InsufficientCreditsError  402
│   ├── PermissionDeniedError   403
│   ├── NotFoundError           404
│   │   └── GoneError           410: it has expired or was deleted
│   ├── ConflictError           409
│   ├── InvalidRequestError     other 4xx; `errors` names the fields
│   ├── RateLimitedError        429
│   ├── ServerError             5xx
│   │   └── UnavailableError    502, 503, 504, 507: try again later
│   └── UnexpectedAnswerError   an answer that is not the API's
├── UploadError                 the bytes did not get into the object store
├── DownloadError               the bytes of an asset did not arrive whole
├── ModelUploadFailedError      a model was not registered (`upload`)
├── ModelUploadTimeoutError     it has not ended in time (`upload`); it goes on
├── RunFailedError              the run ended without a result (`run`)
└── RunTimeoutError             the run has not ended in time (`run`); it goes on
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.client.results import ModelUpload, Run


class PenstockClientError(Exception):
    """Base of all."""


class ConfigurationError(PenstockClientError):
    """No address or no key, or neither makes sense."""


class ConnectionFailedError(PenstockClientError):
    """No answer came. `passing` says whether another attempt may fare better."""

    def __init__(self, message: str, *, passing: bool = True) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One field that the server did not accept; `pointer` is a JSON pointer such as `#/input/image`."""

    pointer: str
    detail: str
    code: str = ""


class PenstockApiError(PenstockClientError):
    """The server answered with an error. `retry_after` is in seconds, when the server named it."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        request_id: str | None = None,
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        trace = f", request {request_id}" if request_id else ""
        super().__init__(f"{detail} ({code}, HTTP {status}{trace})")
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.errors = errors
        self.retry_after = retry_after


class AuthenticationError(PenstockApiError):
    """No key, or one that the server does not know."""


class InsufficientCreditsError(PenstockApiError):
    """The account's balance does not cover the run."""


class PermissionDeniedError(PenstockApiError):
    """The key lacks the scope."""


class NotFoundError(PenstockApiError):
    """No such thing in this account."""


class GoneError(NotFoundError):
    """There was such an asset; it has expired or was deleted."""


class ConflictError(PenstockApiError):
    """The right request at the wrong moment."""


class InvalidRequestError(PenstockApiError):
    """The request cannot be accepted as it stands."""


class RateLimitedError(PenstockApiError):
    """Too many requests."""


class ServerError(PenstockApiError):
    """The server failed."""


class UnavailableError(ServerError):
    """The server, or something behind it, cannot answer now."""


class UnexpectedAnswerError(PenstockApiError):
    """An answer that is not the API's: another server, a proxy's page."""


class UploadError(PenstockClientError):
    """The object store refused the bytes (`status`, `code` as S3 names it), or the file shrank (no status)."""

    def __init__(self, detail: str, *, status: int | None = None, code: str = "") -> None:
        super().__init__(f"{detail} ({code or 'no code'}, HTTP {status})" if status is not None else detail)
        self.detail = detail
        self.status = status
        self.code = code


class DownloadError(PenstockClientError):
    """The bytes that arrived are not the asset's: too few, too many, or others."""


class RunFailedError(PenstockClientError):
    """The run failed or was cancelled."""

    def __init__(self, run: Run) -> None:
        reason = run.error.message if run.error is not None else "no reason given"
        end = "was cancelled" if run.state == "cancelled" else f"failed: {reason}"
        super().__init__(f"run {run.id} of {run.model} {end}")
        self.run = run


class ModelUploadFailedError(PenstockClientError):
    """A registration came to nothing: `upload.error` says why. What the AIR stood for before is as it was."""

    def __init__(self, upload: ModelUpload) -> None:
        error = upload.error
        reason = f"{error.message} ({error.code})" if error is not None else "no reason given"
        super().__init__(f"{upload.air} was not registered: {reason}")
        self.upload = upload


class ModelUploadTimeoutError(PenstockClientError, TimeoutError):
    """The registration has not ended within the time given. It goes on; `wait_model_upload` can take it up again."""

    def __init__(self, upload: ModelUpload) -> None:
        super().__init__(f"{upload.air} is still {upload.phase} (model upload {upload.id})")
        self.upload = upload


class RunTimeoutError(PenstockClientError, TimeoutError):
    """The run has not ended within the time given. It goes on; `wait_run` can take it up again."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"run {run.id} of {run.model} is still {run.state}")
        self.run = run
