"""Whether a file is what it was declared to be, and what it may be declared as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.domain.weights import FITTING, VerdictKind
from penstock.weights.families import (
    ADAPTERS,
    ARCHITECTURES,
    CATEGORY_LABELS,
    GENERAL,
    LABELS,
    TYPES,
    acceptable,
    tolerable,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from penstock.domain.weights import Declaration
    from penstock.weights.identify import Found

MEANINGS: Mapping[VerdictKind, str] = {
    VerdictKind.MATCH: "the structure is what was declared",
    VerdictKind.MATCH_UNVERIFIED: (
        "it can be used so, with a warning: no structure shows the variant, or the words are unusual"
    ),
    VerdictKind.MISMATCH: "it is something else: the message says what, by which tensors, and what to declare",
    VerdictKind.INCOMPLETE: "tensors are missing or do not fit: blocks, halves of an adapter, vectors of an embedding",
    VerdictKind.UNSUPPORTED: "it is recognised, and no architecture or type covers it",
    VerdictKind.UNKNOWN: "nothing here recognises it, or its parts belong to different families",
}
"""Verdicts, and what they say. The first two let a file through."""

SHOWN = 3
"""So many missing tensors are named; the others are counted."""

PAIR = frozenset({"lora", "lycoris"})
"""Loaders tell these two by the names of tensors, so that either word serves for both."""

MASKED = frozenset({"inpaint", "inpaintdepth"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a file fits its declaration (`MEANINGS`).

    Only `match_unverified` has `warnings`, and only `mismatch`, `incomplete` and `unknown` have `problems`.
    `architectures` are those that the file may be declared as.
    """

    kind: VerdictKind
    message: str
    architectures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the file can be used as declared."""
        return self.kind in FITTING


def judge(found: Found, declared: Declaration, *, further: Collection[str | None] = ()) -> Verdict:
    """The verdict on a file. `further` are architectures that the operator allows beside the known ones."""
    architectures = acceptable(found)
    problems = list(_broken(found))
    if problems:
        kind = VerdictKind.INCOMPLETE if found.missing else VerdictKind.UNKNOWN
        return _refuse(kind, found, declared, problems, architectures)
    operators = declared.architecture in further and declared.architecture not in ARCHITECTURES
    if not operators and not _usable(found, architectures):
        return _refuse(_kind_of_useless(found), found, declared, [], architectures)
    problems = [*_category(found, declared), *_type(found, declared), *_conditioning(found, declared)]
    if not operators:
        problems += _architecture(found, declared, architectures)
    if problems:
        return _refuse(VerdictKind.MISMATCH, found, declared, problems, architectures)
    warnings = tuple(_warnings(found, declared, architectures, operators=operators))
    kind = VerdictKind.MATCH_UNVERIFIED if warnings else VerdictKind.MATCH
    message = " ".join((f"This is {described(found)}.", *map(_sentence, warnings)))
    return Verdict(kind=kind, message=message, architectures=architectures, warnings=warnings)


def described(found: Found) -> str:
    """What the file is, in words: `a checkpoint of Stable Diffusion XL`."""
    family = LABELS.get(found.family or "", found.family)
    if found.category is None:
        return family or "a file that nothing here recognises"
    label = CATEGORY_LABELS[found.category]
    detail = ", ".join(_details(found))
    return f"a {label} of {family or 'an unknown family'}" + (f" ({detail})" if detail else "")


def _details(found: Found) -> Iterator[str]:
    if found.category == "checkpoint" and found.type:
        yield found.type
    if found.algorithm:
        yield found.algorithm
    if found.family == "flux1" and found.category in {"checkpoint", "controlnet"}:
        yield "with guidance" if found.facts.get("guidance") else "without guidance"
    for fact in ("pruned", "quantised"):
        if fact in found.facts:
            yield str(found.facts[fact])
    yield from (fact for fact in ("cond_proj", "union", "mask", "dora", "control", "edit") if found.facts.get(fact))


def _broken(found: Found) -> Iterator[str]:
    if found.missing:
        shown = ", ".join(found.missing[:SHOWN])
        more = len(found.missing) - SHOWN
        yield f"parts are missing or do not fit: {shown}" + (f" and {more} more" if more > 0 else "")
    if found.contradiction:
        yield found.contradiction


def _usable(found: Found, architectures: tuple[str, ...]) -> bool:
    return bool(architectures) and (found.category != "checkpoint" or found.type in TYPES["checkpoint"])


def _kind_of_useless(found: Found) -> VerdictKind:
    return VerdictKind.UNSUPPORTED if found.family else VerdictKind.UNKNOWN


def _category(found: Found, declared: Declaration) -> Iterator[str]:
    pair = {found.category, declared.category}
    if found.category is not None and len(pair) > 1 and pair != PAIR:
        yield f"it is no {CATEGORY_LABELS.get(declared.category, declared.category)}"


def _architecture(found: Found, declared: Declaration, architectures: tuple[str, ...]) -> Iterator[str]:
    allowed = {*architectures, *tolerable(found)}
    if declared.architecture is not None and declared.architecture not in allowed:
        yield f"it is not of the architecture {declared.architecture}"


def _type(found: Found, declared: Declaration) -> Iterator[str]:
    """Only a checkpoint's structure shows its type: other inputs would crash whoever loads it."""
    if declared.type is None or found.type is None or found.category != "checkpoint":
        return
    if declared.type != found.type and not _refines(found, declared):
        yield f"its type is {found.type}, not {declared.type}"


