"""The one vocabulary of errors. Facts only: no HTTP status and no product's prose (each dialect's table adds those).

PenstockError
├── InputError                      the request cannot be accepted as it stands
│   ├── InvalidField                one field is wrong (path, code, message)
│   ├── InvalidFields               several are
│   ├── MalformedBody               the body is not the strict JSON we accept
│   ├── BodyTooLarge
│   ├── FileTooLarge · FileTooSmall · FileSizeMismatch
│   ├── FileTypeMismatch · FileTypeRefused · FileHashMismatch
│   ├── NotSafetensors · ModelFileMismatch
│   ├── QuotaExceeded               the account may not take more; nothing was created
│   ├── ReferenceInvalid            a reference that can never name an asset
│   ├── InvalidCursor
│   ├── MethodRefused               the route exists, the method does not
│   └── IdempotencyMismatch         one key, two different requests
├── AccessError
│   ├── Unauthenticated             no key, or one we do not know
│   ├── ScopeMissing                a known key without the right
│   └── SourceNotOwned              an AIR under a name that is not the account's
├── NotFound                        also for another account's things (P11)
│   ├── AccountNotFound · KeyNotFound · UploadNotFound · AssetNotFound · AssetGone · FileNotStored · FolderNotFound
│   ├── ModelNotFound · RunNotFound · DeliveryNotFound · EndpointNotFound · RouteNotFound
│   └── ModelUploadNotFound
├── StateError                      right request, wrong moment
│   ├── IllegalTransition
│   ├── UploadNotCompletable · UploadIncomplete · WrongUploadMethod · RunNotFinished
│   ├── ModelUploadConflict · NoRunner
│   └── NameTaken · FolderConflict · TooManyEndpoints
├── InsufficientCredits
├── RateLimited
├── RunnerFailed                    the model's own failure, with a message fit for the caller
├── InternalError                   a fault of ours; details are in the log, under the request id
└── Unavailable                     try again later
    ├── ObjectStoreUnavailable · DatabaseUnavailable · StorageFull
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from penstock.domain.assets import Tombstone


class PenstockError(Exception):
    """Every error Penstock raises on purpose. `code` is a stable, product-neutral word for logs and metrics."""

    code = "error"
    at: tuple[str | int, ...] = ()
    """The field of the request that it is about, where it is known beside the fact itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def about(self, path: tuple[str | int, ...]) -> Self:
        """The same, of that field."""
        self.at = path
        return self


class InputError(PenstockError):
    """The request cannot be accepted as it stands; repeating it changes nothing."""

    code = "invalid_input"


class InvalidField(InputError):
    """One field of a request is missing, ill-typed or out of range; an empty `path` means the body as a whole.

    `facts` say what would be right, where it is of use: the JSON `type`, the `least`, the `most`, the values that are
    `allowed`.
    """

    code = "invalid_field"

    def __init__(
        self,
        path: tuple[str | int, ...],
        message: str,
        *,
        rule: str = "invalid",
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{'.'.join(map(str, path))}: {message}" if path else message)
        self.path = path
        self.reason = message
        self.rule = rule
        self.facts: Mapping[str, object] = facts or {}

    def below(self, *parents: str | int) -> InvalidField:
        """The same, of a field that stands inside others."""
        return InvalidField((*parents, *self.path), self.reason, rule=self.rule, facts=self.facts)


class InvalidFields(InputError):
    """Several fields of a request are wrong; `fields` holds one `InvalidField` each, in document order."""

    code = "invalid_fields"

    def __init__(self, fields: tuple[InvalidField, ...]) -> None:
        super().__init__("; ".join(field.message for field in fields))
        self.fields = fields


class MalformedBody(InputError):
    """The body is not strict JSON of the expected shape (RFC 8259; duplicate keys, NaN and deep nesting refused)."""

    code = "malformed_body"


class BodyTooLarge(InputError):
    """A request body over `limit` bytes."""

    code = "body_too_large"

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"the request body is larger than {limit} bytes")
        self.limit = limit


class FileTooLarge(InputError):
    """A declared or stored size (bytes) above what is allowed."""

    code = "file_too_large"

    def __init__(self, *, limit: int, actual: int) -> None:
        super().__init__(f"the file has {actual} bytes; at most {limit} are allowed")
        self.limit = limit
        self.actual = actual


class FileTooSmall(InputError):
    """A declared or stored size (bytes) below what is allowed."""

    code = "file_too_small"

    def __init__(self, *, limit: int, actual: int) -> None:
        super().__init__(f"the file has {actual} bytes; at least {limit} are needed")
        self.limit = limit
        self.actual = actual


class FileSizeMismatch(InputError):
    """The stored size differs from a declared size that binds."""

    code = "file_size_mismatch"

    def __init__(self, *, declared: int, actual: int) -> None:
        super().__init__(f"the file has {actual} bytes, but {declared} were declared")
        self.declared = declared
        self.actual = actual


