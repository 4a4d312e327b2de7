"""Tasks that go on: items as they happen, after a lost connection too, and how connections end (RU-07, RU-19)."""

from __future__ import annotations

import asyncio
import shutil
import socket as sockets_of_the_system
import threading
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

from penstock.adapters.db.database import SqlDatabase
from penstock.dialects.runware import dispatch, rooms, routes, sessions, sockets, tasks
from penstock.dialects.runware.task import Failure, Following, Refusal, Task
from penstock.domain.errors import InsufficientCredits, ModelNotFound
from penstock.domain.events import RUN_FINALS, EventKind
from penstock.domain.ids import AccountId
from penstock.domain.ledger import ZERO
from tests.dialects.runware.client import PONG, Runware, task
from tests.support.house import open_house
from tests.support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from penstock.dialects.base import Services
    from penstock.dialects.runware.task import Answer, Call, Item
    from penstock.domain.events import Event
    from tests.dialects.runware.client import Wire
    from tests.support.house import House

PING = {"taskType": "ping", "ping": True}
NUMBERS = count()
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def follow(call: Call) -> Answer:
    """Follows the events of a subject that has the task's UUID."""

    def render(event: Event) -> Sequence[Item | Refusal]:
        if event.kind is EventKind.RUN_FAILED:
            raise ModelNotFound("gone")
        return () if event.kind is EventKind.RUN_PROGRESS else ({"status": event.kind.value},)

    return Following(
        subject=call.task_uuid,
        finals=RUN_FINALS,
        render=render,
        now=({"status": "accepted"},),
        unfinished=lambda: ({"status": "unfinished"},),
    )


class Late:
    """Takes its room when it is let, whoever still waits for that."""

    def __init__(self) -> None:
        self.begun, self.go, self.over = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, call: Call) -> Answer:
        def render(_event: Event) -> Sequence[Item | Refusal]:
            self.begun.set()
            self.go.wait(60)
            try:
                call.room.take(rooms.MOST_OF_ANSWER)
            finally:
                self.over.set()
            return ({"status": "late"},)

        return Following(subject=call.task_uuid, finals=RUN_FINALS, render=render)


LATE = Late()


def take_room(call: Call) -> Answer:
    call.room.take(rooms.MOST_OF_ANSWER)
    return ({"status": "there was room"},)


def several(_call: Call) -> Answer:
    """Two items and two errors, one of them of another task."""
    kept = Failure(code="not_safetensors", message="is a zip", parameter="downloadURL")
    return (
        {"n": 1, "code": "x", "error": "y", "errorId": 3},
        Refusal(error=InsufficientCredits(needed=ZERO, balance=ZERO)),
        {"n": 2, "taskType": "other"},
        Refusal(error=kept, task_type="other", task_uuid="another"),
    )


def broken(_call: Call) -> Answer:
    msg = "the inside of the server"
    raise RuntimeError(msg)


def tasks_of_the_test(_services: Services, _base_url: str) -> Mapping[str, Task]:
    return {
        "follow": Task(handle=follow, follows=True),
        "late": Task(handle=LATE, follows=True),
        "takeRoom": Task(handle=take_room),
        "several": Task(handle=several, honours_dry_run=True),
        "broken": Task(handle=broken),
        "sly": Task(handle=follow),
        "unspeakable": Task(handle=lambda _call: ({"at": NOW},)),
    }


