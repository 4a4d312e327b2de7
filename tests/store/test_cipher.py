from __future__ import annotations

import os
from functools import cache
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.store.chunks import CHUNK_BYTES, STRIDE_BYTES, encrypted_size
from penstock.store.cipher import Decryptor, Encryptor
from penstock.store.record import DamagedError

if TYPE_CHECKING:
    from pathlib import Path

SIZES = [0, 1, 20_000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 7]
LARGEST = 3 * CHUNK_BYTES + 7


@cache
def plaintext(size: int) -> bytes:
    return Random(size).randbytes(size)  # noqa: S311 - reproducible bytes, no secret


def encrypted(pieces: list[bytes]) -> tuple[str, bytes]:
    """The key and the file's bytes."""
    encryptor = Encryptor()
    data = b"".join(bytes(encryptor.feed(piece)) for piece in pieces)
    return encryptor.cipher, data + bytes(encryptor.finish())


def decrypted(data: bytes, key: str, *, size: int, offset: int = 0, count: int | None = None) -> bytes:
    """Read a range from a file in memory."""
    fd = os.memfd_create("encrypted")
    try:
        os.write(fd, data)
        return b"".join(Decryptor(key).pieces(fd, size=size, offset=offset, count=size if count is None else count))
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_encrypted_is_read_again_and_is_nowhere_in_the_file(size: int) -> None:
    key, data = encrypted([plaintext(size)])

    assert len(data) == encrypted_size(size)
    assert decrypted(data, key, size=size) == plaintext(size)
    assert size < 16 or plaintext(size)[:16] not in data


@given(cuts=st.lists(st.integers(0, LARGEST), max_size=12))
@settings(deadline=None)
def test_the_pieces_it_came_in_make_no_difference(cuts: list[int]) -> None:
    whole, places = plaintext(LARGEST), [0, *sorted(cuts), LARGEST]
    pieces = [whole[start:end] for start, end in pairwise(places)]

    key, data = encrypted(pieces)

    assert decrypted(data, key, size=LARGEST) == whole


@given(ends=st.tuples(st.integers(0, LARGEST), st.integers(0, LARGEST)))
@settings(deadline=None)
def test_any_range_is_that_of_the_plaintext(ends: tuple[int, int]) -> None:
    start, end = sorted(ends)
    key, data = _sample()

    assert decrypted(data, key, size=LARGEST, offset=start, count=end - start) == plaintext(LARGEST)[start:end]


@given(place=st.integers(0, encrypted_size(LARGEST) - 1), bit=st.integers(0, 7))
@settings(deadline=None)
def test_a_flipped_bit_is_found_and_the_other_chunks_stay_readable(place: int, bit: int) -> None:
    key, data = _sample()
    number = place // STRIDE_BYTES
    damaged = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
    begin, end = number * CHUNK_BYTES, min((number + 1) * CHUNK_BYTES, LARGEST)

    with pytest.raises(DamagedError):
        decrypted(damaged, key, size=LARGEST, offset=begin, count=1)
    assert decrypted(damaged, key, size=LARGEST, count=begin) == plaintext(LARGEST)[:begin]
    assert decrypted(damaged, key, size=LARGEST, offset=end, count=LARGEST - end) == plaintext(LARGEST)[end:]


@given(kept=st.integers(0, encrypted_size(LARGEST) - 1))
@settings(deadline=None)
def test_a_file_that_lost_its_end_is_found(kept: int) -> None:
    key, data = _sample()

    with pytest.raises(DamagedError):
        decrypted(data[:kept], key, size=LARGEST)


def test_a_last_chunk_that_claims_another_length_is_found() -> None:
    key, data = _sample()

    for size in (LARGEST - 1, LARGEST + 1):
        with pytest.raises(DamagedError):
            decrypted(data, key, size=size)


def test_chunks_in_another_order_are_found() -> None:
    key, data = _sample()
    chunks = [data[start : start + STRIDE_BYTES] for start in range(0, len(data), STRIDE_BYTES)]
    swapped = b"".join([chunks[1], chunks[0], *chunks[2:]])

    with pytest.raises(DamagedError):
        decrypted(swapped, key, size=LARGEST)


def test_two_files_of_the_same_bytes_have_nothing_in_common_and_do_not_open_each_other() -> None:
    (one, data), (other, others) = encrypted([plaintext(20_000)]), encrypted([plaintext(20_000)])

    assert one != other
    assert data[:16] != others[:16]
    with pytest.raises(DamagedError):
        decrypted(data, other, size=20_000)


def test_a_buffer_is_filled_as_far_as_the_file_goes(tmp_path: Path) -> None:
    key, data = _sample()
    file = tmp_path / "file"
    file.write_bytes(data)
    buffer = bytearray(2 * CHUNK_BYTES)

    with file.open("rb") as opened:
        filled = Decryptor(key).read_into(opened.fileno(), memoryview(buffer), size=LARGEST, offset=2 * CHUNK_BYTES + 1)

    assert (filled, bytes(buffer[:filled])) == (CHUNK_BYTES + 6, plaintext(LARGEST)[2 * CHUNK_BYTES + 1 :])


@cache
def _sample() -> tuple[str, bytes]:
    return encrypted([plaintext(LARGEST)])
