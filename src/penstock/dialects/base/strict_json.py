"""Strict JSON (S32): UTF-8, no duplicate keys, no NaN or Infinity, no deep nesting, no numbers beyond 64 bits.

A text of megabytes may be long strings, not very many values: those would take seconds, and many times its memory.
"""

from __future__ import annotations

import json
import math
from typing import NoReturn

from penstock.domain.errors import MalformedBody

MAX_DEPTH = 32
_MAX_DIGITS = 40
_INT64 = 2**63
_MAX_NUMBER = 400
"""Characters of a number with a fraction or an exponent; the longest exact double has 327 (RFC 8259 §6)."""
_MAX_VALUES = 2**18
_MAX_ESCAPES = 2**20
_SHOWN = 40


def parse_strict(body: bytes) -> object:
    """The value of a JSON text. Raises `MalformedBody` with what is wrong in a sentence."""
    try:
        text = body.decode("utf-8")
        _require_little(text)
        value = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_int=_integer, parse_float=_finite
        )
    except UnicodeDecodeError:
        raise MalformedBody("the body is not UTF-8") from None
    except RecursionError:
        raise MalformedBody(f"the body is nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    # As a rule the text has not even that many brackets.
    if text.count("{") + text.count("[") > MAX_DEPTH and not _flat_enough(value, MAX_DEPTH):
        raise MalformedBody(f"the body is nested deeper than {MAX_DEPTH} levels")
    if "\\u" in text:  # unescaped, a surrogate is no UTF-8
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise MalformedBody("the body has half of a surrogate pair in a string") from None
    return value


def _require_little(text: str) -> None:
    """Counted without parsing, so in a few milliseconds at most; what stands within strings counts as well."""
    if len(text) > _MAX_VALUES and sum(map(text.count, ",[{")) > _MAX_VALUES:
        raise MalformedBody(f"the body has more than {_MAX_VALUES} values")
    if len(text) > _MAX_ESCAPES and text.count("\\") > _MAX_ESCAPES:
        raise MalformedBody(f"the body has more than {_MAX_ESCAPES} escapes; send text unescaped")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise MalformedBody(f"the body has the key {name[:_SHOWN]!r} twice in one object")
            seen.add(name)
    return members


def _no_constant(name: str) -> NoReturn:
    raise MalformedBody(f"the body has {name}, which is not JSON")


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= _MAX_DIGITS else _INT64
    if not -_INT64 <= number < _INT64:
        raise MalformedBody("the body has an integer beyond 64 bits")
    return number


def _finite(text: str) -> float:
    number = float(text) if len(text) <= _MAX_NUMBER else math.inf
    if not math.isfinite(number):
        raise MalformedBody("the body has a number beyond the range of a double")
    return number


def _flat_enough(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    if depth == 0:
        return False
    return all(_flat_enough(item, depth - 1) for item in (value.values() if isinstance(value, dict) else value))
