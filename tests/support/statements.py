"""Numbered contract statements: `@pytest.mark.statement("…")` must name one that exists, and passes can be counted.

A test that proves a statement in part says so (`statement("…", part="single PUT")`); such a statement is told apart.

The statements stand in docs/dialects/statements/*.toml. `./dev statements` runs the tests that carry a number and
prints, by dialect, how many statements passed; with `-v` also which have no passing test. A statement has passed when
at least one test carries its number and every test that does passes.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

STATEMENTS = Path(__file__).parents[2] / "docs" / "dialects" / "statements"
_PROPERTY = "statement"
_IN_PART = "statement in part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    name: str
    statements: dict[str, str]


def load_dialects() -> list[Dialect]:
    """The statements of every dialect, by number."""
    dialects = []
    for path in sorted(STATEMENTS.glob("*.toml")):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        dialects.append(Dialect(name=content["dialect"], statements=content["statements"]))
    return dialects


@dataclass(slots=True)
class Tally:
    """Which statements were proven, and which were contradicted or left open."""

    proven: set[str] = field(default_factory=set)
    unproven: set[str] = field(default_factory=set)
    in_part: set[str] = field(default_factory=set)

    def record(self, numbers: Iterable[str], *, passed: bool) -> None:
        (self.proven if passed else self.unproven).update(numbers)

    @property
    def passed(self) -> set[str]:
        return self.proven - self.unproven

    def lines(self, dialects: Iterable[Dialect], *, verbose: bool) -> list[str]:
        """One line per dialect, one for all; when `verbose`, also the statements that did not pass."""
        lines, total, total_passed = [], 0, 0
        for dialect in dialects:
            passed = self.passed & dialect.statements.keys()
            partly = (self.in_part & dialect.statements.keys()) - passed
            total, total_passed = total + len(dialect.statements), total_passed + len(passed)
            more = f", {len(partly)} more in part" if partly else ""
            lines.append(f"{dialect.name:12} {len(passed):3} of {len(dialect.statements):3} statements passed{more}")
            if verbose:
                missing = [(n, text) for n, text in dialect.statements.items() if n not in passed]
                lines += [f"    {n}  {'(in part) ' if n in partly else ''}{text}" for n, text in missing]
        return [*lines, f"{'all':12} {total_passed:3} of {total:3}"]


class StatementsPlugin:
    """Counts on the process that prints; numbers arrive from worker processes as properties of the reports."""

    def __init__(self) -> None:
        self.tally = Tally()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        numbers = [str(value) for name, value in report.user_properties if name == _PROPERTY]
        if report.when == "call" or not report.passed:  # a set-up that fails or skips, or a tear-down that fails
            self.tally.record(numbers, passed=report.passed)
            if report.passed:
                self.tally.in_part.update(str(value) for name, value in report.user_properties if name == _IN_PART)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("statements")
        verbose = terminalreporter.config.get_verbosity() > 0
        for line in self.tally.lines(load_dialects(), verbose=verbose):
            terminalreporter.line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--statements", action="store_true", help="print how many numbered statements passed, by dialect")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--statements"):
        config.pluginmanager.register(StatementsPlugin())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = {number for dialect in load_dialects() for number in dialect.statements}
    for item in items:
        for mark in item.iter_markers("statement"):
            if not mark.args or unknown_numbers(mark.args, known):
                message = f"{item.nodeid}: no such statement: {unknown_numbers(mark.args, known) or 'no number given'}"
                raise pytest.UsageError(message)
            kind = _IN_PART if mark.kwargs.get("part") else _PROPERTY
            item.user_properties += [(kind, number) for number in mark.args]


def unknown_numbers(numbers: Iterable[object], known: set[str]) -> list[object]:
    return [number for number in numbers if number not in known]