@contextmanager
def house_of_the_test(directory: Path, template: Path) -> Iterator[tuple[House, SqlDatabase]]:
    url = f"sqlite:///{directory / 'penstock.db'}"
    shutil.copyfile(template, directory / "penstock.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "MAKERS", (tasks_of_the_test,))
        with closing(SqlDatabase(url)) as database, open_house(directory / "house", url, ()) as opened:
            yield opened, database


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[tuple[House, SqlDatabase]]:
    with house_of_the_test(tmp_path_factory.mktemp("home"), _sqlite_template) as opened:
        yield opened


class Teller:
    """Tells events of subjects, as a worker would."""

    def __init__(self, house: House, database: SqlDatabase) -> None:
        self.key = house.create_key(f"teller-{next(NUMBERS)}")
        self.api = Runware(base=f"{house.url}/runware/v1", key=self.key)
        self._account = house.accounts.authenticate(self.key).account_id
        self._database = database

    def tell(self, asked: Mapping[str, Any], *kinds: EventKind) -> None:
        with self._database.write() as tx:
            for kind in kinds:
                tx.events.add(self._account, asked["taskUUID"], kind, {}, now=NOW)


@pytest.fixture
def teller(home: tuple[House, SqlDatabase]) -> Teller:
    return Teller(*home)


def states(frames: Sequence[Any]) -> list[str]:
    """What each frame says, which must be one item or one error."""
    said = [*(("data", frame) for frame in frames if "data" in frame)]
    assert all(len(frame) == 1 and len(next(iter(frame.values()))) == 1 for frame in frames)
    assert len(said) + sum("errors" in frame for frame in frames) == len(frames)
    return [frame["data"][0]["status"] if "data" in frame else frame["errors"][0]["code"] for frame in frames]


def cut(wire: Wire) -> None:
    """End the connection as a broken network does, without a word."""
    wire.socket.socket.shutdown(sockets_of_the_system.SHUT_RDWR)


def wait_until_gone(teller: Teller) -> None:
    """Wait until the server has noticed that the account's only connection is gone: then there is room for another."""
    authentication = {"taskType": "authentication", "apiKey": teller.key}
    with teller.api.stranger() as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "MOST_PER_ACCOUNT", 1)
        wait_until(lambda: "data" in other.ask(authentication), "the connection is gone")


def test_items_come_one_by_one_as_they_happen_and_pings_between_them(teller: Teller) -> None:
    asked = task("follow")
    with teller.api.socket() as wire:
        accepted = wire.ask(asked)
        teller.tell(asked, EventKind.RUN_QUEUED)
        queued = wire.hear()
        pong = wire.ask(PING)
        teller.tell(asked, EventKind.RUN_PROGRESS, EventKind.RUN_SUCCEEDED, EventKind.RUN_LOG)
        ended = wire.hear()
        quiet = wire.quiet()

    assert states([accepted, queued, ended]) == ["accepted", "run.queued", "run.succeeded"]
    assert [frame["data"][0]["taskUUID"] for frame in (accepted, queued, ended)] == [asked["taskUUID"]] * 3
    assert pong == PONG
    assert quiet


def test_two_tasks_at_once_do_not_disturb_each_other(teller: Teller) -> None:
    first, second = task("follow"), task("follow")
    with teller.api.socket() as wire:
        wire.say(first, second)
        begun = [wire.hear(), wire.hear()]
        teller.tell(second, EventKind.RUN_FAILED)
        failed = wire.hear()
        teller.tell(first, EventKind.RUN_SUCCEEDED)
        ended = wire.hear()

    assert states([*begun, failed, ended]) == ["accepted", "accepted", "modelNotFound", "run.succeeded"]
    assert failed["errors"][0]["taskUUID"] == second["taskUUID"]
    assert failed["errors"][0]["taskType"] == "follow"
    assert ended["data"][0]["taskUUID"] == first["taskUUID"]


class Heard:
    """A connection that remembers what was sent through it."""

    def __init__(self) -> None:
        self.frames: list[str] = []

    async def send(self, frame: str) -> None:
        self.frames.append(frame)

    def abandon(self) -> None:
        self.frames.append("abandoned")


def test_a_connection_whose_key_is_revoked_does_not_end_a_session_that_goes_on_elsewhere() -> None:
    async def moved() -> tuple[list[str], list[str]]:
        known = sessions.Sessions()
        session, before, after = known.find(AccountId("acme"), None), Heard(), Heard()
        for outlet in (before, after):
            await known.attach(session, outlet, "hello")
        known.end(session, before)
        await known.send(session, "still here")
        known.end(session, after)
        await known.send(session, "nobody hears")
        return before.frames, after.frames

    assert asyncio.run(moved()) == (["hello", "abandoned"], ["hello", "still here"])


