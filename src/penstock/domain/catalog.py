"""The catalog: which models can be run, by which names, with which inputs, at what price.

Also decides whether a run's input fits a model, and which of its fields name files or registered models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from typing import TYPE_CHECKING, TypeGuard

from penstock.domain.errors import InvalidField, InvalidFields, ModelNotFound
from penstock.domain.media_types import Kind

if TYPE_CHECKING:
    from decimal import Decimal

    from penstock.domain.weights import Category

_MOST_MODELS = 20
"""Registered models in one field of a run."""
_LONGEST_OPTION = 2048


class FieldType(StrEnum):
    """Types of an input or output field."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    FILE = "file"
    MODEL = "model"
    MODELS = "models"


class CardDefault(StrEnum):
    """Defaults that the owner of a registered model can give, for an input that the run leaves out."""

    STEPS = "steps"
    SCHEDULER = "scheduler"
    CFG = "cfg"
    STRENGTH = "strength"


class ExtraInputs(StrEnum):
    """What to do with an input field that the model does not list."""

    REFUSE = "refuse"
    IGNORE = "ignore"


class CatalogError(Exception):
    """The catalog itself is wrong; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputField:
    """One input of a model. `synonyms` are further names accepted on the wire; lengths in characters.

    `categories` are those of the registered models that a field of type `model` or `models` takes (none: any);
    `card_default` is what of a registered model counts before `default`. `files` are those options beside a model of a
    field of type `models` that name pictures.
    """

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
    categories: tuple[Category, ...] = ()
    card_default: CardDefault | None = None
    files: tuple[str, ...] = ()


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
class Binding:
    """What runs registered models of some architectures and categories: all that `model` says but its names.

    The runner gets the registered model's weights under the name `weights`.
    """

    architectures: tuple[str, ...]
    categories: tuple[Category, ...]
    weights: str
    model: Model


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """A registered model that stands inside an input, and what is said of it beside (`weight` and the like)."""

    air: str
    path: tuple[str | int, ...]
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedInput:
    """An input that fits: plain `values` by canonical name, `files`: canonical name → (field, reference string).

    `models` are the registered models that a field names, by its canonical name.
    """

    values: Mapping[str, object]
    files: Mapping[str, tuple[InputField, str]]
    models: Mapping[str, tuple[InputField, tuple[NamedModel, ...]]] = field(default_factory=dict)


class Catalog:
    """All models, found by slug or alias, and what runs registered ones."""

    def __init__(self, models: tuple[Model, ...], bindings: tuple[Binding, ...] = ()) -> None:
        """Raises `CatalogError` when two models share a name, or two bindings take the same models."""
        self.models = models
        self.bindings = bindings
        self._bound: dict[tuple[str, Category], Binding] = {}
        for binding in bindings:
            for bound in product(binding.architectures, binding.categories):
                if bound in self._bound:
                    msg = f"two bindings take models of {' and '.join(bound)}"
                    raise CatalogError(msg)
                self._bound[bound] = binding
        self._by_name: dict[str, Model] = {}
        for model in models:
            for name in (model.slug, *model.aliases):
                if name in self._by_name:
                    msg = f"two models are called {name}"
                    raise CatalogError(msg)
                self._by_name[name] = model

    def find(self, name: str) -> Model:
        """The model of that slug or alias. Raises `ModelNotFound`."""
        model = self.get(name)
        if model is None:
            raise ModelNotFound(name)
        return model

    def get(self, name: str) -> Model | None:
        """The model of that slug or alias."""
        return self._by_name.get(name)

    def binding(self, architecture: str, category: Category) -> Binding | None:
        """What runs registered models of that kind, if anything does."""
        return self._bound.get((architecture, category))

    def terms_of(self, name: str, *, runner: str, runner_model: str) -> Model | None:
        """What of the catalog counts for a run of that name, or of a registered model that such a runner took."""
        if name in self._by_name:
            return self._by_name[name]
        for binding in self.bindings:
            if (binding.model.runner, binding.model.runner_model) == (runner, runner_model):
                return binding.model
        return None


def check_input(model: Model, given: Mapping[str, object]) -> CheckedInput:
    """Fit a caller's input to a model. Raises `InvalidField` or `InvalidFields`, naming every field that is wrong."""
    values: dict[str, object] = {}
    files: dict[str, tuple[InputField, str]] = {}
    models: dict[str, tuple[InputField, tuple[NamedModel, ...]]] = {}
    wrong: list[InvalidField] = []
    for listed in model.inputs:
        try:
            value = _value(listed, given)
            if value is not None and listed.type in {FieldType.MODEL, FieldType.MODELS}:
                models[listed.name] = (listed, _named_models(listed, given, value))
                files |= _files_beside(*models[listed.name])
                continue
        except InvalidField as error:
            wrong.append(error)
            continue
        if value is not None and listed.type is FieldType.FILE:
            files[listed.name] = (listed, str(value))
        elif value is not None:
            values[listed.name] = value
    wrong += _unlisted(model, given)
    if wrong:
        raise wrong[0] if len(wrong) == 1 else InvalidFields(tuple(wrong))
    return CheckedInput(values=values, files=files, models=models)


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
    problem = problem_of(field, value)
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


