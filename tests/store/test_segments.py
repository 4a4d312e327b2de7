from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.store.segments import Segment, covering, how_many, runs_of, segment_of, segments_of

PARTS = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 9)), max_size=12, unique_by=lambda part: part[0]).map(
    sorted
)


def test_equal_parts_that_follow_each_other_are_one_run() -> None:
    parts = [(number, 16) for number in range(1, 641)]

    assert runs_of([*parts, (641, 3)]) == ((1, 640, 16), (641, 1, 3))


def test_a_gap_or_another_size_begins_a_run() -> None:
    assert runs_of([(1, 8), (3, 8), (4, 8), (7, 9)]) == ((1, 1, 8), (3, 2, 8), (7, 1, 9))


@given(parts=PARTS)
def test_runs_give_back_the_parts_and_where_each_begins(parts: list[tuple[int, int]]) -> None:
    runs = runs_of(parts)
    starts = [sum(size for _, size in parts[:index]) for index in range(len(parts))]
    expected = [Segment(number, start, size) for (number, size), start in zip(parts, starts, strict=True)]

    assert list(segments_of(runs)) == expected
    assert how_many(runs) == len(parts)
    assert [segment_of(runs, number) for number, _ in parts] == expected
    assert segment_of(runs, 31) is None


@given(parts=PARTS, data=st.data())
def test_a_range_is_covered_by_the_same_bytes_of_the_parts(parts: list[tuple[int, int]], data: st.DataObject) -> None:
    content = {number: bytes([number] * size) for number, size in parts}
    whole = b"".join(content[number] for number, _ in parts)
    offset = data.draw(st.integers(0, len(whole)))
    count = data.draw(st.integers(0, len(whole) - offset))

    covered = list(covering(runs_of(parts), offset, count))

    assert b"".join(content[number][at : at + length] for number, at, length in covered) == whole[offset:][:count]
    assert all(length for _, _, length in covered)
