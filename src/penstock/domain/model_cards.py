"""What may be said of a model: the values of each field, which of them a category has, and what an update changes.

The lists and limits are those of the product whose upload API Penstock serves (RU-14, RU-15); they hold for every way
in.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from penstock.domain.errors import InvalidField, InvalidFields
from penstock.domain.library import NUL
from penstock.domain.models import ModelCard
from penstock.domain.weights import Category

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

ARCHITECTURES = (
    "flux1s",
    "flux1d",
    "fluxkontextdev",
    "hidreamdev",
    "hidreamfull",
    "qwen_image",
    "sd1x",
    "sdhyper",
    "sd1xlcm",
    "sdxl",
    "sdxllcm",
    "sdxldistilled",
    "sdxlhyper",
    "sdxllightning",
    "sdxlturbo",
    "sd3",
    "pony",
    "illustrious",
)
CONDITIONINGS = (
    "blur",
    "canny",
    "depth",
    "gray",
    "hed",
    "inpaint",
    "inpaintdepth",
    "lineart",
    "lowquality",
    "normal",
    "openmlsd",
    "openpose",
    "outfit",
    "pix2pix",
    "qrcode",
    "scrible",
    "seg",
    "shuffle",
    "sketch",
    "softedge",
    "tile",
)
"""`scrible` is how it is spelled on the wire."""
TYPES: Mapping[Category, tuple[str, ...]] = {
    Category.CHECKPOINT: ("base", "inpainting", "refiner"),
    Category.EMBEDDINGS: ("positive", "negative"),
}
_TRIGGERED = (Category.CHECKPOINT, Category.LORA, Category.LYCORIS, Category.EMBEDDINGS)
APPLICABLE: Mapping[str, tuple[Category, ...]] = {
    "type": tuple(TYPES),
    "conditioning": (Category.CONTROLNET,),
    "default_steps": (Category.CHECKPOINT,),
    "default_scheduler": (Category.CHECKPOINT,),
    "default_cfg": (Category.CHECKPOINT,),
    "default_strength": (Category.CHECKPOINT,),
    "default_weight": (Category.LORA,),
    "positive_trigger_words": _TRIGGERED,
    "negative_trigger_words": _TRIGGERED,
}
"""Fields that only some categories have. Elsewhere they are left aside, whatever they say (inferred)."""
DEFAULTS: Mapping[str, object] = {
    "default_steps": 20,
    "default_cfg": 7.0,
    "default_strength": 0.8,
    "default_weight": 1.0,
}
"""What a new model has that says nothing (RU-28)."""
REQUIRED = ("category", "architecture", "name", "version_label", "unique_identifier")
MAX_ITEMS = 100
MAX_ITEM = 400
_TUPLES = frozenset({"tags", "positive_trigger_words", "negative_trigger_words"})
_FIELDS = frozenset(field.name for field in fields(ModelCard))
_FIXED = ("category", "type")


def _refuse_nul(path: tuple[str, ...], value: str) -> None:
    """No database keeps it in a text, and two that differ in it alone would become one."""
    if NUL in value:
        raise InvalidField(path, "must not hold the character NUL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers from `least` to `most`, both included."""

    least: float
    most: float
    whole: bool = False

    def __call__(self, path: tuple[str, ...], value: object) -> object:
        """The number to keep."""
        kind = "an integer" if self.whole else "a number"
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            raise InvalidField(
                path, f"must be {'an integer' if self.whole else 'a number'}", rule="type", facts={"type": kind}
            )
        if not self.least <= value <= self.most:
            raise InvalidField(
                path,
                f"must be {self.least:g} to {self.most:g}",
                rule="range",
                facts={"least": self.least, "most": self.most},
            )
        return value if self.whole else float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text of `least` to `most` characters, one of `allowed` where these are given."""

    least: int = 1
    most: int = 1000
    allowed: tuple[str, ...] = ()

    def __call__(self, path: tuple[str, ...], value: object) -> object:
        """The text to keep."""
        if not isinstance(value, str):
            raise InvalidField(path, "must be a string", rule="type", facts={"type": "string"})
        _refuse_nul(path, value)
        if self.allowed and value not in self.allowed:
            raise InvalidField(
                path, f"must be one of {', '.join(self.allowed)}", rule="choice", facts={"allowed": self.allowed}
            )
        if not self.least <= len(value) <= self.most:
            raise InvalidField(
                path,
                f"must have {self.least} to {self.most} characters",
                rule="length",
                facts={"least": self.least, "most": self.most},
            )
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A list of texts, where `unique` each of them once."""

    unique: bool = False

    def __call__(self, path: tuple[str, ...], value: object) -> object:
        """The list to keep."""
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise InvalidField(path, "must be a list of strings", rule="type", facts={"type": "array"})
        for item in value:
            _refuse_nul(path, item)
        items = list(dict.fromkeys(value)) if self.unique else list(value)
        if len(items) > MAX_ITEMS:
            raise InvalidField(path, f"at most {MAX_ITEMS} of them", rule="length", facts={"most": MAX_ITEMS})
        if any(not 1 <= len(item) <= MAX_ITEM for item in items):
            raise InvalidField(
                path, f"each must have 1 to {MAX_ITEM} characters", rule="length", facts={"least": 1, "most": MAX_ITEM}
            )
        return items


