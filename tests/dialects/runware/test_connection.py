"""Connecting, authenticating, pinging, and what is said to frames that nobody can read (contract §3, §4)."""

from __future__ import annotations

import base64
import json
import random
import re
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from penstock.dialects.runware import sockets
from tests.dialects.runware.client import PONG, task, uuid

if TYPE_CHECKING:
    from tests.dialects.runware.client import Runware
    from tests.dialects.runware.shelf import Shelf
    from tests.support.house import House

PING = {"taskType": "ping", "ping": True}
UUID_4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.mark.statement("RU-01")
def test_the_first_frame_authenticates_and_is_answered_by_a_session_without_a_task(acme: Runware) -> None:
    with acme.stranger() as wire:
        said = wire.ask({"taskType": "authentication", "apiKey": acme.key})

    (item,) = said["data"]
    assert set(said) == {"data"}
    assert set(item) == {"taskType", "connectionSessionUUID"}
    assert item["taskType"] == "authentication"
    assert UUID_4.fullmatch(item["connectionSessionUUID"])


@pytest.mark.statement("RU-02", part="without the SDKs")
def test_a_wrong_key_is_refused_by_one_error_and_the_connection_stays_open(acme: Runware) -> None:
    with acme.stranger() as wire:
        said = wire.ask({"taskType": "authentication", "apiKey": "sk_wrong"})
        after = wire.authenticate(acme.key)

    (error,) = said["errors"]
    assert set(said) == {"errors"}
    assert (error["code"], error["taskType"], error["parameter"]) == ("invalidApiKey", "authentication", "apiKey")
    assert "taskUUID" not in error
    assert after


@pytest.mark.statement("RU-03")
def test_a_task_before_the_authentication_is_refused_under_its_own_name(acme: Runware) -> None:
    asked = task("modelSearch", search="a")
    with acme.stranger() as wire:
        said = wire.ask(asked)

    (error,) = said["errors"]
    assert (error["code"], error["taskType"], error["taskUUID"]) == ("invalidApiKey", "modelSearch", asked["taskUUID"])


@pytest.mark.statement("RU-04")
def test_a_ping_is_answered_by_exactly_the_documented_pong_again_and_again(acme: Runware) -> None:
    with acme.socket() as wire:
        assert [wire.ask(PING) for _ in range(3)] == [PONG] * 3


def test_a_ping_with_a_uuid_gets_it_back(acme: Runware) -> None:
    identifier = uuid()
    with acme.socket() as wire:
        assert wire.ask({**PING, "taskUUID": identifier})["data"] == [{**PONG["data"][0], "taskUUID": identifier}]


@pytest.mark.statement("RU-05")
def test_a_ping_right_behind_the_authentication_is_answered_after_it(acme: Runware) -> None:
    with acme.stranger() as wire:
        wire.say({"taskType": "authentication", "apiKey": acme.key})
        wire.say(PING)
        said = [wire.hear(), wire.hear()]

    assert said[0]["data"][0]["taskType"] == "authentication"
    assert said[1] == PONG


@pytest.mark.statement("RU-06")
def test_the_query_of_the_javascript_client_is_accepted(acme: Runware) -> None:
    with acme.socket("?sdk=js&version=1.3.2&dryRun=1") as wire:
        assert wire.ask(PING) == PONG


@pytest.mark.statement("RU-12", "RU-13")
@pytest.mark.parametrize(
    ("asked", "code", "parameter"),
    [
        (task("noSuchTask"), "unsupportedTaskType", "taskType"),
        (task("noSuchTask", taskType=None), "missingTaskType", "taskType"),
        (task("noSuchTask", taskType=7), "invalidTaskType", "taskType"),
    ],
    ids=["unknown", "missing", "a number"],
)
def test_a_task_of_no_known_type_is_refused_on_both_transports(
    acme: Runware, asked: dict[str, object], code: str, parameter: str
) -> None:
    answer = acme.post(asked)
    with acme.socket() as wire:
        said = wire.ask(asked)

    assert answer.status == 400
    assert answer.json() == said
    (error,) = said["errors"]
    assert (error["code"], error["parameter"], error["taskUUID"]) == (code, parameter, asked["taskUUID"])


UNREADABLE: list[str | bytes] = [
    "",
    " ",
    "nonsense",
    "{}",
    "[]",
    "[[]]",
    "null",
    '["a"]',
    '[{"taskType":"ping","taskType":"ping"}]',
    "[" * 5000,
    "[" + "[" * 50 + "]" * 50 + "]",
    '[{"taskType":"ping","ping":NaN}]',
    '[{"taskType":"ping","ping":"\\ud800"}]',
    "[" + ",".join(['{"taskType":"ping","ping":true}'] * 101) + "]",
    b"[]",
    b"\xff\xfe",
]


