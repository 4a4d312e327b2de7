"""What was found in a header: plain values that cross the border of a process as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from penstock.domain.weights import Evidence
from penstock.weights.saying import brief

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.weights.header import Tensor

    Names = Mapping[str, Tensor]
    """Tensors by name; what reads them may have taken a common prefix away."""

    Fact = bool | int | str | tuple[str, ...]

DECIDING_KEYS = 5
"""So many keys are shown to say why a file is what it is."""

DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    """What the file's metadata say. User text, often wrong after merges: it proposes, and never decides.

    `relative` is a family of which an adapter cannot be told by its structure.
    `architectures` are the declarations that the text hints at, likeliest first; `network` is the trainer's own name of
    an adapter's algorithm.
    """

    title: str | None = None
    author: str | None = None
    description: str | None = None
    trigger_words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    conditioning: str | None = None
    negative: bool | None = None
    network: str | None = None
    relative: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a model file is, as far as its header shows.

    Without a `category` nothing was recognised; without a `family` its parts contradict each other (`contradiction`
    says how) or are too few to tell. A family that no architecture covers is named all the same (`sd2`, `flux2`).
    `missing` are tensors that a file of its kind must have: such a file cannot be used. `conditioning` is what the
    structure of a control network allows; empty where it allows anything.
    """

    category: str | None = None
    family: str | None = None
    layout: str | None = None
    type: str | None = None
    algorithm: str | None = None
    conditioning: tuple[str, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    contradiction: str | None = None
    tensors: int = 0
    suggestions: Suggestions = field(default_factory=Suggestions)


def evidence(names: Names, keys: Iterable[str]) -> tuple[Evidence, ...]:
    """The first few of `keys` that are there. Their names are the file's own, with the prefix that `names` lacks."""
    return deciding(names[key] for key in keys if key in names)


def deciding(tensors: Iterable[Tensor]) -> tuple[Evidence, ...]:
    """The first few tensors, as evidence. Their names are whatever somebody wrote."""
    return tuple(Evidence(key=brief(one.name), shape=one.shape) for one in islice(tensors, DECIDING_KEYS))


def axis(names: Names, key: str, index: int) -> int | None:
    """Elements of one axis of a tensor; None where it is absent or of fewer axes."""
    tensor = names.get(key)
    if tensor is None or len(tensor.shape) <= index:
        return None
    return tensor.shape[index]


def indices(names: Iterable[str], stem: str) -> set[int]:
    """The numbers that follow `stem` in names, such as {0, 1} for `stem.0.weight`, `stem.1.bias`."""
    start = len(stem) + 1
    heads = {name[start:].partition(".")[0] for name in names if name.startswith(stem + ".")}
    return {index for head in heads if (index := number(head)) is not None}


def number(text: str) -> int | None:
    """The number of a block; None for any other word. No model has a million blocks, whatever a name says."""
    return int(text) if len(text) <= DIGITS and text.isascii() and text.isdigit() else None


def gaps(stem: str, found: set[int]) -> list[str]:
    """Blocks that are missing before the last one."""
    if not found:
        return []
    missing = (f"{stem}.{index}" for index in range(max(found)) if index not in found)
    return list(islice(missing, DECIDING_KEYS))
