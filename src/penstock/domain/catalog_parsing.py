"""The catalog from the content of its TOML file: every mistake is told with its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from penstock.domain.catalog import (
    Binding,
    CardDefault,
    Catalog,
    CatalogError,
    ExtraInputs,
    FieldType,
    InputField,
    Model,
    OutputField,
    is_integer,
    is_number,
    problem_of,
)
from penstock.domain.errors import InvalidField
from penstock.domain.ledger import ZERO, parse_amount
from penstock.domain.media_types import Kind
from penstock.domain.weights import Category

if TYPE_CHECKING:
    from decimal import Decimal

W = TypeVar("W", bound=StrEnum)

_BINDING_KEYS = {"architectures", "categories", "weights"}
_MODEL_KEYS = set(Model.__dataclass_fields__) - {"inputs", "outputs"} | {"input", "output"}
_INPUT_KEYS = set(InputField.__dataclass_fields__)
_OUTPUT_KEYS = set(OutputField.__dataclass_fields__)
_KINDS = {kind.value for kind in Kind}
_FREE = re.compile(r"0+(\.0*)?\Z")


def parse_catalog(document: Mapping[str, object]) -> Catalog:
    """A catalog from the content of its TOML file. Raises `CatalogError`."""
    _only(document, {"model", "binding"}, "the catalog")
    return Catalog(
        tuple(_parse_model(table, number) for number, table in enumerate(_tables(document, "model"), start=1)),
        tuple(_parse_binding(table, number) for number, table in enumerate(_tables(document, "binding"), start=1)),
    )


def _parse_binding(value: object, number: int) -> Binding:
    where = f"binding {number}"
    table = _table(value, where)
    _only(table, (_MODEL_KEYS | _BINDING_KEYS) - {"slug", "aliases"}, where)
    binding = Binding(
        architectures=_strings(table, "architectures", where),
        categories=_members(Category, table, "categories", where) or (Category.CHECKPOINT,),
        weights=_text(table, "weights", where, default="weights"),
        model=_parse_model({"slug": where} | {key: table[key] for key in table if key not in _BINDING_KEYS}, number),
    )
    if not binding.architectures:
        raise _mistake(where, "architectures", "a binding needs some")
    if any(binding.weights in {field.name, *field.synonyms} for field in binding.model.inputs):
        raise _mistake(where, "weights", f"{binding.weights} is an input already")
    return binding


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
        categories=_members(Category, table, "categories", where),
        files=_strings(table, "files", where),
        card_default=_member(CardDefault, table, "card_default", where) if "card_default" in table else None,
    )
    if field.type is FieldType.ENUM and not field.choices:
        raise _mistake(where, "choices", "an enum needs some")
    if not _KINDS.issuperset(field.accepts):
        raise _mistake(where, "accepts", f"known are {', '.join(sorted(_KINDS))}")
    names_things = field.type in {FieldType.FILE, FieldType.MODEL, FieldType.MODELS}
    problem = f"one of the type {field.type.value} has none" if names_things else problem_of(field, field.default)
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


def _tables(document: Mapping[str, object], key: str) -> list[object]:
    value = document.get(key, [])
    if not isinstance(value, list):
        msg = f"{key} must be an array of tables ([[{key}]])"
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
    if value is not None and not is_integer(value):
        raise _mistake(where, key, "must be an integer")
    return value


def _count(table: Mapping[str, object], key: str, where: str) -> int | None:
    value = _integer(table, key, where)
    if value is not None and value < 1:
        raise _mistake(where, key, "must be at least 1")
    return value


def _number(table: Mapping[str, object], key: str, where: str) -> float | None:
    value = table.get(key)
    if value is not None and not is_number(value):
        raise _mistake(where, key, "must be a number")
    return value


def _member(kind: type[W], table: Mapping[str, object], key: str, where: str, *, default: W | None = None) -> W:
    words = {member.value: member for member in kind}
    found = words.get(str(table.get(key, default)))
    if found is None:
        raise _mistake(where, key, f"must be one of {', '.join(words)}")
    return found


def _members(kind: type[W], table: Mapping[str, object], key: str, where: str) -> tuple[W, ...]:
    words = {member.value: member for member in kind}
    names = _strings(table, key, where)
    if not words.keys() >= set(names):
        raise _mistake(where, key, f"known are {', '.join(words)}")
    return tuple(words[name] for name in names)


def _price(value: object, where: str) -> Decimal:
    """Free, or an amount that the ledger can keep; a TOML float is taken as it is written."""
    text = str(value)
    try:
        return ZERO if _FREE.match(text) else parse_amount(text)
    except InvalidField as error:
        raise _mistake(where, "price", f"USD, {error.reason}; or 0") from None
