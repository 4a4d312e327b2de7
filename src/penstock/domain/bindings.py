"""Registered models in runs: what the catalog's binding makes of one, and which of them can work together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from penstock.domain.catalog import CardDefault, problem_of
from penstock.domain.errors import InvalidField

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.domain.catalog import Binding, InputField, Model
    from penstock.domain.ids import ModelFileId
    from penstock.domain.models import ModelCard, RegisteredModel

_FAMILIES = {
    "sd1x": "sd1",
    "sd1xlcm": "sd1",
    "sdhyper": "sd1",
    "sdxl": "sdxl",
    "sdxllcm": "sdxl",
    "sdxldistilled": "sdxl",
    "sdxlhyper": "sdxl",
    "sdxllightning": "sdxl",
    "sdxlturbo": "sdxl",
    "pony": "sdxl",
    "illustrious": "sdxl",
    "flux1s": "flux1",
    "flux1d": "flux1",
    "fluxkontextdev": "flux1",
    "hidreamdev": "hidream",
    "hidreamfull": "hidream",
}
"""Architectures of one structure: what was made for one of them fits into the others."""
MODEL_MARK = "$model"
"""In a run's values, `{"$model": {…}}` stands for a registered model; the runner gets its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedModel:
    """A registered model as a run uses it: what the run keeps of it, whatever becomes of the model meanwhile."""

    air: str
    name: str
    category: str
    architecture: str
    file_id: ModelFileId


def family(architecture: str) -> str:
    """What architectures of one structure have in common; one that is alone is its own."""
    return _FAMILIES.get(architecture, architecture)


def bound(binding: Binding, model: RegisteredModel) -> Model:
    """A registered model as one that can be run: under its AIR, with its owner's defaults where they fit."""
    inputs = tuple(_with_default(field, model.card) for field in binding.model.inputs)
    return replace(binding.model, slug=model.air, title=model.card.name, inputs=inputs)


def used(model: RegisteredModel) -> UsedModel:
    """What a run keeps of a model."""
    return UsedModel(
        air=model.air,
        name=model.card.name,
        category=model.card.category.value,
        architecture=model.card.architecture,
        file_id=model.file_id,
    )


def check_companion(
    field: InputField, model: RegisteredModel, *, beside: RegisteredModel | None, path: tuple[str | int, ...]
) -> None:
    """Raises `InvalidField` for a model that the field does not take, or that does not fit the one `beside` it."""
    card = model.card
    if field.categories and card.category not in field.categories:
        wanted = " or ".join(category.value for category in field.categories)
        raise InvalidField(path, f"{model.air} is of the category {card.category.value}; {wanted} is needed")
    if beside is None or family(card.architecture) == family(beside.card.architecture):
        return
    raise InvalidField(
        path,
        f"{model.air} is for the architecture {card.architecture} and does not fit {beside.air},"
        f" which is of the architecture {beside.card.architecture}",
    )


def entry(model: RegisteredModel, options: Mapping[str, object], *, files: tuple[str, ...] = ()) -> dict[str, object]:
    """A model among others as it stands in a run's values; its weight is its owner's where the run says none.

    Options that are `files` are not among them: the run has their assets.
    """
    weight = {"weight": model.card.default_weight} if model.card.default_weight is not None else {}
    given = {name: option for name, option in options.items() if option is not None and name not in files}
    return {"model": marked(used(model)), **weight, **given}


def marked(model: UsedModel) -> dict[str, object]:
    """A model's mark in a run's values."""
    return {
        MODEL_MARK: {
            "air": model.air,
            "name": model.name,
            "category": model.category,
            "architecture": model.architecture,
            "file_id": model.file_id,
        }
    }


def with_models(value: object, shown: Callable[[UsedModel], object]) -> object:
    """A run's value with `shown(model)` in place of each mark."""
    if isinstance(value, dict):
        if set(value) == {MODEL_MARK}:
            return shown(UsedModel(**value[MODEL_MARK]))
        return {name: with_models(item, shown) for name, item in value.items()}
    if isinstance(value, list):
        return [with_models(item, shown) for item in value]
    return value


def _with_default(field: InputField, card: ModelCard) -> InputField:
    default = _default(card, field.card_default) if field.card_default is not None else None
    if default is None or problem_of(field, default):
        return field
    return replace(field, default=default, required=False)


def _default(card: ModelCard, which: CardDefault) -> object | None:
    match which:
        case CardDefault.STEPS:
            return card.default_steps
        case CardDefault.SCHEDULER:
            return card.default_scheduler
        case CardDefault.CFG:
            return card.default_cfg
        case CardDefault.STRENGTH:
            return card.default_strength
