"""Error tables: every leaf of the vocabulary gets a product's word and status, with a mark where we inferred it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.domain.errors import (
    InternalError,
    InvalidField,
    InvalidFields,
    MethodRefused,
    PenstockError,
    RateLimited,
    ReferenceInvalid,
    Unauthenticated,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WireError:
    """How a product says an error: its code, the HTTP status, and whether we guessed (`inferred`)."""

    code: str
    status: int
    inferred: bool = False


ErrorTable = Mapping[type[PenstockError], WireError]


def documented(code: str, status: int) -> WireError:
    """A row that the product's documents have."""
    return WireError(code=code, status=status)


def inferred(code: str, status: int) -> WireError:
    """A row that they leave open."""
    return WireError(code=code, status=status, inferred=True)


def leaf_errors() -> Iterator[type[PenstockError]]:
    """Every error class without subclasses: what a table must cover."""

    def leaves(error: type[PenstockError]) -> Iterator[type[PenstockError]]:
        children = error.__subclasses__()
        if not children:
            yield error
        for child in children:
            yield from leaves(child)

    return leaves(PenstockError)


def look_up(table: ErrorTable, error: PenstockError) -> WireError:
    """The table's row for an error; one that no table should miss counts as internal."""
    return table.get(type(error)) or table[InternalError]


def from_validation(errors: Sequence[Mapping[str, object]]) -> InvalidField | InvalidFields:
    """Pydantic's findings in our vocabulary. The leading `body`, `query`, `path`, `header` is where, not which."""
    fields: list[InvalidField] = []
    for found in errors:
        location = found.get("loc")
        path = tuple(location[1:]) if isinstance(location, tuple | list) and len(location) > 1 else ()
        rule = str(found.get("type", "invalid"))
        reason = str(found.get("msg", "is invalid")) if path else "the body must be a JSON object"
        fields.append(InvalidField(path, reason, rule=rule))
    return fields[0] if len(fields) == 1 else InvalidFields(tuple(fields))


def field_errors(error: PenstockError) -> tuple[InvalidField, ...]:
    """The fields that an error names; none for other errors."""
    match error:
        case InvalidField():
            return (error,)
        case InvalidFields():
            return error.fields
        case ReferenceInvalid():
            return (InvalidField(error.path, error.reason, rule="reference"),)
        case _:
            return ()


def error_headers(error: PenstockError, *, scheme: str = "Bearer") -> dict[str, str]:
    """What HTTP says of an error itself (RFC 9110); `scheme` is what a product calls the way its keys are sent."""
    match error:
        case Unauthenticated():
            return {"WWW-Authenticate": scheme}
        case MethodRefused(allowed=allowed):
            return {"Allow": ", ".join(allowed)}
        case RateLimited(retry_after=seconds):
            return {"Retry-After": str(max(1, round(seconds)))}
        case Unavailable():
            return {"Retry-After": str(_RETRY_AFTER_SECONDS)}
        case _:
            return {}