def _flag(path: tuple[str, ...], value: object) -> object:
    if not isinstance(value, bool):
        raise InvalidField(path, "must be true or false", rule="type", facts={"type": "boolean"})
    return value


def _address(path: tuple[str, ...], value: object) -> object:
    """An http or https URL. It is shown, never fetched."""
    Text(most=8192)(path, value)
    try:
        parts = urlsplit(str(value))
    except ValueError:
        parts = urlsplit("")
    if parts.scheme.lower() not in {"http", "https"} or not parts.netloc:
        raise InvalidField(path, "must be an http or https URL", rule="url")
    return value


CHECKS: Mapping[str, Callable[[tuple[str, ...], object], object]] = {
    "category": Text(allowed=tuple(category.value for category in Category)),
    "type": Text(allowed=tuple(word for words in TYPES.values() for word in words)),
    "architecture": Text(allowed=ARCHITECTURES),
    "conditioning": Text(allowed=CONDITIONINGS),
    "name": Text(),
    "version_label": Text(most=400),
    "unique_identifier": Text(),
    "private": _flag,
    "default_steps": Range(least=1, most=100, whole=True),
    "default_scheduler": Text(most=200),
    "default_cfg": Range(least=0, most=30),
    "default_strength": Range(least=0, most=1),
    "default_weight": Range(least=-4, most=4),
    "hero_image_url": _address,
    "tags": Texts(unique=True),
    "positive_trigger_words": Texts(),
    "negative_trigger_words": Texts(),
    "short_description": Text(least=2, most=40_000),
    "comment": Text(least=2, most=1000),
}
"""What each field of a card may hold: returns the value to keep, raises `InvalidField` (RU-14, RU-15)."""


def check_given(given: Mapping[str, object], *, architectures: Collection[str] = ()) -> dict[str, object]:
    """What a caller says of a model, as it is kept (JSON): fields that its category does not have are left aside.

    None takes a field back that need not be there. Raises `InvalidField`, or `InvalidFields` for several wrong ones;
    whether all that is required is there, `merged` says. `architectures` are taken beside `ARCHITECTURES`.
    """
    kept: dict[str, object] = {}
    wrong: list[InvalidField] = []
    for name, value in given.items():
        try:
            operators = name == "architecture" and value in architectures
            kept[name] = value if operators else _checked(name, value)
        except InvalidField as error:
            wrong.append(error)
    category = kept.get("category")
    if isinstance(category, str):
        kept = {name: value for name, value in kept.items() if Category(category) in APPLICABLE.get(name, (category,))}
        wrong = [error for error in wrong if Category(category) in APPLICABLE.get(str(error.path[0]), (category,))]
        wrong += _of_another_category(Category(category), kept)
    if len(wrong) > 1:
        raise InvalidFields(tuple(wrong))
    if wrong:
        raise wrong[0]
    return kept


def merged(live: ModelCard | None, given: Mapping[str, object]) -> ModelCard:
    """The card that a model gets: what is `given` (as `check_given` left it) over what is there, over the defaults.

    Raises `InvalidField` for what is missing still, and for a category or type that would change (RU-33).
    """
    values: dict[str, object] = asdict(live) if live is not None else {"type": None, "conditioning": None}
    category = Category(str(given["category"])) if given.get("category") is not None else values.get("category")
    if not isinstance(category, Category):
        raise _missing("category")
    known = {name: value for name, value in given.items() if category in APPLICABLE.get(name, (category,))}
    known["category"] = category
    for name in _FIXED:
        if live is not None and known.get(name, values[name]) != values[name]:
            raise InvalidField((name,), "cannot be changed; register another model", rule="immutable")
    if live is None:
        values |= {name: value for name, value in DEFAULTS.items() if category in APPLICABLE[name]}
        for name in (*REQUIRED, *(("type",) if category in TYPES else ())):
            if known.get(name) is None:
                raise _missing(name)
    for error in _of_another_category(category, known):
        raise error
    for name, value in known.items():
        values[name] = tuple(value) if name in _TUPLES and isinstance(value, list | tuple) else value
    return ModelCard(**{name: value for name, value in values.items() if name in _FIELDS})  # type: ignore[arg-type]  # checked by `check_given`


def _checked(name: str, value: object) -> object:
    if name not in CHECKS:
        raise InvalidField((name,), "is not known", rule="unknown")
    if value is None:
        if name in _TUPLES:
            return []
        if name in {*REQUIRED, "type", "private"}:
            raise _missing(name)
        return None
    return CHECKS[name]((name,), value)


def _of_another_category(category: Category, given: Mapping[str, object]) -> list[InvalidField]:
    value, allowed = given.get("type"), TYPES.get(category, ())
    if value is None or value in allowed:
        return []
    message = f"must be one of {', '.join(allowed)} for {category.value}"
    return [InvalidField(("type",), message, rule="choice", facts={"allowed": allowed})]


def _missing(name: str) -> InvalidField:
    return InvalidField((name,), "is required", rule="missing")
