"""The numbered statements are well formed, and counting them is honest."""

from __future__ import annotations

import re

import pytest

from tests.support.statements import Dialect, Tally, load_dialects, unknown_numbers


@pytest.mark.parametrize("dialect", load_dialects(), ids=lambda dialect: dialect.name)
def test_a_dialects_statements_share_one_prefix_and_say_something(dialect: Dialect) -> None:
    prefixes = {re.fullmatch(r"([A-Z]{2})-\d\d", number)[1] for number in dialect.statements}  # type: ignore[index]  # None fails the test as well

    assert len(prefixes) == 1
    assert all(text.strip() for text in dialect.statements.values())


def test_no_number_is_used_by_two_dialects() -> None:
    numbers = [number for dialect in load_dialects() for number in dialect.statements]

    assert len(numbers) == len(set(numbers))


def test_a_number_that_no_dialect_states_is_found() -> None:
    assert unknown_numbers(["XX-01", "XX-02"], {"XX-02"}) == ["XX-01"]


def test_a_statement_passes_only_when_every_test_that_carries_it_does() -> None:
    tally = Tally()

    tally.record(["XX-01", "XX-02"], passed=True)
    tally.record(["XX-02", "XX-03"], passed=False)

    assert tally.passed == {"XX-01"}


def test_a_statement_proven_in_part_is_not_counted_as_passed() -> None:
    tally = Tally(proven={"XX-01"}, in_part={"XX-01", "XX-02"})
    dialect = Dialect(name="example", statements={"XX-01": "one", "XX-02": "two", "XX-03": "three"})

    assert tally.lines([dialect], verbose=True) == [
        "example        1 of   3 statements passed, 1 more in part",
        "    XX-02  (in part) two",
        "    XX-03  three",
        "all            1 of   3",
    ]


def test_the_table_counts_by_dialect_and_names_what_is_missing() -> None:
    tally = Tally(proven={"XX-01"})
    dialect = Dialect(name="example", statements={"XX-01": "one", "XX-02": "two"})

    assert tally.lines([dialect], verbose=True) == [
        "example        1 of   2 statements passed",
        "    XX-02  two",
        "all            1 of   2",
    ]
