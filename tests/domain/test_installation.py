"""Marks: what a bucket is to a database, and the mark as an object's bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.installation import Belonging, Mark, belonging, format_mark, parse_mark

OURS = Mark(id="a" * 32, generation=5)


@pytest.mark.parametrize(
    ("bucket", "verdict"),
    [
        (None, Belonging.UNMARKED),
        (OURS, Belonging.OURS),
        (Mark(id=OURS.id, generation=4), Belonging.OURS),
        (Mark(id=OURS.id, generation=6), Belonging.AHEAD),
        (Mark(id="b" * 32, generation=5), Belonging.FOREIGN),
        (Mark(id="b" * 32, generation=6), Belonging.FOREIGN),
    ],
)
def test_what_a_bucket_is_to_a_database(bucket: Mark | None, verdict: Belonging) -> None:
    assert belonging(database=OURS, bucket=bucket) is verdict


@given(st.builds(Mark, id=st.text("0123456789abcdef", min_size=32, max_size=32), generation=st.integers(0, 2**62)))
def test_a_mark_comes_back_as_it_was_written(mark: Mark) -> None:
    assert parse_mark(format_mark(mark)) == mark


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"id": "short", "generation": 1}',
        b'{"id": "' + b"A" * 32 + b'", "generation": 1}',
        b'{"id": "' + b"a" * 32 + b'", "generation": -1}',
        b'{"id": "' + b"a" * 32 + b'", "generation": "1"}',
        b'{"id": "' + b"a" * 32 + b'"}',
    ],
)
def test_other_bytes_are_no_mark(data: bytes) -> None:
    assert parse_mark(data) is None