class FileTypeMismatch(InputError):
    """The bytes are of another type than the one declared."""

    code = "file_type_mismatch"

    def __init__(self, *, declared: str, found: str, title: str | None = None) -> None:
        named = f"{found} ({title})" if title else found
        super().__init__(f"the file was declared {declared}, but its bytes are {named}")
        self.declared = declared
        self.found = found


class FileTypeRefused(InputError):
    """A type that is not accepted here; `accepted` lists what is."""

    code = "file_type_refused"

    def __init__(self, found: str, *, accepted: tuple[str, ...]) -> None:
        super().__init__(f"{found} is not accepted here; accepted: {', '.join(accepted)}")
        self.found = found
        self.accepted = accepted


class FileHashMismatch(InputError):
    """The bytes do not have the SHA-256 (hex) that was declared of them."""

    code = "file_hash_mismatch"

    def __init__(self, *, declared: str, actual: str) -> None:
        super().__init__(f"the file has the SHA-256 {actual}, but {declared} was declared")
        self.declared = declared
        self.actual = actual


class NotSafetensors(InputError):
    """A model file breaks a rule of its format, or is of another. `looks_like` names that, where it is recognised."""

    code = "not_safetensors"

    def __init__(self, message: str, *, looks_like: str | None = None) -> None:
        super().__init__(message)
        self.looks_like = looks_like


class ModelFileMismatch(InputError):
    """A model file is not what it was declared to be. The message says what it is, and what to declare."""

    code = "model_file_mismatch"


class QuotaExceeded(InputError):
    """More of `what` (bytes, files, open uploads) than the account may take; nothing was created."""

    code = "quota_exceeded"

    def __init__(self, *, what: str, limit: int, used: int, needed: int) -> None:
        super().__init__(f"this needs {needed} more {what}; {used} of {limit} are taken")
        self.what = what
        self.limit = limit
        self.used = used
        self.needed = needed


class ReferenceInvalid(InputError):
    """A string in a file field that can never name an asset. `path` says where it stood, `rule` what it breaks."""

    code = "reference_invalid"

    def __init__(self, path: tuple[str | int, ...], message: str, *, rule: str = "invalid") -> None:
        super().__init__(f"{'.'.join(map(str, path))}: {message}" if path else message)
        self.path = path
        self.reason = message
        self.rule = rule


class InvalidCursor(InputError):
    """A paging cursor that we did not issue."""

    code = "invalid_cursor"

    def __init__(self) -> None:
        super().__init__("the cursor is not one that this server issued")


class MethodRefused(InputError):
    """The route exists, but not for this method; `allowed` lists those that do (RFC 9110 §15.5.6)."""

    code = "method_not_allowed"

    def __init__(self, *, allowed: tuple[str, ...]) -> None:
        super().__init__(f"this route takes {', '.join(allowed)}")
        self.allowed = allowed


class IdempotencyMismatch(InputError):
    """An idempotency key used again with a different request."""

    code = "idempotency_mismatch"

    def __init__(self, key: str) -> None:
        super().__init__("this idempotency key was used with a different request; use a new key for a new request")
        self.key = key


class AccessError(PenstockError):
    """Who is asking, and may they."""

    code = "access"


class Unauthenticated(AccessError):
    """No key, or one that we do not know, or that is revoked or expired."""

    code = "unauthenticated"

    def __init__(self) -> None:
        super().__init__("a valid API key is needed")


class ScopeMissing(AccessError):
    """A known key that lacks the right named `scope`."""

    code = "scope_missing"

    def __init__(self, scope: str) -> None:
        super().__init__(f"this key lacks the scope {scope}")
        self.scope = scope


class SourceNotOwned(AccessError):
    """An AIR whose source is not the account's: another's, or nobody's yet (one answer for both, P11)."""

    code = "source_not_owned"

    def __init__(self, source: str) -> None:
        super().__init__(f"the account has no AIR source {source}")
        self.source = source


class NotFound(PenstockError):
    """No such thing for this account. Another account's thing answers exactly the same (P11)."""

    code = "not_found"
    noun = "thing"

    def __init__(self, identifier: str = "") -> None:
        super().__init__(f"no such {self.noun}" + (f": {identifier}" if identifier else ""))
        self.identifier = identifier


class AccountNotFound(NotFound):
    """There is no such account."""

    code = "account_not_found"
    noun = "account"


class KeyNotFound(NotFound):
    """There is no such API key."""

    code = "key_not_found"
    noun = "key"


class UploadNotFound(NotFound):
    """There is no such upload, or it is another account's."""

    code = "upload_not_found"
    noun = "upload"


class AssetNotFound(NotFound):
    """There is no such asset, or it is deleted, expired or another account's."""

    code = "asset_not_found"
    noun = "asset"


class AssetGone(NotFound):
    """There was such an asset, for whoever asks now; its `tombstone` says what is remembered of it."""

    code = "asset_gone"
    noun = "asset"

    def __init__(self, identifier: str = "", tombstone: Tombstone | None = None) -> None:
        super().__init__(identifier)
        self.tombstone = tombstone


class FileNotStored(NotFound):
    """The upload exists, but its bytes have not arrived."""

    code = "file_not_stored"
    noun = "stored file"


