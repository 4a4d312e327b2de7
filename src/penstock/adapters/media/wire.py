"""What parent and child say to each other, over a socket pair: requests with a descriptor, answers with a picture.

A message is two lengths (big-endian, 4 bytes each), a JSON object, and bytes. The child is not trusted once it has seen
a file: what it says is checked and cut to size by `parse_answer`.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from penstock.domain.media_facts import MediaFacts
from penstock.ports.media import Inspection

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = struct.Struct(">II")
MAX_JSON, MAX_BYTES = 16_384, 1 << 20
_PROBLEM_CHARACTERS = 200
_WORD_CHARACTERS = 40
_LARGEST = 2**53
_WORDS = frozenset({"video_codec", "audio_codec"})
_FRACTIONS = frozenset({"duration", "fps"})


class NoMessageError(Exception):
    """The other side sent something that is no message."""


def encode(message: Mapping[str, object], data: bytes = b"") -> bytes:
    """One message."""
    text = json.dumps(message, separators=(",", ":")).encode()
    return HEAD.pack(len(text), len(data)) + text + data


def lengths(head: bytes) -> tuple[int, int]:
    """Of the JSON and of the bytes that follow. Raises `NoMessageError` when they are more than any message has."""
    text, data = HEAD.unpack(head)
    if text > MAX_JSON or data > MAX_BYTES:
        raise NoMessageError
    return text, data


def decode(text: bytes) -> dict[str, Any]:
    """The JSON object. Raises `NoMessageError`."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise NoMessageError from None
    if not isinstance(message, dict):
        raise NoMessageError
    return message


def answer(seen: Inspection, *, healthy: bool) -> bytes:
    """An inspection as a message; and whether its sender may go on."""
    facts = {name: fact for name, fact in asdict(seen.facts).items() if fact is not None} if seen.facts else {}
    return encode({"facts": facts, "problem": seen.problem, "healthy": healthy}, seen.thumbnail or b"")


def parse_answer(message: Mapping[str, object], data: bytes) -> Inspection:
    """What the child claims to have seen, as far as it can be true. Raises `NoMessageError`."""
    facts, problem = message.get("facts"), message.get("problem")
    if not isinstance(facts, dict) or (data and not _is_webp(data)):
        raise NoMessageError
    known = {field.name: _fact(field.name, facts.get(field.name)) for field in fields(MediaFacts)}
    return Inspection(
        facts=MediaFacts(**known) if any(fact is not None for fact in known.values()) else None,
        thumbnail=data or None,
        problem=_printable(problem, _PROBLEM_CHARACTERS) if isinstance(problem, str) else None,
    )


def words(message: Mapping[str, object], *names: str) -> dict[str, str]:
    """These members as short printable texts."""
    return {name: _printable(str(message.get(name)), _PROBLEM_CHARACTERS) for name in names}


def _fact(name: str, value: object) -> Any:  # noqa: ANN401 - an int, a float or a word, as the field wants
    if name in _WORDS:
        return _printable(value, _WORD_CHARACTERS) if isinstance(value, str) and value else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        return None
    if name in _FRACTIONS:
        return round(float(value), 6) if math.isfinite(value) else None
    return int(value) if isinstance(value, int) else None


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 == len(data)


def _printable(text: str, most: int) -> str:
    return "".join(letter for letter in text[:most] if letter.isprintable())
