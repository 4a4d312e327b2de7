"""What a handler of a task type is given, and what it gives back. It knows neither HTTP nor WebSockets.

How to add a task type: write `tasks/<name>.py` with

    def <name>_tasks(services: Services, base_url: str) -> Mapping[str, Task]:
        return {"taskType": Task(handle=..., ...)}

and add it to the list in `tasks/__init__.py`. A handler is a plain function `handle(call: Call) -> Answer`. It runs in
a thread, so it may block on the database, but not for long: later frames of the same connection wait for it, their
pings too. Long work is a row that somebody else carries on; its events are followed.

- `call.task` is the task as sent (strict JSON, keys unchecked but for `taskType` and `taskUUID`); `call.task_uuid` is a
  valid UUID v4 as sent; `call.allowed(Scope.…)` is the account, if the key may.
- A handler returns its items: dictionaries of the product's members. `taskType` and `taskUUID` of the task are put in
  front of each, unless the item has its own. The members `code`, `error` and `errorId` would make clients take an item
  for an error; they are left out. A refusal within an answer is a `Refusal`; one instead of an answer is raised.
- What goes wrong is raised as a domain error. `InvalidField(("defaultSteps",), "…")` becomes `invalidDefaultSteps` at
  `defaultSteps`; with `rule="missing"` it is `missingDefaultSteps`, with `rule="conflict"` `conflict…`, with
  `rule="unsupported"` `unsupported…`; its `facts` become `type`, `min`, `max`, `allowedValues`, `default`. `errors.py`
  has the rest. A code that no domain error stands for can be given as `rule="code:downloadFailed"`. An error that was
  kept as code and text (that of a model upload) is told by a `Refusal` of a `Failure`.
- To go on, return a `Following`: the items there are, and the subject whose events make further ones. `render` is
  called in a thread for each event above `after`, in order, and returns the items of that event (none for events that
  say nothing here), or raises what is told as the task's last error. After an event of `finals` the task has ended. On
  a WebSocket every item is a frame of its own as it happens; over REST they are collected until the end or the server's
  window is over, and then `unfinished` is asked for what to add. `then` is followed when the subject has ended; its
  items of `now` are told at once.
- Bytes of a file that are to stand in an item take their room first, `call.room.take(size)`; where there is none they
  are not read, and that is told.

A handler may be called again for the same task: clients that lost their connection send it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.dialects.runware.rooms import Room
    from penstock.domain.accounts import Scope
    from penstock.domain.errors import PenstockError
    from penstock.domain.events import Event, EventKind
    from penstock.domain.ids import AccountId
    from penstock.services.accounts import Principal

Item = Mapping[str, object]
"""One member of `data`, in the product's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error that was kept when it happened: the code of a domain error, its text, the product's parameter."""

    code: str
    message: str
    parameter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error that stands beside items, or one of another task than the one that asks (its type and UUID)."""

    error: PenstockError | Failure
    task_type: str | None = None
    task_uuid: str | None = None


def _nothing() -> Sequence[Item | Refusal]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """Items now, and further ones from the events of a subject above the number `after`."""

    subject: str
    finals: frozenset[EventKind]
    render: Callable[[Event], Sequence[Item | Refusal]]
    now: Sequence[Item | Refusal] = ()
    after: int = 0
    unfinished: Callable[[], Sequence[Item | Refusal]] = _nothing
    then: Following | None = None


Answer = Sequence[Item | Refusal] | Following


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One task, sent by somebody with a valid key. `dry_run`: only check and price it."""

    who: Principal
    task: Mapping[str, Any]
    task_type: str
    task_uuid: str
    room: Room
    dry_run: bool = False

    def allowed(self, scope: Scope) -> AccountId:
        """Whose things are meant. Raises `ScopeMissing`."""
        self.who.require(scope)
        return self.who.account_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task type: who handles it, and what that takes.

    `follows`: it may return a `Following`, and so has to have one of the account's places before it begins.
    `begins_upload`: it counts against the rate of uploads. `honours_dry_run`: it looks at `Call.dry_run`, or changes
    nothing anyway; others are refused then.
    """

    handle: Callable[[Call], Answer] = field(repr=False)
    follows: bool = False
    begins_upload: bool = False
    honours_dry_run: bool = False