def test_a_frame_that_is_no_array_of_tasks_gets_an_error_and_the_connection_goes_on(acme: Runware) -> None:
    with acme.socket() as wire:
        for frame in UNREADABLE:
            wire.socket.send(frame)
            said = wire.hear()

            assert set(said) == {"errors"}, frame
            assert said["errors"][0]["code"] in {"invalidJSON", "invalidRequest"}, frame
        assert wire.quiet()


def test_a_text_frame_that_is_no_utf_8_gets_an_error(acme: Runware) -> None:
    with acme.socket() as wire:
        wire.socket.send(b'[{"taskType":"ping\xff"}]', text=True)

        assert wire.hear()["errors"][0]["code"] == "invalidJSON"
        assert wire.quiet()


def test_the_refusal_of_a_frame_that_cannot_be_read_names_the_task_that_it_was_about(acme: Runware) -> None:
    asked = task("modelSearch")
    with acme.socket() as wire:
        wire.socket.send(json.dumps([asked])[:-1])
        (error,) = wire.hear()["errors"]

    assert (error["taskType"], error["taskUUID"]) == ("modelSearch", asked["taskUUID"])


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_frame_that_is_too_large_is_refused_under_its_task_s_name_and_the_connection_goes_on(
    acme: Runware, compression: str | None
) -> None:
    noise = base64.b64encode(random.Random(1).randbytes(15_000_000)).decode()  # noqa: S311 - as a picture comes
    small, content = task("imageUpload"), {"image": noise}
    large = {**content, **small} if compression is None else {**small, **content}  # of inflated ones, the end is unread
    with acme.stranger(compression=compression) as wire:
        wire.authenticate(acme.key)
        said, after = wire.ask(large), wire.ask(PING)

    (error,) = said["errors"]
    told = (error["code"], error["taskType"], error["taskUUID"])
    assert told == ("valueTooLarge", "imageUpload", small["taskUUID"])
    assert after == PONG


def test_a_stranger_s_large_frame_is_refused_before_the_end(acme: Runware) -> None:
    with acme.stranger() as wire:
        said = wire.ask({**task("imageUpload"), "image": "a" * 70_000})
        with pytest.raises(ConnectionClosed) as ended:
            wire.hear()

    assert [error["code"] for error in said["errors"]] == ["valueTooLarge"]
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1009


def test_a_revoked_key_is_refused_on_a_connection_that_is_open(
    acme: Runware, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.services import accounts  # noqa: PLC0415 - for what it remembers alone

    monkeypatch.setattr(accounts, "_RECALL_SECONDS", 0.0)
    asked = task("noSuchTask")
    with acme.socket() as wire:
        before = wire.ask(task("noSuchTask"))
        house.accounts.revoke_key(house.accounts.authenticate(acme.key).key.id)
        after = wire.ask(asked)

    assert before["errors"][0]["code"] == "unsupportedTaskType"
    assert (after["errors"][0]["code"], after["errors"][0]["taskUUID"]) == ("invalidApiKey", asked["taskUUID"])


def test_whoever_follows_a_task_by_a_key_that_is_revoked_is_told_and_hears_no_more(
    acme: Runware, shelf: Shelf, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.services import accounts  # noqa: PLC0415 - as above

    monkeypatch.setattr(accounts, "_RECALL_SECONDS", 0.0)
    monkeypatch.setattr(sockets, "_LOOK_SECONDS", 0.02)
    asked = [shelf.task(acme), shelf.task(acme)]
    with acme.socket() as wire:
        begun = [wire.ask(one)["data"][0]["status"] for one in asked]
        house.accounts.revoke_key(house.accounts.authenticate(acme.key).key.id)
        told = [wire.hear()["errors"][0] for _ in range(3)]
        house.work()
        with pytest.raises(ConnectionClosed) as ended:
            wire.hear()

    assert begun == ["validated"] * 2
    assert [error["code"] for error in told] == ["invalidApiKey"] * 3
    assert [error.get("taskUUID") for error in told] == [*(one["taskUUID"] for one in asked), None]
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1000


@pytest.mark.parametrize("path", ["/runware/v2", "/runware/v1/more", "/v1/runs", "/runway/v1/uploads"])
def test_no_other_path_takes_a_handshake(house: House, path: str) -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(f"ws{house.url.removeprefix('http')}{path}", open_timeout=60),
    ):
        pass

    assert refused.value.response.status_code in {403, 404}
