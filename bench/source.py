"""The bytes that uploads send: one block over and over in a file in memory, so that sending costs next to nothing."""

from __future__ import annotations

import base64
import os
from functools import cache
from hashlib import sha256
from pathlib import Path

from bench.wire import Slice

BLOCK_BYTES = 1024 * 1024
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs is what is wanted here
_POLYNOMIAL = 0x9A6C9329AC4BC9B5  # CRC-64/NVME, reflected
_ONES = (1 << 64) - 1


class Source:
    """`size` bytes, a multiple of the block."""

    def __init__(self, size: int, *, scratch: Path) -> None:
        self._block = os.urandom(BLOCK_BYTES)
        self._size = size
        place = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else scratch
        self._path = place / f"penstock-bench-{os.getpid()}"
        with self._path.open("wb") as file:
            for _ in range(size // BLOCK_BYTES):
                file.write(self._block)
        self.fd = os.open(self._path, os.O_RDONLY)
        self._path.unlink()

    def close(self) -> None:
        os.close(self.fd)

    def slices(self, count: int) -> list[Slice]:
        """The first `count` bytes of the endless repetition, as pieces of the file."""
        whole, rest = divmod(count, self._size)
        return [*[Slice(self.fd, 0, self._size)] * whole, *([Slice(self.fd, 0, rest)] if rest else [])]

    def sha256(self, count: int, *, repeated: int = 1) -> str:
        """Of the same bytes, so many times, in hex."""
        digest = sha256()
        whole, rest = divmod(count, BLOCK_BYTES)
        for _ in range(repeated):
            for _ in range(whole):
                digest.update(self._block)
            digest.update(self._block[:rest])
        return digest.hexdigest()

    def crc64nvme(self, count: int) -> str:
        """Of the same bytes, as the S3 API writes it: big-endian, in base64."""
        whole, rest = divmod(count, BLOCK_BYTES)
        block, shift, value = _crc64(self._block), _power_of_x(8 * BLOCK_BYTES), 0
        for _ in range(whole):
            value = _multiply(shift, value) ^ block
        value = _multiply(_power_of_x(8 * rest), value) ^ _crc64(self._block[:rest])
        return base64.b64encode(value.to_bytes(8, "big")).decode()

    def small(self, size: int) -> bytes:
        return self._block[:size]


@cache
def _table() -> list[int]:
    values = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        values.append(value)
    return values


def _crc64(data: bytes) -> int:
    table, value = _table(), _ONES
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ _ONES


def _multiply(left: int, right: int) -> int:
    """Modulo the polynomial, as zlib's `crc32_combine` does it: crc(A‖B) = x^(8·|B|) · crc(A) ⊕ crc(B)."""
    product, bit = 0, 1 << 63
    while bit:
        if left & bit:
            product ^= right
        right = right >> 1 ^ (_POLYNOMIAL if right & 1 else 0)
        bit >>= 1
    return product


def _power_of_x(exponent: int) -> int:
    result, square = 1 << 63, 1 << 62
    while exponent:
        if exponent & 1:
            result = _multiply(square, result)
        square = _multiply(square, square)
        exponent >>= 1
    return result