class FolderNotFound(NotFound):
    """There is no such folder, or it is another account's."""

    code = "folder_not_found"
    noun = "folder"


class ModelNotFound(NotFound):
    """The catalog has no model of that name, and no registered one is the caller's or public."""

    code = "model_not_found"
    noun = "model"


class RunNotFound(NotFound):
    """There is no such run, or it is another account's."""

    code = "run_not_found"
    noun = "run"


class ModelUploadNotFound(NotFound):
    """There is no such model upload, or it is another account's."""

    code = "model_upload_not_found"
    noun = "model upload"


class DeliveryNotFound(NotFound):
    """There is no such delivery, or it is another account's."""

    code = "delivery_not_found"
    noun = "delivery"


class EndpointNotFound(NotFound):
    """There is no such endpoint for callbacks, or it is another account's."""

    code = "endpoint_not_found"
    noun = "endpoint"


class RouteNotFound(NotFound):
    """The API has no such path."""

    code = "route_not_found"
    noun = "route"


class StateError(PenstockError):
    """The right request at the wrong moment."""

    code = "state"


class IllegalTransition(StateError):
    """A life-cycle event that the current state does not allow; nothing was changed."""

    code = "illegal_transition"

    def __init__(self, *, subject: str, state: str, event: str) -> None:
        super().__init__(f"{subject} is {state}; {event} is not possible now")
        self.subject = subject
        self.state = state
        self.event = event


class UploadNotCompletable(StateError):
    """The upload has ended in a state (failed, expired, aborted) from which it cannot be completed."""

    code = "upload_not_completable"

    def __init__(self, *, upload_id: str, state: str, reason: str | None) -> None:
        super().__init__(f"upload {upload_id} is {state}" + (f": {reason}" if reason else ""))
        self.upload_id = upload_id
        self.state = state
        self.reason = reason


class UploadIncomplete(StateError):
    """The parts that arrived do not make the file yet. The upload stays open: the missing ones can be sent."""

    code = "upload_incomplete"

    def __init__(self, upload_id: str, reason: str) -> None:
        super().__init__(f"upload {upload_id} is not complete: {reason}")


class WrongUploadMethod(StateError):
    """The upload takes its bytes another way."""

    code = "wrong_upload_method"

    def __init__(self, upload_id: str, *, method: str) -> None:
        super().__init__(f"upload {upload_id} takes its bytes by `{method}`")


class RunNotFinished(StateError):
    """The result of a run was asked for before its end."""

    code = "run_not_finished"

    def __init__(self, *, run_id: str, state: str) -> None:
        super().__init__(f"run {run_id} is {state}; its result is not there yet")
        self.run_id = run_id
        self.state = state


class NameTaken(StateError):
    """A name that must be unique is in use."""

    code = "name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name!r} is taken")
        self.name = name


class FolderConflict(StateError):
    """A folder cannot stand there: below itself, or too deep."""

    code = "folder_conflict"


class ModelUploadConflict(StateError):
    """The caller's name for a model upload stands for another one already."""

    code = "model_upload_conflict"


class NoRunner(StateError):
    """A registered model that nothing here can run: no runner is bound to its architecture."""

    code = "no_runner"

    def __init__(self, *, air: str, category: str, architecture: str) -> None:
        wanted = f"no runner of this server runs a {category} of the architecture {architecture}"
        instead = "" if category == "checkpoint" else "; name it in the input of a checkpoint's run"
        super().__init__(f"{air} is there, but {wanted}{instead}")
        self.architecture = architecture


class TooManyEndpoints(StateError):
    """The account has as many endpoints for callbacks as are allowed."""

    code = "too_many_endpoints"

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"at most {limit} endpoints for callbacks are allowed")
        self.limit = limit


class InsufficientCredits(PenstockError):
    """The account's balance (USD) does not cover what the request may cost."""

    code = "insufficient_credits"

    def __init__(self, *, needed: Decimal, balance: Decimal) -> None:
        super().__init__(f"this needs {needed} USD; the balance is {balance} USD")
        self.needed = needed
        self.balance = balance


class RateLimited(PenstockError):
    """Too many requests; `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, *, retry_after: float) -> None:
        super().__init__(f"too many requests; try again in {retry_after:.0f} s")
        self.retry_after = retry_after


class RunnerFailed(PenstockError):
    """The model could not produce a result. The message is fit for the caller: no paths, no stack."""

    code = "runner_failed"


class InternalError(PenstockError):
    """A fault of ours. The message says nothing of the inside (S30)."""

    code = "internal_error"

    def __init__(self) -> None:
        super().__init__("something went wrong on the server; the request id helps the operator to find it")


class Unavailable(PenstockError):
    """Something behind us does not answer; nothing was changed, or it will be resolved by reading (P6)."""

    code = "unavailable"


class ObjectStoreUnavailable(Unavailable):
    """The object store does not answer."""

    code = "object_store_unavailable"


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database_unavailable"


class StorageFull(Unavailable):
    """No room for the bytes."""

    code = "storage_full"
