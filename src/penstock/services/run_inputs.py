"""What stands in the input of a run: whether it fits the model, and how much of it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock.domain.catalog import check_input
from penstock.domain.errors import InvalidField, InvalidFields
from penstock.domain.references import is_data_uri, parse_foreign_url, shortened

if TYPE_CHECKING:
    from penstock.domain.catalog import CheckedInput, InputField, Model

_MAX_INPUT = 2**18
"""Bytes of JSON: a listing shows the inputs of up to a hundred runs (P9)."""
_MOST_NESTED = 2**12
"""Objects and arrays in an input: read, small ones take a hundred times their bytes (P9)."""


def fitting_input(model: Model, inputs: Mapping[str, object]) -> CheckedInput:
    """The input as the model takes it. Raises `InvalidField`, `InvalidFields`; their paths begin with `input`."""
    try:
        return check_input(model, inputs)
    except InvalidField as error:
        raise error.below("input") from None
    except InvalidFields as error:
        raise InvalidFields(tuple(field.below("input") for field in error.fields)) from None


def refuse_urls(checked: CheckedInput, inputs: Mapping[str, object]) -> None:
    """Raises `InvalidField` where a file field holds a URL or a data URI."""
    for field_, text in checked.files.values():
        if parse_foreign_url(text) is not None or is_data_uri(text):
            path = ("input", given_name(field_, inputs))
            raise InvalidField(path, "is a URL; upload the file and name it by its id", rule="url")


def kept_input(inputs: Mapping[str, object]) -> dict[str, object]:
    """The input as it is kept and shown: the bytes of its data URIs are assets already. Raises `InvalidField`."""
    kept = {name: _shortened(value) for name, value in inputs.items()}
    if len(json.dumps(kept)) > _MAX_INPUT:
        raise InvalidField(("input",), f"must have at most {_MAX_INPUT} bytes, not counting data URIs", rule="too_long")
    if _nested(kept) > _MOST_NESTED:
        raise InvalidField(("input",), f"must have at most {_MOST_NESTED} objects and arrays", rule="too_long")
    return kept


def fitting_kinds(accepted: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The kinds that both a model and the caller's API take; where they agree on none, the model's word counts."""
    if not accepted or not allowed:
        return accepted or allowed
    return tuple(kind for kind in accepted if kind in allowed) or accepted


def given_name(field_: InputField, inputs: Mapping[str, object]) -> str:
    """The name under which the caller gave a field: its own or a synonym, or its own where it stands inside another."""
    names = (field_.name, *field_.synonyms)
    return next((name for name in names if inputs.get(name) is not None), field_.name)


def _nested(value: object) -> int:
    """How many objects and arrays a JSON value has, itself included."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_nested, value.values()))
    return 1 + sum(map(_nested, value)) if isinstance(value, list) else 0


def _shortened(value: object) -> object:
    """Also in a list, as which some products spell one file, and beside the models of one."""
    if isinstance(value, list):
        return [
            {name: _shortened_text(option) for name, option in item.items()}
            if isinstance(item, Mapping)
            else _shortened_text(item)
            for item in value
        ]
    return _shortened_text(value)


def _shortened_text(value: object) -> object:
    return shortened(value) if isinstance(value, str) else value
