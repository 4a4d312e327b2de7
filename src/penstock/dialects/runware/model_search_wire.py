"""`modelSearch`: the task's filters, and how a model is shown (contract §11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.dialects.runware.model_wire import OTHER_CONDITIONINGS
from penstock.dialects.runware.parameters import choice, given, integer, line_of, text, texts
from penstock.domain.air import parse_reference
from penstock.domain.models import ModelQuery, ModelSort, Visibility
from penstock.domain.weights import Category

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.domain.ids import AccountId
    from penstock.domain.models import RegisteredModel

    Task = Mapping[str, Any]

TASK = "modelSearch"
COMMUNITY = "community"
"""Where every model here comes from, in the product's words."""
SORTS: Mapping[str, ModelSort] = {
    "name": ModelSort.NAME,
    "popularity": ModelSort.USED,
    "addedUnixTimestamp": ModelSort.ADDED,
    "updatedDateUnixTimestamp": ModelSort.UPDATED,
}
SCORE = "_score"
"""How well a model fits a text; here they all do, so the newest come first (inferred)."""
VISIBILITIES: Mapping[str, Visibility | None] = {
    "all": Visibility.ALL,
    "public": Visibility.PUBLIC,
    "private": Visibility.PRIVATE,
    "owned": Visibility.OWNED,
    "favorite": None,
}
"""What several clients' types name; nobody has favourites here, so that there are none to find (inferred)."""
ORIGINS = (COMMUNITY, "official", "featured")
"""Likewise of `source`: no model here is the product's own (inferred)."""
_MOST_WORDS = 100
_LONGEST = 400
_MOST_RESULTS = 100
_LAST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is searched. `empty`: for what there cannot be here."""

    query: ModelQuery
    empty: bool


def parse_search(task: Task) -> Search:
    """Read a task. Raises `InvalidField` for the first parameter that is wrong.

    A text that is a whole AIR finds that model alone; a filter is one value or an array of them; values that nobody
    knows fit nothing; `capabilities` are not known of any model, and not looked at (all inferred).
    """
    visibility = VISIBILITIES[choice(task, "visibility", tuple(VISIBILITIES)) or "all"]
    origins = _several(task, "source")
    wanted = _several(task, "category")
    categories = tuple(Category(one) for one in wanted if one in set(Category))
    sort, descending = _order(task)
    said = text(task, "search", least=0) or ""
    reference = parse_reference(said)
    air = reference.air if reference is not None else None
    query = ModelQuery(
        text=(said or None) if air is None else None,
        airs=() if air is None else (air,),
        tags=texts(task, "tags", most=_MOST_WORDS, longest=_LONGEST) or (),
        categories=categories,
        types=_several(task, "type"),
        architectures=_several(task, "architecture"),
        conditionings=tuple(OTHER_CONDITIONINGS.get(one, one) for one in _several(task, "conditioning")),
        visibility=visibility or Visibility.ALL,
        sort=sort,
        descending=descending,
        offset=integer(task, "offset", least=0, most=_LAST, default=0) or 0,
        limit=integer(task, "limit", least=1, most=_MOST_RESULTS, default=20) or 20,
    )
    hopeless = (wanted and not categories) or (origins and COMMUNITY not in origins)
    return Search(query=query, empty=visibility is None or bool(hopeless))


def result_item(total: int, models: Sequence[RegisteredModel], viewer: AccountId) -> dict[str, object]:
    """The one item of an answer; `total` is how many there are beside the page."""
    return {"totalResults": total, "results": [_shown(model, viewer) for model in models]}


def _shown(model: RegisteredModel, viewer: AccountId) -> dict[str, object]:
    """Members that the Python SDK's class must have are there, if only as null; the others where they say something."""
    card = model.card
    said = {
        "type": card.type,
        "defaultSteps": card.default_steps,
        "defaultScheduler": card.default_scheduler,
        "defaultCFG": card.default_cfg,
        "defaultStrength": card.default_strength,
        "defaultWeight": card.default_weight,
        "conditioning": card.conditioning,
        "positiveTriggerWords": line_of(card.positive_trigger_words) or None,
        "negativeTriggerWords": line_of(card.negative_trigger_words) or None,
        "shortDescription": card.short_description,
    }
    return {
        "air": model.air,
        "name": card.name,
        "version": card.version_label,
        "category": card.category.value,
        "architecture": card.architecture,
        "tags": list(card.tags),
        "heroImage": card.hero_image_url,
        "private": card.private,
        "comment": card.comment if model.account_id == viewer else None,  # internal (inferred)
        "source": COMMUNITY,
        **{name: value for name, value in said.items() if value is not None},
    }


def _order(task: Task) -> tuple[ModelSort, bool]:
    """By what, and whether from the greatest; a `-` in front of the word says so."""
    words = (*SORTS, SCORE)
    word = choice(task, "sort", (*words, *(f"-{one}" for one in words))) or f"-{SCORE}"
    name = word.removeprefix("-")
    return (ModelSort.ADDED, True) if name == SCORE else (SORTS[name], word != name)


def _several(task: Task, name: str) -> tuple[str, ...]:
    value = given(task, name)
    if isinstance(value, str):
        return (text(task, name, most=_LONGEST) or "",)
    if value is None:
        return ()
    return texts(task, name, most=_MOST_WORDS, longest=_LONGEST) or ()