def _refines(found: Found, declared: Declaration) -> bool:
    return declared.type == "refiner" and found.family == "sdxl" and found.type == "base"


def _conditioning(found: Found, declared: Declaration) -> Iterator[str]:
    masked = found.category == "controlnet" and found.facts.get("mask")
    if masked and declared.conditioning is not None and declared.conditioning not in MASKED:
        yield f"it takes a mask, so its conditioning is inpaint, not {declared.conditioning}"


def _warnings(found: Found, declared: Declaration, architectures: tuple[str, ...], *, operators: bool) -> Iterator[str]:
    named = declared.architecture
    if operators:
        yield f"nothing is known here of the architecture {named}, which the operator allows"
    elif named is not None and named in tolerable(found):
        yield f"it is declared {named}: {tolerable(found)[named]}"
    elif named is not None:
        yield from _unproved(found, named, architectures)
    if found.category != declared.category and found.category is not None and found.algorithm != "locon":
        yield f"it is declared {declared.category}, and its algorithm is {found.algorithm}"
    if _refines(found, declared):
        yield "it is declared refiner, and has the structure of a base model"
    yield from _oddities(found, declared)


def _unproved(found: Found, named: str, architectures: tuple[str, ...]) -> Iterator[str]:
    others = ", ".join(name for name in architectures if name != named)
    open_family = found.category == "vae" or found.family == "flux1_or_qwen"
    if others and (open_family or (found.category == "checkpoint" and named not in GENERAL)):
        yield f"nothing in its structure tells {named} from {others}"


def _oddities(found: Found, declared: Declaration) -> Iterator[str]:
    """What whoever runs it should know."""
    if found.facts.get("edit"):
        yield "it is an edit model, which works on a source image"
    if found.facts.get("control"):
        yield "it is a control LoRA, which works on a control image"
    if found.suggestions.relative and found.algorithm and found.family == "flux1":
        yield f"its metadata name {LABELS[found.suggestions.relative]}, whose layers have the same shapes"
    unlikely = found.conditioning and declared.conditioning not in {None, *found.conditioning}
    if unlikely and found.category == "controlnet":
        yield f"its hints fit {', '.join(found.conditioning)} rather than {declared.conditioning}"
    if found.category == "embeddings" and found.suggestions.negative is not None and declared.type is not None:
        told = "negative" if found.suggestions.negative else "positive"
        if told != declared.type:
            yield f"its metadata call it {told}"


