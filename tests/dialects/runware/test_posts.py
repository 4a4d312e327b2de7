"""Tasks over REST: keys in the header or in the body, the array, one answer (contract §3, §4, §7)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.dialects.runware.client import PONG, task
from tests.support.exchange import exchange

if TYPE_CHECKING:
    from tests.dialects.runware.client import Runware

PING = {"taskType": "ping", "ping": True}


def authentication(key: str) -> dict[str, object]:
    return {"taskType": "authentication", "apiKey": key}


@pytest.mark.statement("RU-08", "RU-11")
def test_the_key_stands_in_the_header_or_in_the_first_element(acme: Runware) -> None:
    answers = [
        acme.post(PING),
        acme.post(authentication(acme.key), PING, key=None),
        acme.post(authentication(acme.key), PING, key=None, headers={"Authorization": "Basic YTpi"}),
    ]

    assert [(answer.status, answer.json()) for answer in answers] == [(200, PONG)] * 3


def test_an_authentication_alone_is_answered(acme: Runware) -> None:
    assert acme.post(authentication(acme.key), key=None).must(200) == {"data": [{"taskType": "authentication"}]}


@pytest.mark.statement("RU-09")
def test_a_request_without_a_key_or_with_a_wrong_one_is_refused(acme: Runware) -> None:
    wrong = "sk_wrong"
    answers = [
        acme.post(PING, key=None),
        acme.post(PING, key=wrong),
        acme.post(authentication(wrong), PING, key=None),
        acme.post(authentication(""), PING, key=None),
        acme.post(PING, authentication(acme.key), key=None),
        acme.post_raw(b"nonsense", key=None),
        acme.post_raw(b"[" + b" " * 100_000 + b"]", key=None),
        acme.post_raw(b"[" * 100_000, key=None),
    ]

    for answer in answers:
        (error,) = answer.must(401)["errors"]
        assert (error["code"], error["parameter"], error["taskType"]) == ("invalidApiKey", "apiKey", "authentication")
        assert set(answer.json()) == {"errors"}


@pytest.mark.statement("RU-10")
def test_a_body_that_is_no_array_of_tasks_is_refused(acme: Runware) -> None:
    bodies = [b"nonsense", b"", b"{}", b"null", b"[]", b'["a"]', b'[{"a":1,"a":2}]', json.dumps([PING] * 101).encode()]

    for body in bodies:
        said = acme.post_raw(body).must(400)
        assert set(said) == {"errors"}, body
        assert said["errors"][0]["code"] in {"invalidJSON", "invalidRequest"}, body


@pytest.mark.statement("RU-13")
def test_a_task_without_a_uuid_of_version_4_is_refused_at_that_field(acme: Runware) -> None:
    for wrong, code in [
        (None, "missingTaskUUID"),
        ("", "invalidTaskUUID"),
        ("garbage", "invalidTaskUUID"),
        (7, "invalidTaskUUID"),
        ("0d9c1f2e-3b4a-1c5d-8e6f-7a8b9c0d1e2f", "invalidTaskUUID"),
        ("0d9c1f2e-3b4a-4c5d-8e6f-7a8b9c0d1e2f\n", "invalidTaskUUID"),
    ]:
        (error,) = acme.post(task("modelSearch", taskUUID=wrong)).must(400)["errors"]
        assert (error["code"], error["parameter"]) == (code, "taskUUID"), wrong


@pytest.mark.statement("RU-16")
def test_a_bad_task_does_not_stop_a_good_one(acme: Runware) -> None:
    bad, worse, good = task("modelUpload", category="lora"), task("noSuchTask"), task("modelSearch", search="a")

    said = acme.post(bad, good, worse, PING).must(200)
    with acme.socket() as wire:
        wire.say(bad, good, worse, PING)
        frames = [wire.hear() for _ in range(4)]

    found, pong = said["data"]
    assert (found["taskUUID"], found["totalResults"], pong) == (good["taskUUID"], 0, PONG["data"][0])
    assert [error["taskUUID"] for error in said["errors"]] == [bad["taskUUID"], worse["taskUUID"]]
    assert frames == [{"errors": said["errors"][:1]}, {"data": [found]}, {"errors": said["errors"][1:]}, PONG]


def test_a_large_body_is_taken_from_those_who_have_a_key_wherever_it_stands(acme: Runware) -> None:
    large = {**PING, "image": "a" * 200_000}

    assert acme.post(large).must(200) == PONG
    assert acme.post(authentication(acme.key), large, key=None).must(200) == PONG


def test_a_body_over_the_limit_is_refused(acme: Runware) -> None:
    (error,) = acme.post({**PING, "image": "a" * 17_000_000}).must(413)["errors"]

    assert error["code"] == "valueTooLarge"


def test_another_path_and_another_method_are_answered_in_the_same_form(acme: Runware) -> None:
    headers = {"Authorization": f"Bearer {acme.key}"}

    assert exchange("POST", f"{acme.base}/more", b"[]", headers=headers).must(404)["errors"][0]["code"] == "invalidPath"
    assert exchange("GET", acme.base, headers=headers).must(405)["errors"][0]["code"] == "unsupportedMethod"
    assert exchange("POST", f"{acme.base}/", json.dumps([PING]).encode(), headers=headers).must(200) == PONG
