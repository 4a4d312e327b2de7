"""What the tests ask of an S3 client, and what each driver knows of the client that it drives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What a client does by itself, and what it cannot do: facts of the client, none of the store."""

    checksum: str | None = None
    """The checksum that it sends with a small file, unasked."""
    sends_parts: bool = True
    """Whether it sends a large file in parts."""
    unnameable: frozenset[str] = frozenset()
    """Keys that it cannot name."""
    presigns: frozenset[str] = frozenset({"GET", "PUT"})
    """The methods that it can sign into a URL."""
    missing: str = "NoSuchKey"
    """What it says of a key that is not there."""
    refused: str = "SignatureDoesNotMatch"
    """What it says when its secret is wrong."""


class Client(Protocol):
    """An S3 client, on one bucket with one key pair. Every call is made as its users make it, with its defaults."""

    habits: Habits

    def put(self, key: str, file: Path, *, content_type: str) -> None: ...

    def get(self, key: str) -> bytes: ...

    def get_range(self, key: str, *, start: int, end: int) -> bytes:
        """The bytes from `start` up to, not including, `end`."""
        ...

    def list(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, a folder, in the order in which they come."""
        ...

    def copy(self, source: str, target: str) -> None: ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove keys of one folder, in one call where the client has such a call."""
        ...

    def presign(self, method: str, key: str) -> str:
        """A URL for one of the methods that its habits name."""
        ...

    def error(self, call: Callable[[], object]) -> str:
        """What the client says of a call that fails, in the error class that its users catch."""
        ...

    def close(self) -> None: ...