def _refuse(
    kind: VerdictKind, found: Found, declared: Declaration, problems: list[str], architectures: tuple[str, ...]
) -> Verdict:
    claim = " ".join(filter(None, (declared.architecture, declared.type, declared.conditioning, declared.category)))
    keys = "; ".join(f"{one.key} {list(one.shape)}" for one in found.evidence)
    words = [f"This is {described(found)}, declared as {claim}."]
    words += map(_sentence, problems)
    words += [f"Deciding tensors: {keys}."] if keys else []
    words.append(_advice(kind, found, architectures))
    return Verdict(kind=kind, message=" ".join(words), architectures=architectures, problems=tuple(problems))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _advice(kind: VerdictKind, found: Found, architectures: tuple[str, ...]) -> str:
    if kind is VerdictKind.INCOMPLETE:
        return "Export or download it again; of a model in several files, put them together first."
    if kind is VerdictKind.MISMATCH and architectures:
        choice = architectures[0] if len(architectures) == 1 else f"one of {', '.join(architectures)}"
        typed = f", type {found.type}" if found.category == "checkpoint" else ""
        return f"Declare it as {found.category}, architecture {choice}{typed}."
    if kind is VerdictKind.MISMATCH:
        return f"Declare it as {found.category}." if found.category else "It can be declared as nothing known here."
    if kind is VerdictKind.UNKNOWN:
        return "Its tensors do not tell what it is for."
    return "No type covers what it takes as its input." if architectures else "No architecture covers it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What an uploader need not say, and what must be asked.

    `architectures` are all acceptable ones, likeliest first: what metadata name goes before the family's general name.
    `ask` names the fields of which the file does not tell enough: the first word of a list is then only a guess.
    `refused` says why the file cannot be uploaded as anything.
    """

    category: str | None = None
    architectures: tuple[str, ...] = ()
    type: str | None = None
    conditioning: str | None = None
    name: str | None = None
    trigger_words: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    refused: str | None = None


def propose(found: Found) -> Proposal:
    """Fields of an upload, as far as the file tells them."""
    architectures = acceptable(found)
    broken = list(_broken(found))
    if broken or not _usable(found, architectures):
        words = [f"This is {described(found)}.", *map(_sentence, broken)]
        kind = VerdictKind.INCOMPLETE if found.missing else _kind_of_useless(found)
        return Proposal(refused=" ".join([*words, _advice(kind, found, architectures)]))
    hinted = [name for name in found.suggestions.architectures if name in architectures]
    ordered = tuple(dict.fromkeys([*hinted, *architectures]))
    conditioning = _proposed_conditioning(found)
    return Proposal(
        category=found.category,
        architectures=ordered,
        type=found.type if found.category in TYPES else None,
        conditioning=conditioning,
        name=found.suggestions.title,
        trigger_words=found.suggestions.trigger_words,
        ask=tuple(_questions(found, ordered, hinted, conditioning)),
    )


def _proposed_conditioning(found: Found) -> str | None:
    if found.category != "controlnet":
        return None
    if found.facts.get("mask"):
        return "inpaint"
    return found.suggestions.conditioning


def _questions(found: Found, ordered: tuple[str, ...], hinted: list[str], conditioning: str | None) -> Iterator[str]:
    fits_all = found.category in {"lora", "lycoris", "embeddings", "controlnet"} and found.family in ADAPTERS
    if len(ordered) > 1 and not hinted and not (fits_all and ordered[0] in GENERAL):
        yield "architecture"
    if found.category == "embeddings" and found.suggestions.negative is None:
        yield "type"
    if found.category == "controlnet" and conditioning is None and not found.facts.get("union"):
        yield "conditioning"
    if found.suggestions.title is None:
        yield "name"
