"""What parent and child say to each other of a file, as JSON.

The child is not trusted once it has seen a file: `parse_answer` takes what can be true, and cuts it to size.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from penstock.adapters.children.messages import NoMessageError, printable
from penstock.domain.errors import NotSafetensors
from penstock.domain.weights import Category, Declaration, DtypeShare, Evidence, Examination, VerdictKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    T = TypeVar("T")

_LARGEST = 2**63 - 1
_MESSAGE, _WORD = 4000, 300
_MANY = 64


def request(*, size: int | None, declared: Declaration | None, cap: int) -> dict[str, object]:
    """What to do with the head that goes along as a file."""
    return {"size": size, "declared": None if declared is None else asdict(declared), "cap": cap}


def parse_declared(message: Mapping[str, Any]) -> Declaration | None:
    """The declaration of a request; the parent is believed."""
    declared = message["declared"]
    return None if declared is None else Declaration(**{**declared, "category": Category(declared["category"])})


def answer(seen: Examination | NotSafetensors) -> dict[str, object]:
    """An examination, cut to the size of a message, or why there is none."""
    if isinstance(seen, NotSafetensors):
        return {"refused": seen.message, "looks_like": seen.looks_like}
    return {"seen": asdict(_examination(asdict(seen)))}


def parse_answer(message: Mapping[str, Any], data: bytes) -> Examination | NotSafetensors | None:
    """What the child claims to have seen; None when there was not enough memory. Raises `NoMessageError`."""
    if data:
        raise NoMessageError
    if "refused" in message:
        return NotSafetensors(_text(message["refused"]), looks_like=_optional(_word)(message.get("looks_like")))
    seen = message.get("seen")
    if seen is None and message.get("exhausted") is True:
        return None
    try:
        return _examination(seen)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise NoMessageError from None


def _examination(seen: Any) -> Examination:  # noqa: ANN401 - whatever the child sent
    return Examination(
        verdict=_optional(VerdictKind)(seen["verdict"]),
        category=_optional(Category)(seen["category"]),
        family=_optional(_word)(seen["family"]),
        architectures=_several(_word)(seen["architectures"]),
        type=_optional(_word)(seen["type"]),
        conditioning=_optional(_word)(seen["conditioning"]),
        algorithm=_optional(_word)(seen["algorithm"]),
        evidence=_several(_evidence)(seen["evidence"]),
        warnings=_several(_text)(seen["warnings"]),
        message=_text(seen["message"]),
        suggestions={_word(name): _text(text) for name, text in list(seen["suggestions"].items())[:_MANY]},
        size=_count(seen["size"]),
        header_size=_count(seen["header_size"]),
        tensors=_count(seen["tensors"]),
        dtypes=_several(_share)(seen["dtypes"]),
        misaligned=_count(seen["misaligned"]),
    )


def _evidence(one: Any) -> Evidence:  # noqa: ANN401 - whatever the child sent
    return Evidence(key=_word(one["key"]), shape=_several(_count)(one["shape"]))


def _share(one: Any) -> DtypeShare:  # noqa: ANN401 - whatever the child sent
    return DtypeShare(dtype=_word(one["dtype"]), tensors=_count(one["tensors"]), bytes=_count(one["bytes"]))


def _optional(parse: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else parse(value)


def _several(parse: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    return lambda values: tuple(parse(value) for value in values[:_MANY])


def _count(value: Any) -> int:  # noqa: ANN401 - whatever the child sent
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise NoMessageError
    return value


def _word(value: Any) -> str:  # noqa: ANN401 - whatever the child sent
    return _text(value, _WORD)


def _text(value: Any, most: int = _MESSAGE) -> str:  # noqa: ANN401 - whatever the child sent
    if not isinstance(value, str):
        raise NoMessageError
    return printable(value, most)
