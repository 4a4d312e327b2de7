"""Outcomes of paired rounds, and the table they make: medians with their span, ratios round by round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One measurement. `cpu` is the server's, in the row's unit; `busy` is the client's share of one core."""

    figure: float
    cpu: float | None = None
    peak_mb: float | None = None
    busy: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What a figure is in, what CPU time is told in beside it, and whether the smaller figure is the better one."""

    name: str
    cpu: str = ""
    less_is_better: bool = False


BANDWIDTH = Unit(name="MB/s", cpu="s/GB")
RATE = Unit(name="/s", cpu="ms each")
DURATION = Unit(name="ms", cpu="ms", less_is_better=True)
MEMORY = Unit(name="MB", cpu="s/GB", less_is_better=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a row measures. `aims` are the least ratios of ours to a peer, `most` the largest figure of ours."""

    name: str
    title: str
    unit: Unit
    aims: tuple[tuple[str, float], ...] = ()
    most: float | None = None


@dataclass(slots=True)
class Sheet:
    """All outcomes of a run: by row, then by server, one per round."""

    outcomes: dict[str, dict[str, list[Outcome]]] = field(default_factory=dict)
    missing: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, row: str, server: str, outcome: Outcome) -> None:
        self.outcomes.setdefault(row, {}).setdefault(server, []).append(outcome)

    def lack(self, row: str, server: str, reason: str) -> None:
        """Why there is no figure."""
        self.missing.setdefault(row, {})[server] = reason

    def render(self, headings: Sequence[Heading], *, ours: str) -> str:
        """A Markdown table."""
        lines = [
            "| work | server | median (min–max) | ours is × better | aim | server CPU | peak RSS | client |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for heading in headings:
            servers = self.outcomes.get(heading.name, {})
            title = f"{heading.title}, {heading.unit.name}"
            for server, outcomes in servers.items():
                mine = servers.get(ours, []) if server != ours else []
                cells = [title, server, *_cells(heading, server, outcomes, mine, ours=ours)]
                lines.append(f"| {' | '.join(cells)} |")
                title = ""
            for server, reason in self.missing.get(heading.name, {}).items():
                lines.append(f"| {title} | {server} | not available: {reason} | | | | | |")
                title = ""
        return "\n".join(lines)


def span(values: Sequence[float]) -> str:
    """Median, and least and most where there are several."""
    middle = _number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({_number(min(values))}–{_number(max(values))})"


def _cells(
    heading: Heading, server: str, outcomes: Sequence[Outcome], mine: Sequence[Outcome], *, ours: str
) -> list[str]:
    ratios = [
        theirs.figure / our.figure if heading.unit.less_is_better else our.figure / theirs.figure
        for our, theirs in zip(mine, outcomes, strict=False)
    ]
    cpu, peak, busy = (
        _median([value for outcome in outcomes if (value := getattr(outcome, name)) is not None])
        for name in ("cpu", "peak_mb", "busy")
    )
    return [
        span([outcome.figure for outcome in outcomes]),
        span(ratios) if ratios else "",
        _aim(heading, server, ours=ours),
        f"{_number(cpu)} {heading.unit.cpu}" if cpu is not None else "",
        f"{peak:.0f} MB" if peak is not None else "",
        f"{busy:.0%}" if busy is not None else "",
    ]


def _aim(heading: Heading, server: str, *, ours: str) -> str:
    if server == ours:
        return f"≤ {heading.most:g} {heading.unit.name}" if heading.most is not None else ""
    return next((f"≥ {least:g}" for name, least in heading.aims if name == server), "")


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _number(value: float) -> str:
    if value >= 100:  # noqa: PLR2004 - three digits say enough
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - likewise