def test_what_is_still_made_for_a_session_that_is_over_takes_no_room(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "MOST_OF_ACCOUNT", rooms.MOST_OF_ANSWER)
    monkeypatch.setattr(sessions, "KEPT_SECONDS", 0.0)
    asked = task("late")
    with teller.api.socket() as wire:
        wire.say(asked)
        teller.tell(asked, EventKind.RUN_SUCCEEDED)
        assert LATE.begun.wait(60)
        cut(wire)
    wait_until_gone(teller)
    LATE.go.set()
    assert LATE.over.wait(60)

    assert teller.api.post(task("takeRoom")).must(200)["data"][0]["status"] == "there was room"


def test_over_rest_everything_up_to_the_end_stands_in_one_answer_in_the_order_of_the_tasks(teller: Teller) -> None:
    first, second = task("follow"), task("follow")
    teller.tell(second, EventKind.RUN_QUEUED, EventKind.RUN_SUCCEEDED)
    teller.tell(first, EventKind.RUN_FAILED)

    said = teller.api.post(first, second).must(200)

    assert [item["status"] for item in said["data"]] == ["accepted", "accepted", "run.queued", "run.succeeded"]
    assert [error["code"] for error in said["errors"]] == ["modelNotFound"]


def test_over_rest_what_there_is_is_told_when_the_window_is_over(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "WINDOW_SECONDS", 2.0)
    asked = task("follow")
    teller.tell(asked, EventKind.RUN_QUEUED)

    said = teller.api.post(asked).must(200)

    assert [item["status"] for item in said["data"]] == ["accepted", "run.queued", "unfinished"]


def test_items_have_no_members_of_errors_and_errors_can_stand_beside_them(teller: Teller) -> None:
    asked = task("several")
    names = {"taskType": "several", "taskUUID": asked["taskUUID"]}

    said = teller.api.post(asked).must(200)

    assert said["data"] == [{**names, "n": 1}, {**names, "taskType": "other", "n": 2}]
    assert [(error["code"], error["taskType"]) for error in said["errors"]] == [
        ("insufficientCredits", "several"),
        ("invalidModelFile", "other"),
    ]
    assert said["errors"][1] == {
        "code": "invalidModelFile",
        "message": "is a zip",
        "parameter": "downloadURL",
        "taskType": "other",
        "taskUUID": "another",
    }


@pytest.mark.parametrize("kind", ["broken", "sly", "unspeakable"])
def test_a_fault_of_ours_is_told_under_the_name_of_the_task_and_nothing_of_the_inside(
    teller: Teller, kind: str
) -> None:
    asked = task(kind)

    answer = teller.api.post(asked)
    with teller.api.socket() as wire:
        said, alive = wire.ask(asked), wire.quiet()

    assert answer.status == 500
    assert answer.json() == said
    assert said["errors"][0]["code"] == "internalServerError"
    assert said["errors"][0]["taskUUID"] == asked["taskUUID"]
    assert "inside of" not in said["errors"][0]["message"]
    assert alive


def test_a_task_that_cannot_be_tried_is_not_done_in_a_dry_run(teller: Teller) -> None:
    by_header = {"X-Runware-Dry-Run": "1"}
    refused = teller.api.post(task("follow"), headers=by_header).must(400)
    with teller.api.socket("?dryRun=1") as wire:
        likewise = wire.ask(task("follow"))

    assert [said["errors"][0]["code"] for said in (refused, likewise)] == ["unsupportedDryRun"] * 2
    assert len(teller.api.post(task("several"), headers=by_header).must(200)["data"]) == 2


@pytest.mark.statement("RU-07")
def test_a_session_is_resumed_and_what_was_not_delivered_comes_after_the_authentication(teller: Teller) -> None:
    asked = task("follow")
    with teller.api.socket() as wire:
        session = wire.session
        wire.ask(asked)
        cut(wire)
    wait_until_gone(teller)
    teller.tell(asked, EventKind.RUN_QUEUED)

    with teller.api.stranger() as again:
        resumed = again.authenticate(teller.key, session)
        queued = again.hear()
        teller.tell(asked, EventKind.RUN_SUCCEEDED)
        ended = again.hear()
        quiet = again.quiet()

    assert resumed == session
    assert states([queued, ended]) == ["run.queued", "run.succeeded"]
    assert quiet


