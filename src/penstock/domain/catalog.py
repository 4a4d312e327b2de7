"""The catalog: which models can be run, by which names, with which inputs, at what price.

Parsed from a plain mapping (TOML). Also decides whether a run's input fits a model, and which of its fields name files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeGuard, TypeVar

from penstock.domain.errors import InvalidField, InvalidFields, ModelNotFound
from penstock.domain.ledger import ZERO, parse_amount
from penstock.domain.media_types import Kind

if TYPE_CHECKING:
    from decimal import Decimal

W = TypeVar("W", bound=StrEnum)


class FieldType(StrEnum):
    """Types of an input or output field."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    FILE = "file"


class ExtraInputs(StrEnum):
    """What to do with an input field that the model does not list."""

    REFUSE = "refuse"
    IGNORE = "ignore"


class CatalogError(Exception):
    """The catalog itself is wrong; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """One input of a model. `synonyms` are further names accepted on the wire; lengths in characters."""

    name: str
    type: FieldType
    synonyms: tuple[str, ...] = ()
    required: bool = False
    default: object | None = None
    description: str = ""
    min_length: int | None = None
    max_length: int | None = None
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputField:
    """One output of a model."""

    name: str
    type: FieldType
    description: str = ""
    kind: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A runnable model. `price` is USD per run.

    `timeout_seconds` is how long an attempt may take; None: as the server has it. So many runs of it may go on at a
    time, of everybody (`max_running`) and of one account, and so many may be asked for by one account in 24 hours;
    None: any number.
    """

    slug: str
    aliases: tuple[str, ...] = ()
    runner: str
    runner_model: str
    title: str
    description: str = ""
    price: Decimal
    timeout_seconds: int | None = None
    max_running: int | None = None
    max_running_per_account: int | None = None
    max_daily_per_account: int | None = None
    extra_inputs: ExtraInputs = ExtraInputs.REFUSE
    inputs: tuple[InputField, ...]
    outputs: tuple[OutputField, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedInput:
    """An input that fits: plain `values` by canonical name, and `files`: canonical name → (field, reference string)."""

    values: Mapping[str, object]
    files: Mapping[str, tuple[InputField, str]]


class Catalog:
    """All models, found by slug or alias."""

    def __init__(self, models: tuple[Model, ...]) -> None:
        """Raises `CatalogError` when two models share a name."""
        self.models = models
        self._by_name: dict[str, Model] = {}
        for model in models:
            for name in (model.slug, *model.aliases):
                if name in self._by_name:
                    msg = f"two models are called {name}"
                    raise CatalogError(msg)
                self._by_name[name] = model

    def find(self, name: str) -> Model:
        """The model of that slug or alias. Raises `ModelNotFound`."""
        model = self._by_name.get(name)
        if model is None:
            raise ModelNotFound(name)
        return model


def parse_catalog(document: Mapping[str, object]) -> Catalog:
    """A catalog from the content of its TOML file. Raises `CatalogError`."""
    _only(document, {"model"}, "the catalog")
    tables = document.get("model", [])
    if not isinstance(tables, list):
        msg = "model must be an array of tables ([[model]])"
        raise CatalogError(msg)
    return Catalog(tuple(_parse_model(table, number) for number, table in enumerate(tables, start=1)))


def check_input(model: Model, given: Mapping[str, object]) -> CheckedInput:
    """Fit a caller's input to a model. Raises `InvalidField` or `InvalidFields`, naming every field that is wrong."""
    values: dict[str, object] = {}
    files: dict[str, tuple[InputField, str]] = {}
    wrong: list[InvalidField] = []
    for field in model.inputs:
        try:
            value = _value(field, given)
        except InvalidField as error:
            wrong.append(error)
            continue
        if value is not None and field.type is FieldType.FILE:
            files[field.name] = (field, str(value))
        elif value is not None:
            values[field.name] = value
    wrong += _unlisted(model, given)
    if wrong:
        raise wrong[0] if len(wrong) == 1 else InvalidFields(tuple(wrong))
    return CheckedInput(values=values, files=files)


def _value(field: InputField, given: Mapping[str, object]) -> object | None:
    """What the caller gave for a field, or its default, or None. Null is as good as nothing. Raises `InvalidField`."""
    names = [name for name in (field.name, *field.synonyms) if given.get(name) is not None]
    if not names and field.required:
        raise InvalidField((field.name,), "is required", rule="missing")
    if not names:
        return field.default
    if len(names) > 1:
        raise InvalidField((names[1],), f"means the same as {names[0]}; give one of them", rule="conflict")
    value = given[names[0]]
    if field.type is FieldType.FILE and isinstance(value, list) and len(value) == 1:
        [value] = value  # some products spell one file as a list of one
    problem = _problem(field, value)
    if problem:
        raise InvalidField((names[0],), problem, rule="type")
    return value


def _unlisted(model: Model, given: Mapping[str, object]) -> list[InvalidField]:
    if model.extra_inputs is ExtraInputs.IGNORE:
        return []
    listed = {name for field in model.inputs for name in (field.name, *field.synonyms)}
    return [
        InvalidField((name,), "is not an input of this model", rule="unknown") for name in given if name not in listed
    ]


def _problem(field: InputField, value: object) -> str | None:
    """What is wrong with a value, in words that follow the field's name; None when nothing is."""
    match field.type:
        case FieldType.STRING | FieldType.ENUM | FieldType.FILE:
            return _text_problem(field, value) if isinstance(value, str) else "must be a string"
        case FieldType.BOOLEAN:
            return None if isinstance(value, bool) else "must be true or false"
        case FieldType.INTEGER:
            return _range_problem(field, value) if _is_integer(value) else "must be an integer"
        case FieldType.NUMBER:
            return _range_problem(field, value) if _is_number(value) else "must be a number"


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[float]:
    return _is_integer(value) or (isinstance(value, float) and math.isfinite(value))


def _text_problem(field: InputField, value: str) -> str | None:
    if field.type is FieldType.ENUM and value not in field.choices:
        return f"must be one of {', '.join(field.choices)}"
    if field.min_length is not None and len(value) < field.min_length:
        return f"must have at least {field.min_length} characters"
    if field.max_length is not None and len(value) > field.max_length:
        return f"must have at most {field.max_length} characters"
    return None


def _range_problem(field: InputField, value: float) -> str | None:
    if field.min is not None and value < field.min:
        return f"must be at least {field.min}"
    if field.max is not None and value > field.max:
        return f"must be at most {field.max}"
    return None


_MODEL_KEYS = set(Model.__dataclass_fields__) - {"inputs", "outputs"} | {"input", "output"}
_INPUT_KEYS = set(InputField.__dataclass_fields__)
_OUTPUT_KEYS = set(OutputField.__dataclass_fields__)
_KINDS = {kind.value for kind in Kind}
_FREE = re.compile(r"0+(\.0*)?\Z")


def _parse_model(value: object, number: int) -> Model:
    table = _table(value, f"model {number}")
    slug = _text(table, "slug", f"model {number}")
    where = f"model {slug}"
    _only(table, _MODEL_KEYS, where)
    model = Model(
        slug=slug,
        aliases=_strings(table, "aliases", where),
        runner=_text(table, "runner", where),
        runner_model=_text(table, "runner_model", where),
        title=_text(table, "title", where, default=slug),
        description=_text(table, "description", where, default=""),
        price=_price(table.get("price", 0), where),
        timeout_seconds=_count(table, "timeout_seconds", where),
        max_running=_count(table, "max_running", where),
        max_running_per_account=_count(table, "max_running_per_account", where),
        max_daily_per_account=_count(table, "max_daily_per_account", where),
        extra_inputs=_member(ExtraInputs, table, "extra_inputs", where, default=ExtraInputs.REFUSE),
        inputs=tuple(_parse_input(item, n, where) for n, item in enumerate(_list(table, "input", where), start=1)),
        outputs=tuple(_parse_output(item, n, where) for n, item in enumerate(_list(table, "output", where), start=1)),
    )
    names = [name for field in model.inputs for name in (field.name, *field.synonyms)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _mistake(where, "input", f"two of them are called {', '.join(twice)}")
    return model


def _parse_input(value: object, number: int, where: str) -> InputField:
    table = _table(value, f"{where}, input {number}")
    name = _text(table, "name", f"{where}, input {number}")
    where = f"{where}, input {name}"
    _only(table, _INPUT_KEYS, where)
    field = InputField(
        name=name,
        type=_member(FieldType, table, "type", where, default=FieldType.STRING),
        synonyms=_strings(table, "synonyms", where),
        required=_flag(table, "required", where),
        default=table.get("default"),
        description=_text(table, "description", where, default=""),
        min_length=_integer(table, "min_length", where),
        max_length=_integer(table, "max_length", where),
        min=_number(table, "min", where),
        max=_number(table, "max", where),
        choices=_strings(table, "choices", where),
        accepts=_strings(table, "accepts", where),
    )
    if field.type is FieldType.ENUM and not field.choices:
        raise _mistake(where, "choices", "an enum needs some")
    if not _KINDS.issuperset(field.accepts):
        raise _mistake(where, "accepts", f"known are {', '.join(sorted(_KINDS))}")
    problem = "a file has none" if field.type is FieldType.FILE else _problem(field, field.default)
    if field.default is not None and problem:
        raise _mistake(where, "default", problem)
    return field


def _parse_output(value: object, number: int, where: str) -> OutputField:
    table = _table(value, f"{where}, output {number}")
    name = _text(table, "name", f"{where}, output {number}")
    where = f"{where}, output {name}"
    _only(table, _OUTPUT_KEYS, where)
    return OutputField(
        name=name,
        type=_member(FieldType, table, "type", where, default=FieldType.STRING),
        description=_text(table, "description", where, default=""),
        kind=_member(Kind, table, "kind", where).value if "kind" in table else None,
    )


def _mistake(where: str, key: str, what: str) -> CatalogError:
    return CatalogError(f"{where}: {key}: {what}")


def _only(table: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise _mistake(where, ", ".join(unknown), "not a key that is known here")


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        msg = f"{where}: must be a table"
        raise CatalogError(msg)
    return value


def _list(table: Mapping[str, object], key: str, where: str) -> list[object]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise _mistake(where, key, f"must be an array of tables ([[model.{key}]])")
    return value


def _text(table: Mapping[str, object], key: str, where: str, *, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise _mistake(where, key, "must be a string" if default is not None else "must be a string, not an empty one")
    return value


def _strings(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _mistake(where, key, "must be a list of strings")
    return tuple(value)


def _flag(table: Mapping[str, object], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise _mistake(where, key, "must be true or false")
    return value


def _integer(table: Mapping[str, object], key: str, where: str) -> int | None:
    value = table.get(key)
    if value is not None and not _is_integer(value):
        raise _mistake(where, key, "must be an integer")
    return value


def _count(table: Mapping[str, object], key: str, where: str) -> int | None:
    value = _integer(table, key, where)
    if value is not None and value < 1:
        raise _mistake(where, key, "must be at least 1")
    return value


def _number(table: Mapping[str, object], key: str, where: str) -> float | None:
    value = table.get(key)
    if value is not None and not _is_number(value):
        raise _mistake(where, key, "must be a number")
    return value


def _member(kind: type[W], table: Mapping[str, object], key: str, where: str, *, default: W | None = None) -> W:
    words = {member.value: member for member in kind}
    found = words.get(str(table.get(key, default)))
    if found is None:
        raise _mistake(where, key, f"must be one of {', '.join(words)}")
    return found


def _price(value: object, where: str) -> Decimal:
    """Free, or an amount that the ledger can keep; a TOML float is taken as it is written."""
    text = str(value)
    try:
        return ZERO if _FREE.match(text) else parse_amount(text)
    except InvalidField as error:
        raise _mistake(where, "price", f"USD, {error.reason}; or 0") from None
