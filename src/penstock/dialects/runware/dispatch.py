"""Tasks are done here, whichever way they came: names checked, rates counted, handlers called, ends awaited."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from penstock.dialects.runware import wire
from penstock.dialects.runware.errors import error_out, refused_out
from penstock.dialects.runware.rooms import Rooms
from penstock.dialects.runware.task import Call, Following, Refusal
from penstock.dialects.runware.wire import Named, Told
from penstock.domain.errors import InternalError, InvalidField, PenstockError, RateLimited, Unavailable
from penstock.services.rates import require_fitting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from penstock.dialects.base import Services
    from penstock.dialects.runware.rooms import Room
    from penstock.dialects.runware.task import Item, Task
    from penstock.domain.events import Event
    from penstock.domain.ids import AccountId
    from penstock.services.accounts import Principal

    Emit = Callable[[Told], Awaitable[None]]

MOST_PER_ACCOUNT = 256
"""Tasks of one account whose ends this process waits for at a time."""
_RETRY_SECONDS = 1.0
_FULL_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What a task has come to so far; with `rest`, more will come, and it has to be run or dropped."""

    told: Sequence[Told]
    rest: Rest | None = None


class Dispatcher:
    """Every task type of the dialect, for both transports. For the event loop alone."""

    def __init__(self, services: Services, tasks: Mapping[str, Task]) -> None:
        self._services = services
        self._tasks = tasks
        self._open: Counter[AccountId] = Counter()
        self.rooms = Rooms()

    async def begin(self, who: Principal, element: object, room: Room, *, dry_run: bool, request_id: str) -> Begun:
        """Do what can be done at once. Never raises what is wrong with a task: that is its answer.

        What files take in the answer is `room`'s until it is sent; what is told later gives it back by itself.
        """
        name = wire.named(element)
        try:
            call, task = self._called(who, element, room, dry_run=dry_run)
            return await self._begin(call, task, name, request_id=request_id)
        except PenstockError as error:
            return Begun(told=(error_out(error, name),))
        except Exception as error:  # noqa: BLE001 - the last net: other tasks of the connection go on
            return Begun(told=(self.fault(error, name, request_id),))

    def fault(self, error: Exception, name: Named, request_id: str) -> Told:
        """A fault of ours, told without its inside and logged with the line that raised it."""
        self._services.log("api.error", request_id=request_id, error=type(error).__name__, where=_where(error))
        return error_out(InternalError(), name)

    def _called(self, who: Principal, element: object, room: Room, *, dry_run: bool) -> tuple[Call, Task]:
        kind = wire.task_type(element)
        require_fitting(self._services.rates.of_key(who.key.id))
        members: Mapping[str, Any] = element  # type: ignore[assignment]  # `task_type` has looked
        uuid = wire.task_uuid(members)
        task = self._tasks.get(kind)
        if task is None:
            raise InvalidField(("taskType",), "is no task type of this server", rule="unsupported")
        if dry_run and not task.honours_dry_run:
            raise InvalidField(("dryRun",), f"{kind} cannot be tried without being done", rule="unsupported")
        if task.begins_upload:
            require_fitting(self._services.rates.of_uploads(who.key.id))
        return Call(who=who, task=members, task_type=kind, task_uuid=uuid, room=room, dry_run=dry_run), task

    async def _begin(self, call: Call, task: Task, name: Named, *, request_id: str) -> Begun:
        if not task.follows:
            answer = await run_in_threadpool(task.handle, call)
            if isinstance(answer, Following):
                msg = f"{call.task_type} follows events without having said so"
                raise TypeError(msg)
            return Begun(told=_told(answer, name))
        self._enter(call.who.account_id)
        try:
            answer = await run_in_threadpool(task.handle, call)
        except BaseException:
            self.leave(call.who.account_id)
            raise
        if not isinstance(answer, Following):
            self.leave(call.who.account_id)
            return Begun(told=_told(answer, name))
        rest = Rest(self, self._services, call, answer, name, request_id)
        return Begun(told=_told(answer.now, name), rest=rest)

    def _enter(self, account_id: AccountId) -> None:
        if self._open[account_id] >= MOST_PER_ACCOUNT:
            raise RateLimited(retry_after=_FULL_RETRY_SECONDS)
        self._open[account_id] += 1

    def leave(self, account_id: AccountId) -> None:
        """One place less is taken."""
        self._open[account_id] -= 1
        if not self._open[account_id]:
            del self._open[account_id]


class Rest:
    """What is still to come of a task. It has one of the account's places until it has been run or dropped."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        services: Services,
        call: Call,
        following: Following,
        name: Named,
        request_id: str,
    ) -> None:
        self._dispatcher = dispatcher
        self._streams = services.streams
        self._account_id = call.who.account_id
        self._room = call.room
        self._following = following
        self._name = name
        self._request_id = request_id
        self._held = True

    def drop(self) -> None:
        """Wait no more. Idempotent."""
        if self._held:
            self._held = False
            self._room.sent(last=True)
            self._dispatcher.leave(self._account_id)

    async def run(self, emit: Emit) -> bool:
        """Tell everything up to the task's end; False when the process ended before."""
        try:
            return await self._run(emit)
        except PenstockError as error:
            await emit(error_out(error, self._name))
        except Exception as error:  # noqa: BLE001 - as in `begin`
            await emit(self._dispatcher.fault(error, self._name, self._request_id))
        finally:
            self.drop()
        return True

    async def unfinished(self) -> Sequence[Told]:
        """What to add where nobody waits for the end."""
        try:
            return _told(await run_in_threadpool(self._following.unfinished), self._name)
        except PenstockError as error:
            return (error_out(error, self._name),)

    async def _run(self, emit: Emit) -> bool:
        following: Following | None = self._following
        while following is not None:
            if not await self._run_one(following, emit):
                return False
            following = following.then
        return True

    async def _run_one(self, following: Following, emit: Emit) -> bool:
        number = following.after
        while not self._streams.closed:
            try:
                events = self._streams.follow(
                    self._account_id, following.subject, after=number, finals=following.finals
                )
                async for event in events:
                    if event is None:
                        continue
                    for told in await self._rendered(following, event):
                        await emit(told)
                    self._room.sent()
                    number = event.number
                    if event.kind in following.finals:
                        return True
            except Unavailable:
                pass  # nothing of this event was told: it is looked at again
            if not self._streams.closed:
                await asyncio.sleep(_RETRY_SECONDS)
        return False

    async def _rendered(self, following: Following, event: Event) -> Sequence[Told]:
        return _told(await self._streams.read(lambda: following.render(event)), self._name)


def _told(answer: Sequence[Item | Refusal], name: Named) -> Sequence[Told]:
    return tuple(refused_out(part, name) if isinstance(part, Refusal) else wire.item_out(name, part) for part in answer)


def _where(error: BaseException) -> str:
    """File name and line of the innermost frame: enough to find the fault, no content."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}" if frame is not None else "?"