def test_a_session_that_seems_to_be_connected_moves_to_the_new_connection(teller: Teller) -> None:
    asked = task("follow")
    with teller.api.socket() as dead, teller.api.stranger() as again:
        dead.ask(asked)
        again.authenticate(teller.key, dead.session)
        teller.tell(asked, EventKind.RUN_SUCCEEDED)
        ended = again.hear()
        with pytest.raises(ConnectionClosed):
            dead.hear()

    assert states([ended]) == ["run.succeeded"]


@pytest.mark.statement("RU-07", part="another's session is like none")
def test_another_accounts_session_is_not_resumed(home: tuple[House, SqlDatabase], teller: Teller) -> None:
    rival, asked = Teller(*home), task("follow")
    with teller.api.socket() as wire:
        wire.ask(asked)
        with rival.api.stranger() as other:
            given = other.authenticate(rival.key, wire.session)
            teller.tell(asked, EventKind.RUN_SUCCEEDED)
            ended = wire.hear()
            quiet = other.quiet()

    assert given != wire.session
    assert states([ended]) == ["run.succeeded"]
    assert quiet


def test_a_session_is_forgotten_after_its_time(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "KEPT_SECONDS", 0.0)
    with teller.api.socket() as wire:
        session = wire.session
        cut(wire)

    def is_forgotten() -> bool:
        with teller.api.stranger() as again:
            return again.authenticate(teller.key, session) != session

    wait_until(is_forgotten, "the session is forgotten")


def test_an_account_has_so_many_connections_and_tasks_that_go_on(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_PER_ACCOUNT", 2)
    monkeypatch.setattr(dispatch, "MOST_PER_ACCOUNT", 2)
    with teller.api.socket() as one, teller.api.socket(), teller.api.stranger() as third:
        refused = third.ask({"taskType": "authentication", "apiKey": teller.key})
        begun = [one.ask(task("follow")) for _ in range(3)]

    assert refused["errors"][0]["code"] == "rateLimitExceeded"
    assert refused["errors"][0]["taskType"] == "authentication"
    assert states(begun) == ["accepted", "accepted", "rateLimitExceeded"]


def close_code(wire: Wire) -> int:
    """Wait for the end of a connection; the code that the server gave."""
    try:
        while True:
            wire.hear()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


@pytest.mark.statement("RU-19", part="idle")
def test_an_idle_connection_is_closed_and_one_with_a_task_that_goes_on_is_not(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sockets.IDLE_SECONDS == 120
    asked = task("follow")
    with teller.api.socket() as idle, teller.api.socket() as busy:
        busy.ask(asked)
        monkeypatch.setattr(sockets, "IDLE_SECONDS", 0.2)  # from each one's next frame on
        assert (idle.quiet(), busy.quiet()) == (True, True)
        with teller.api.stranger() as stranger:
            codes = [close_code(stranger), close_code(idle)]
        teller.tell(asked, EventKind.RUN_SUCCEEDED)
        ended = busy.hear()
        codes.append(close_code(busy))

    assert codes == [1000] * 3
    assert states([ended]) == ["run.succeeded"]


@pytest.mark.statement("RU-19")
def test_a_server_that_ends_closes_every_connection_by_1012_and_tells_nothing_else(
    tmp_path: Path,
    _sqlite_template: Path,  # noqa: PT019 - for its value
) -> None:
    with house_of_the_test(tmp_path, _sqlite_template) as opened:
        teller = Teller(*opened)
        with teller.api.socket() as busy, teller.api.socket() as idle, teller.api.stranger() as stranger:
            busy.ask(task("follow"))
            opened[0].stop_api()
            codes = [close_code(wire) for wire in (busy, idle, stranger)]

    assert codes == [1012] * 3
