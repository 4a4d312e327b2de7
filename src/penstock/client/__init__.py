"""The Python SDK. It stands alone: it speaks the native API and imports no other room.

from penstock.client import AsyncPenstock, Penstock
"""

from __future__ import annotations

from penstock.client.blocking import Penstock
from penstock.client.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    DownloadError,
    FieldError,
    InsufficientCreditsError,
    InvalidRequestError,
    NotFoundError,
    PenstockApiError,
    PenstockClientError,
    PermissionDeniedError,
    RateLimitedError,
    RunFailedError,
    RunTimeoutError,
    ServerError,
    UnavailableError,
    UnexpectedAnswerError,
    UploadError,
)
from penstock.client.nonblocking import AsyncPenstock
from penstock.client.results import (
    Account,
    AccountKey,
    Asset,
    Event,
    Form,
    Model,
    ModelInput,
    ModelOutput,
    OutputFile,
    ReceivedPart,
    Run,
    RunError,
    SignedPart,
    SignedParts,
    Upload,
)
from penstock.client.sending import InParts

__all__ = [
    "Account",
    "AccountKey",
    "Asset",
    "AsyncPenstock",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "DownloadError",
    "Event",
    "FieldError",
    "Form",
    "InParts",
    "InsufficientCreditsError",
    "InvalidRequestError",
    "Model",
    "ModelInput",
    "ModelOutput",
    "NotFoundError",
    "OutputFile",
    "Penstock",
    "PenstockApiError",
    "PenstockClientError",
    "PermissionDeniedError",
    "RateLimitedError",
    "ReceivedPart",
    "Run",
    "RunError",
    "RunFailedError",
    "RunTimeoutError",
    "ServerError",
    "SignedPart",
    "SignedParts",
    "UnavailableError",
    "UnexpectedAnswerError",
    "Upload",
    "UploadError",
]
