"""The tables of our page, held to the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.dialects.base.bodies import MAX_BODY, MAX_LARGE_BODY
from penstock.dialects.runware import dispatch, routes, sessions, sockets, wire
from penstock.dialects.runware.callbacks import PLAN
from penstock.dialects.runware.errors import ERRORS
from penstock.dialects.runware.model_wire import MESSAGES
from penstock.dialects.runware.tasks import all_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "dialects" / "runware.md").read_text(encoding="utf-8")
ERROR = re.compile(r"^\| (\d{3}) \| `(\w+)`[^|]*\| (documented|inferred) \| .+ \|$", re.MULTILINE)
TASK = re.compile(r"^\| `(\w+)` \| .+ \|$", re.MULTILINE)


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_page_lists_exactly_the_rows_of_the_error_table() -> None:
    documented = {(row.status, row.code) for row in ERRORS.values() if not row.inferred}
    rows = {(row.status, row.code) for row in ERRORS.values()}

    assert {(int(status), code, standing) for status, code, standing in ERROR.findall(section("Errors"))} == {
        (*row, "documented" if row in documented else "inferred") for row in rows
    }


class Anything:
    """Stands for services that nobody calls."""

    def __getattr__(self, name: str) -> Anything:
        return self

    def __iter__(self) -> Iterator[object]:
        return iter(())


def test_the_page_lists_exactly_the_task_types_that_there_are() -> None:
    services: Any = Anything()
    listed = TASK.findall(section("What is there"))

    assert sorted(listed) == sorted({wire.AUTHENTICATION, wire.PING, *all_tasks(services, "http://127.0.0.1:1")})


def test_the_page_tells_the_phases_as_they_are_told() -> None:
    assert [f"| `{phase}` | {message} |" for phase, message in MESSAGES.items()] == re.findall(
        r"^\| `(?:validated|downloaded|optimized|stored|ready)` \| .+ \|$", section("Upload a model"), re.MULTILINE
    )


def test_the_page_tells_when_a_webhook_is_tried_again() -> None:
    first, *others = (delay.total_seconds() for delay in PLAN.delays)
    minutes = [f"{seconds / 60:g}" for seconds in others]

    assert f"after {first:g} seconds, {', '.join(minutes[:-1])} and {minutes[-1]} minutes" in section("Webhooks")


def test_the_page_tells_the_limits_that_hold() -> None:
    for told in (
        f"| a body or a frame | {MAX_LARGE_BODY} bytes; {MAX_BODY} from strangers |",
        f"| tasks in one array | {wire.MOST_TASKS} ",
        f"| the window of a POST | {routes.WINDOW_SECONDS:.0f} seconds ",
        f"| idle time of a connection | {sockets.IDLE_SECONDS:.0f} seconds |",
        f"| undelivered frames | kept for {sessions.KEPT_SECONDS:.0f} seconds and up to {sessions.MOST_KEPT_BYTES} ",
        f"| connections of one account | {sessions.MOST_PER_ACCOUNT} in one process",
        f"| tasks of one account that go on | {dispatch.MOST_PER_ACCOUNT} in one process",
    ):
        assert told in PAGE, told
