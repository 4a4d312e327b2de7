"""The data of one encrypted file: AES-256-GCM, chunk by chunk (`chunks`), so that a range opens only its own chunks.

A key belongs to one file, and a chunk's number is its nonce: no pair is used twice, because an encryptor seals each
number once and is the only one that ever has its key to encrypt with. A chunk that is moved, exchanged with another
file's or cut off does not open. How many chunks there are, and how long the last one is, follows from the size of the
plaintext, which is authenticated with the key itself, in the file's record (`keyring`).
"""

from __future__ import annotations

import base64
import os
import secrets
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from penstock.store.chunks import CHUNK_BYTES, STRIDE_BYTES, TAG_BYTES, Chunk, chunks_of
from penstock.store.record import DamagedError, FlippedError

if TYPE_CHECKING:
    from collections.abc import Generator

KEY_BYTES = 32
_NONCE_BYTES = 12


class Encryptor:
    """Encrypts one file from its first byte to its last, under a new key. Used by one writer."""

    def __init__(self) -> None:
        key = secrets.token_bytes(KEY_BYTES)
        self.cipher = base64.b64encode(key).decode("ascii")
        """The key, as a record names it."""
        self._aead = AESGCM(key)
        self._number = 0
        self._pending = bytearray()
        self.readable = 0
        """Plaintext bytes in what was returned so far."""

    def feed(self, piece: bytes | memoryview) -> bytearray:
        """Take plaintext; the chunks that became whole by it, to be written behind those returned before."""
        view = memoryview(piece)
        whole, _ = divmod(len(self._pending) + len(view), CHUNK_BYTES)
        out = bytearray(whole * STRIDE_BYTES)
        target = memoryview(out)
        if whole and self._pending:
            missing = CHUNK_BYTES - len(self._pending)
            self._pending += view[:missing]
            self._seal(self._pending, target[:STRIDE_BYTES])
            self._pending.clear()
            view, target = view[missing:], target[STRIDE_BYTES:]
        while target:
            self._seal(view[:CHUNK_BYTES], target[:STRIDE_BYTES])
            view, target = view[CHUNK_BYTES:], target[STRIDE_BYTES:]
        self._pending += view
        return out

    def finish(self) -> bytearray:
        """The last chunk, which may be shorter; nothing when all were whole. No plaintext may follow."""
        if not self._pending:
            return bytearray()
        out = bytearray(len(self._pending) + TAG_BYTES)
        self._seal(self._pending, memoryview(out))
        self._pending.clear()
        return out

    def _seal(self, plain: bytearray | memoryview, target: memoryview) -> None:
        self._aead.encrypt_into(_nonce(self._number), plain, None, target)
        self._number += 1
        self.readable += len(plain)


class Decryptor:
    """Opens the chunks of one file, in any order. Safe to use from several threads."""

    def __init__(self, cipher: str) -> None:
        self._aead = AESGCM(base64.b64decode(cipher))

    def pieces(self, fd: int, *, size: int, offset: int, count: int) -> Generator[bytes]:
        """`count` bytes of plaintext from `offset` on, at most a chunk at a time; the file has `size` in all.

        Raises `OSError`, and `DamagedError` instead of giving out a byte that was not written so.
        """
        if offset + count > size:
            raise DamagedError("the encrypted data is shorter than was asked for")
        for chunk in chunks_of(size, offset, count):
            plain = self._open(fd, chunk)
            yield plain if chunk.count == chunk.size else plain[chunk.inside : chunk.inside + chunk.count]

    def read_into(self, fd: int, view: memoryview, *, size: int, offset: int) -> int:
        """Fill `view` with plaintext, as far as there is any. Returns how many bytes; raises as `pieces` does."""
        filled = 0
        for piece in self.pieces(fd, size=size, offset=offset, count=min(len(view), size - offset)):
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def _open(self, fd: int, chunk: Chunk) -> bytes:
        data = os.pread(fd, chunk.size + TAG_BYTES, chunk.place)
        if len(data) != chunk.size + TAG_BYTES:
            raise DamagedError("the encrypted data is shorter than its record says")
        try:
            return self._aead.decrypt(_nonce(chunk.number), data, None)
        except InvalidTag:
            raise FlippedError("the encrypted data is not what was written") from None


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_BYTES, "big")
