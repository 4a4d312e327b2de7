from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.store.chunks import CHUNK_BYTES, STRIDE_BYTES, TAG_BYTES, chunks_of, encrypted_size


def test_a_file_has_one_tag_for_each_begun_chunk() -> None:
    sizes = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]

    tags = [(encrypted_size(size) - size) // TAG_BYTES for size in sizes]

    assert tags == [0, 1, 1, 1, 2, 3]


@given(size=st.integers(0, 5 * CHUNK_BYTES), ends=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_range_is_the_wanted_parts_of_its_chunks(size: int, ends: tuple[float, float]) -> None:
    start, end = sorted(round(size * share) for share in ends)

    chunks = list(chunks_of(size, start, end - start))

    wanted = [
        position
        for chunk in chunks
        for position in (
            chunk.number * CHUNK_BYTES + chunk.inside,
            chunk.number * CHUNK_BYTES + chunk.inside + chunk.count,
        )
    ]
    assert wanted == sorted(wanted)
    assert wanted[0:1] + wanted[-1:] == ([start, end] if end > start else [])
    assert sum(chunk.count for chunk in chunks) == end - start
    assert all(chunk.place == chunk.number * STRIDE_BYTES for chunk in chunks)
    assert all(chunk.place + chunk.size + TAG_BYTES <= encrypted_size(size) for chunk in chunks)
