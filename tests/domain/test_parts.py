"""Parts: how large they are, and when those that arrived are the file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.domain.errors import InvalidField, UploadIncomplete
from penstock.domain.ids import AccountId
from penstock.domain.parts import check_part_numbers, chosen_parts, part_count, part_size_for
from penstock.domain.uploads import SizePolicy, Upload
from tests.support.records import make_upload

MIB = 2**20
TIB = 2**40


def upload_of(size: int | None, *, policy: SizePolicy = SizePolicy.EXACT) -> Upload:
    return make_upload(1, AccountId("a"), declared_size=size, size_policy=policy, part_size=10)


@pytest.mark.parametrize("size", [None, 0, 1, 16 * MIB * 10_000])
def test_parts_have_16_mib_while_10_000_of_them_suffice(size: int | None) -> None:
    assert part_size_for(size, wanted=None) == 16 * MIB


@pytest.mark.parametrize("size", [16 * MIB * 10_000 + 1, TIB, 5 * TIB])
def test_parts_grow_with_the_file(size: int) -> None:
    part_size = part_size_for(size, wanted=None)

    assert part_size % MIB == 0
    assert (part_count(size, part_size) or 0) <= 10_000
    assert -(-size // (part_size - MIB)) > 10_000


@pytest.mark.parametrize(
    ("size", "wanted"), [(1, 5 * MIB - 1), (1, 5 * 2**30 + 1), (5 * MIB * 10_000 + 1, 5 * MIB), (1, 0), (1, -1)]
)
def test_a_wish_that_no_store_can_grant_is_refused(size: int, wanted: int) -> None:
    with pytest.raises(InvalidField):
        part_size_for(size, wanted=wanted)


def test_a_wish_is_granted() -> None:
    assert part_size_for(5 * MIB * 10_000, wanted=5 * MIB) == 5 * MIB
    assert part_size_for(None, wanted=5 * 2**30) == 5 * 2**30


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 1), (10, 1), (11, 2), (None, None)])
def test_an_empty_file_has_one_part(size: int | None, count: int | None) -> None:
    assert part_count(size, 10) == count


@pytest.mark.parametrize(("numbers", "count"), [([0], 3), ([1, 4], 3), ([10_001], None), ([-1], None)])
def test_a_part_that_the_file_has_not_is_refused(numbers: list[int], count: int | None) -> None:
    with pytest.raises(InvalidField) as caught:
        check_part_numbers(numbers, count=count)

    assert caught.value.path == ("part_numbers", len(numbers) - 1)


def test_parts_of_any_size_have_five_mebibytes_but_the_last() -> None:
    upload = replace(upload_of(None), part_size=None)
    large, least = (6 * MIB, '"a"'), (5 * MIB, '"b"')

    assert chosen_parts(upload, {1: large, 2: least, 3: (1, '"c"')}, None) == [1, 2, 3]
    assert part_count(20 * MIB, None) is None
    with pytest.raises(UploadIncomplete, match="part 2 must have at least 5242880 bytes"):
        chosen_parts(upload, {1: large, 2: (5 * MIB - 1, '"b"'), 3: least}, None)


def test_what_arrived_is_the_file_when_nothing_is_missing() -> None:
    arrived = {2: (3, '"b"'), 1: (10, '"a"')}

    assert chosen_parts(upload_of(13), arrived, None) == [1, 2]
    assert chosen_parts(upload_of(None), arrived, None) == [1, 2]
    assert chosen_parts(upload_of(99, policy=SizePolicy.ADVISORY), arrived, None) == [1, 2]


@pytest.mark.parametrize(
    ("arrived", "size", "reason"),
    [
        ({2: (10, "b")}, 20, "part 1 did not arrive"),
        ({1: (10, "a"), 4: (1, "b")}, 31, "parts 2, 3 did not arrive"),
        ({1: (9, "a"), 2: (1, "b")}, 10, "part 1 must have 10 bytes"),
        ({1: (10, "a")}, 20, "the parts have 10 bytes, the file 20"),
        ({1: (10, "a"), 2: (11, "b")}, 20, "the parts have 21 bytes, the file 20"),
        ({9: (10, "a")}, 90, "parts 1, 2, 3, 4, 5, … did not arrive"),
    ],
)
def test_what_is_wrong_with_the_parts_is_said(arrived: dict[int, tuple[int, str]], size: int, reason: str) -> None:
    with pytest.raises(UploadIncomplete, match=reason):
        chosen_parts(upload_of(size), arrived, None)


def test_the_parts_that_a_client_names_make_the_file() -> None:
    arrived = {1: (10, '"a"'), 2: (5, '"b"'), 3: (7, '"c"')}

    assert chosen_parts(upload_of(15), arrived, {2: "b", 1: '"a"'}) == [1, 2]


@pytest.mark.parametrize("named", [{1: "b"}, {1: "a", 2: "a"}])
def test_a_part_that_is_named_by_another_etag_is_not_taken(named: dict[int, str]) -> None:
    with pytest.raises(UploadIncomplete, match="did not arrive with that ETag"):
        chosen_parts(upload_of(None), {1: (10, '"a"')}, named)