def problem_of(field: InputField, value: object) -> str | None:
    """What is wrong with a value, in words that follow the field's name; None when nothing is."""
    match field.type:
        case FieldType.STRING | FieldType.ENUM | FieldType.FILE:
            return _text_problem(field, value) if isinstance(value, str) else "must be a string"
        case FieldType.BOOLEAN:
            return None if isinstance(value, bool) else "must be true or false"
        case FieldType.INTEGER:
            return _range_problem(field, value) if is_integer(value) else "must be an integer"
        case FieldType.NUMBER:
            return _range_problem(field, value) if is_number(value) else "must be a number"
        case FieldType.MODEL:
            return None if isinstance(value, str) and value else "must be the AIR of a model"
        case FieldType.MODELS:
            return _models_problem(value)


def _models_problem(value: object) -> str | None:
    if not isinstance(value, list):
        return "must be a list"
    if len(value) > _MOST_MODELS:
        return f"must name at most {_MOST_MODELS} models"
    return None


def _named_models(field: InputField, given: Mapping[str, object], value: object) -> tuple[NamedModel, ...]:
    """Raises `InvalidField` about the entry that is wrong."""
    name = next((name for name in (field.name, *field.synonyms) if given.get(name) is not None), field.name)
    if not isinstance(value, list):
        return (NamedModel(air=str(value), path=(name,), options={}),)
    return tuple(_named_model(entry, (name, place), field.files) for place, entry in enumerate(value))


def _files_beside(field: InputField, named: tuple[NamedModel, ...]) -> dict[str, tuple[InputField, str]]:
    """The pictures beside models, by `place_beside`. Raises `InvalidField` for what cannot name one."""
    found: dict[str, tuple[InputField, str]] = {}
    for place, each in enumerate(named):
        for option in field.files:
            value = each.options.get(option)
            if value is None:
                continue
            if not isinstance(value, str):
                raise InvalidField((*each.path[:-1], option), "must be a string", rule="type")
            name = place_beside(field.name, place, option)
            found[name] = (InputField(name=name, type=FieldType.FILE, accepts=(Kind.IMAGE.value,)), value)
    return found


def place_beside(field: str, place: int, option: str) -> str:
    """How a file that stands beside a model of a list is called among a run's files."""
    return f"{field}[{place}].{option}"


def _named_model(entry: object, path: tuple[str | int, ...], files: tuple[str, ...]) -> NamedModel:
    """An AIR, or an object with the AIR as its `model` and plain values beside it."""
    options = dict(entry) if isinstance(entry, Mapping) else {"model": entry}
    air = options.pop("model", None)
    if not isinstance(air, str) or not air:
        raise InvalidField((*path, "model"), "must be the AIR of a model", rule="type" if air else "missing")
    for name, option in options.items():
        if not (option is None or isinstance(option, str | bool) or is_number(option)):
            raise InvalidField((*path, name), "must be a string, a number, true or false", rule="type")
        if isinstance(option, str) and len(option) > _LONGEST_OPTION and name not in files:
            raise InvalidField((*path, name), f"must have at most {_LONGEST_OPTION} characters", rule="too_long")
    return NamedModel(air=air, path=(*path, "model"), options=options)


def is_integer(value: object) -> TypeGuard[int]:
    """Whether it is an integer of JSON; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number of JSON."""
    return is_integer(value) or (isinstance(value, float) and math.isfinite(value))


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
