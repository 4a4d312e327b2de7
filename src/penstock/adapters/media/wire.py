"""What the child says of a file, and how much of it is believed.

It is not trusted once it has seen a file: `parse_answer` checks what it says and cuts it to size.
"""

from __future__ import annotations

import math
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from penstock.adapters.children.messages import NoMessageError, printable
from penstock.domain.media_facts import MediaFacts
from penstock.ports.media import Inspection

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROBLEM_CHARACTERS = 200
_WORD_CHARACTERS = 40
_LARGEST = 2**53
_WORDS = frozenset({"video_codec", "audio_codec"})
_FRACTIONS = frozenset({"duration", "fps"})


def answer(seen: Inspection) -> dict[str, object]:
    """An inspection, but for its thumbnail, as JSON."""
    facts = {name: fact for name, fact in asdict(seen.facts).items() if fact is not None} if seen.facts else {}
    return {"facts": facts, "problem": seen.problem}


def parse_answer(message: Mapping[str, object], data: bytes) -> Inspection:
    """What the child claims to have seen, as far as it can be true. Raises `NoMessageError`."""
    facts, problem = message.get("facts"), message.get("problem")
    if not isinstance(facts, dict) or (data and not _is_webp(data)):
        raise NoMessageError
    known = {field.name: _fact(field.name, facts.get(field.name)) for field in fields(MediaFacts)}
    return Inspection(
        facts=MediaFacts(**known) if any(fact is not None for fact in known.values()) else None,
        thumbnail=data or None,
        problem=printable(problem, _PROBLEM_CHARACTERS) if isinstance(problem, str) else None,
    )


def _fact(name: str, value: object) -> Any:  # noqa: ANN401 - an int, a float or a word, as the field wants
    if name in _WORDS:
        return printable(value, _WORD_CHARACTERS) if isinstance(value, str) and value else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        return None
    if name in _FRACTIONS:
        return round(float(value), 6) if math.isfinite(value) else None
    return int(value) if isinstance(value, int) else None


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 == len(data)
