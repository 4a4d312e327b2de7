"""What parent and child say to each other over a socket pair: JSON and bytes, requests with a descriptor.

A message is two lengths (big-endian, 4 bytes each), a JSON object, and bytes. The child is not trusted once it has seen
a file: whoever asked checks what it says.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD = struct.Struct(">II")
MAX_JSON, MAX_BYTES = 1 << 18, 1 << 20
_WORD_CHARACTERS = 200


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


def printable(text: str, most: int = _WORD_CHARACTERS) -> str:
    """Its first characters, without those that cannot be shown."""
    return "".join(letter for letter in text[:most] if letter.isprintable())
