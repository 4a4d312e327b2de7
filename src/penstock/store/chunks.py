"""How an encrypted file is cut: 64 KiB of plaintext make one chunk of the file, with a tag behind it. Pure arithmetic.

It stands apart from `cipher`, because a store without encryption needs it and must load no cryptographic library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 64 * 1024
"""Plaintext in every chunk but the last, which has at least one byte. No data has no chunk."""
TAG_BYTES = 16
STRIDE_BYTES = CHUNK_BYTES + TAG_BYTES


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk and what is wanted of it: `count` plaintext bytes from `inside` on. `size` is its plaintext's."""

    number: int
    size: int
    inside: int
    count: int

    @property
    def place(self) -> int:
        """Where its ciphertext begins in the file."""
        return self.number * STRIDE_BYTES


def encrypted_size(size: int) -> int:
    """Bytes that `size` bytes of plaintext take in a file."""
    return size + TAG_BYTES * -(-size // CHUNK_BYTES)


def chunks_of(size: int, offset: int, count: int) -> Iterator[Chunk]:
    """The chunks that hold `count` bytes from `offset` on, of `size` bytes in all; the range must lie in those."""
    position, end = offset, offset + count
    while position < end:
        number, inside = divmod(position, CHUNK_BYTES)
        whole = min(CHUNK_BYTES, size - number * CHUNK_BYTES)
        wanted = min(whole - inside, end - position)
        yield Chunk(number, whole, inside, wanted)
        position += wanted
