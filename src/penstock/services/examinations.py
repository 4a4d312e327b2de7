"""Examining the beginning of a model file for somebody who has not uploaded it yet."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.domain.errors import InvalidField
from penstock.domain.model_cards import check_given
from penstock.domain.weights import ModelCheck

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.domain.weights import Declaration, Examination
    from penstock.ports.weights import Examiner


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was found, and what it says for the fields of a card; what it cannot say is left out.

    `check` is how a registration would look at it.
    """

    found: Examination
    check: ModelCheck
    proposal: Mapping[str, object]


class Examinations:
    """Looks at headers. Nothing is kept."""

    def __init__(self, examiner: Examiner, *, check: ModelCheck = ModelCheck.ENFORCE) -> None:
        self._examiner = examiner
        self._check = check

    def look(self, head: bytes, *, size: int | None, declared: Declaration | None) -> Examined:
        """Judge a file by its first bytes, which must hold its header; `size` is that of the whole file.

        Raises `NotSafetensors`, `Unavailable`.
        """
        end = self._examiner.header_end(head, size=size)
        found = self._examiner.examine(head[:end], size=size, declared=declared)
        return Examined(found=found, check=self._check, proposal=proposal_of(found))


def proposal_of(found: Examination) -> Mapping[str, object]:
    """Fields that follow from the structure, and words of the file's own metadata for others."""
    told: dict[str, object] = {}
    if found.category is not None:
        told["category"] = found.category.value
    if len(found.architectures) == 1:
        told["architecture"] = found.architectures[0]
    told |= {
        name: value for name, value in (("type", found.type), ("conditioning", found.conditioning)) if value is not None
    }
    kept = check_given(told)
    for name, text in found.suggestions.items():
        # A file's own words are no reason to refuse it: what a card does not take is left out.
        with suppress(InvalidField):
            if name in {"name", "short_description"}:
                kept |= check_given({name: text})
            elif name == "positive_trigger_words":
                kept |= check_given({"category": kept.get("category"), name: text.split(", ")})
    return {name: value for name, value in kept.items() if value is not None}
