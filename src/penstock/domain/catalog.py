"""The catalog: which models can be run, by which names, with which inputs, at what price.

Parsed from a plain mapping (TOML). Also decides whether a run's input fits a model, and which of its fields name files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from penstock.domain.errors import InvalidField, InvalidFields, ModelNotFound


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
    """A runnable model. `price` is USD per run."""

    slug: str
    aliases: tuple[str, ...] = ()
    runner: str
    runner_model: str
    title: str
    description: str = ""
    price: Decimal
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
    tables = document.get("model", [])
    if not isinstance(tables, list):
        msg = "model must be an array of tables ([[model]])"
        raise CatalogError(msg)
    return Catalog(tuple(_parse_model(table) for table in tables))


def check_input(model: Model, given: Mapping[str, object]) -> CheckedInput:
    """Fit a caller's input to a model. Raises `InvalidField` or `InvalidFields`, naming every field that is wrong."""
    values: dict[str, object] = {}
    files: dict[str, tuple[InputField, str]] = {}
    wrong: list[InvalidField] = []
    known: set[str] = set()
    for field in model.inputs:
        names = [name for name in (field.name, *field.synonyms) if given.get(name) is not None]
        known.update((field.name, *field.synonyms))
        if len(names) > 1:
            wrong.append(InvalidField((names[1],), f"means the same as {names[0]}; give one of them", rule="conflict"))
            continue
        if not names:
            if field.required:
                wrong.append(InvalidField((field.name,), "is required", rule="missing"))
            elif field.default is not None:
                values[field.name] = field.default
            continue
        value, problem = given[names[0]], _problem(field, given[names[0]])
        if problem:
            wrong.append(InvalidField((names[0],), problem, rule="type"))
        elif field.type is FieldType.FILE:
            files[field.name] = (field, str(value))
        else:
            values[field.name] = value
    if model.extra_inputs is ExtraInputs.REFUSE:
        wrong += [
            InvalidField((name,), "is not an input of this model", rule="unknown")
            for name in given
            if name not in known
        ]
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise InvalidFields(tuple(wrong))
    return CheckedInput(values=values, files=files)


def _problem(field: InputField, value: object) -> str | None:
    """What is wrong with a value, in words that follow the field's name; None when nothing is."""
    match field.type:
        case FieldType.STRING | FieldType.ENUM | FieldType.FILE:
            return "must be a string" if not isinstance(value, str) else _text_problem(field, value)
        case FieldType.BOOLEAN:
            return None if isinstance(value, bool) else "must be true or false"
        case FieldType.INTEGER if isinstance(value, bool) or not isinstance(value, int):
            return "must be an integer"
        case FieldType.NUMBER if isinstance(value, bool) or not isinstance(value, int | float):
            return "must be a number"
        case _:
            return _range_problem(field, value)  # type: ignore[arg-type]  # a number, by the two cases above


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


_MODEL_KEYS = {
    "slug",
    "aliases",
    "runner",
    "runner_model",
    "title",
    "description",
    "price",
    "extra_inputs",
    "input",
    "output",
}
_INPUT_KEYS = set(InputField.__dataclass_fields__)
_OUTPUT_KEYS = set(OutputField.__dataclass_fields__)


def _parse_model(table: Mapping[str, object]) -> Model:
    where = f"model {table.get('slug', '?')}"
    _only(table, _MODEL_KEYS, where)
    try:
        return Model(
            slug=str(table["slug"]),
            aliases=_strings(table.get("aliases", ()), where),
            runner=str(table["runner"]),
            runner_model=str(table["runner_model"]),
            title=str(table.get("title", table["slug"])),
            description=str(table.get("description", "")),
            price=_price(table.get("price", "0"), where),
            extra_inputs=ExtraInputs(str(table.get("extra_inputs", "refuse"))),
            inputs=tuple(_parse_input(item, where) for item in _tables(table.get("input", []), where)),
            outputs=tuple(_parse_output(item, where) for item in _tables(table.get("output", []), where)),
        )
    except (KeyError, ValueError, TypeError) as error:
        msg = f"{where}: {error}"
        raise CatalogError(msg) from error


def _parse_input(table: Mapping[str, object], where: str) -> InputField:
    _only(table, _INPUT_KEYS, where)
    fields = dict(table)
    for name in ("synonyms", "choices", "accepts"):
        fields[name] = _strings(fields.get(name, ()), where)
    return InputField(**{**fields, "type": FieldType(str(fields.get("type", "string")))})  # type: ignore[arg-type]  # keys checked above


def _parse_output(table: Mapping[str, object], where: str) -> OutputField:
    _only(table, _OUTPUT_KEYS, where)
    return OutputField(**{**table, "type": FieldType(str(table.get("type", "string")))})  # type: ignore[arg-type]  # keys checked above


def _only(table: Mapping[str, object], known: set[str], where: str) -> None:
    unknown = set(table) - known
    if unknown:
        msg = f"{where}: unknown key {', '.join(sorted(unknown))}"
        raise CatalogError(msg)


def _tables(value: object, where: str) -> list[Mapping[str, object]]:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        msg = f"{where}: input and output must be arrays of tables"
        raise CatalogError(msg)
    return value


def _strings(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        msg = f"{where}: expected a list of strings"
        raise CatalogError(msg)
    return tuple(value)


def _price(value: object, where: str) -> Decimal:
    price = Decimal(str(value))
    if not price.is_finite() or price < 0:
        msg = f"{where}: price must be a decimal number of USD, at least 0"
        raise CatalogError(msg)
    return price
