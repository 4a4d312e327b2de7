"""Runs that cannot be: a clear problem that points at the field; nothing queued, kept or charged."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.native import Native, pointers, problem, put

if TYPE_CHECKING:
    from collections.abc import Callable

CUT_OUT = "builtin/remove-background"
PAINT = "builtin/stylize"
UNKNOWN = "00000000000040008000000000000000"


def _refused(alice: Native, body: dict[str, Any], status: int, code: str) -> dict[str, Any]:
    """The problem, after making sure that the refusal left no trace and that a good request still works."""
    before = alice.kept()

    said = problem(alice.post("/runs", body), status, code)

    assert alice.kept() == before
    alice.get("/account").must(200)
    return said


def _inline(content: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize("model", ["nothing", "builtin", "builtin/stylize/", "BUILTIN/STYLIZE", "a\0b", "../etc"])
def test_an_unknown_model_is_refused(alice: Native, model: str) -> None:
    _refused(alice, {"model": model, "input": {}}, 404, "model_not_found")


@pytest.mark.parametrize(
    ("inputs", "wrong"),
    [
        ({}, [("#/input/prompt", "missing")]),
        ({"prompt": None}, [("#/input/prompt", "missing")]),
        ({"prompt": ""}, [("#/input/prompt", "type")]),
        ({"prompt": 5}, [("#/input/prompt", "type")]),
        ({"prompt": ["oil"]}, [("#/input/prompt", "type")]),
        ({"prompt": "oil", "text": "ink"}, [("#/input/text", "conflict")]),
        ({"prompt": "x" * 10_001}, [("#/input/prompt", "type")]),
        ({"prompt": "oil", "style": "cubism"}, [("#/input/style", "type")]),
        ({"prompt": "oil", "strength": "1"}, [("#/input/strength", "type")]),
        ({"prompt": "oil", "strength": True}, [("#/input/strength", "type")]),
        ({"prompt": "oil", "strength": 1.5}, [("#/input/strength", "type")]),
        ({"prompt": "oil", "seed": -1}, [("#/input/seed", "type")]),
        ({"prompt": "oil", "seed": 0.5}, [("#/input/seed", "type")]),
        ({"prompt": "oil", "image": {"$asset": UNKNOWN}}, [("#/input/image", "type")]),
        ({"style": "cubism", "seed": -1}, None),
    ],
)
def test_inputs_that_do_not_fit_are_pointed_at(
    alice: Native, inputs: dict[str, Any], wrong: list[tuple[str, str]] | None
) -> None:
    code = "invalid_field" if wrong is not None else "invalid_fields"

    said = _refused(alice, {"model": PAINT, "input": inputs}, 422, code)

    if wrong is None:
        assert {pointer for pointer, _ in pointers(said)} == {"#/input/prompt", "#/input/style", "#/input/seed"}
    else:
        assert pointers(said) == wrong


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"metadata": {"a": 1}}, "#/metadata/a"),
        ({"metadata": {"a": "x" * 513}}, "#/metadata/a"),
        ({"metadata": {"": "x"}}, "#/metadata/"),
        ({"metadata": {"k" * 65: "x"}}, "#/metadata/" + "k" * 65),
        ({"metadata": {str(number): "" for number in range(17)}}, "#/metadata"),
        ({"metadata": None}, "#/metadata"),
        ({"input": []}, "#/input"),
        ({"input": "oil"}, "#/input"),
        ({"model": ""}, "#/model"),
        ({"model": 7}, "#/model"),
        ({"webhook": "https://example.com"}, "#/webhook"),
    ],
)
def test_a_wrong_field_of_a_run_is_pointed_at(alice: Native, change: dict[str, Any], pointer: str) -> None:
    said = _refused(alice, {"model": PAINT, "input": {"prompt": "oil"}, **change}, 422, "invalid_field")

    assert [found for found, _ in pointers(said)] == [pointer]


def test_an_input_beyond_the_limit_is_refused_although_the_model_would_ignore_it(alice: Native) -> None:
    inputs = {"prompt": "oil", "ignored": "x" * 2**19}

    said = _refused(alice, {"model": PAINT, "input": inputs}, 422, "invalid_field")

    assert [pointer for pointer, _ in pointers(said)] == ["#/input"]


@pytest.mark.parametrize(
    "reference",
    [
        "ftp://example.com/cat.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/cat.png",
        "https://user:word@example.com/cat.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "",
        "garbage",
        "asset_",
        "asset_" + "0" * 32,
        "asset_" + UNKNOWN.upper() + "Z",
        "run_" + UNKNOWN,
        "data:image/png;base64",
        "data:image/png;base64,%%%",
        "data:image/png;base64,é",
        "data:image/png;base64,",
        "data:image/png\r\nX-Evil: 1;base64,aGVsbG8=",
    ],
)
def test_a_reference_that_can_name_nothing_here_is_pointed_at(alice: Native, reference: str) -> None:
    said = _refused(alice, {"model": CUT_OUT, "input": {"image_url": reference}}, 422, "reference_invalid")

    assert pointers(said) == [("#/input/image_url", "reference")]


@pytest.mark.parametrize(
    "reference", ["asset_" + UNKNOWN, "upload_" + UNKNOWN, "{url}/v1/media/" + "0" * 32 + "-a.png"]
)
def test_a_reference_to_nothing_is_not_found(alice: Native, reference: str) -> None:
    given = reference.format(url=alice.url)

    said = _refused(alice, {"model": CUT_OUT, "input": {"image": given}}, 404, "asset_not_found")

    assert "-4000-" not in said["detail"]


def test_an_upload_without_bytes_cannot_be_used(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)

    said = _refused(alice, {"model": CUT_OUT, "input": {"image": upload["id"]}}, 404, "file_not_stored")

    assert said["detail"] == "the bytes of this upload have not arrived"


def test_a_file_of_the_wrong_kind_is_refused(alice: Native) -> None:
    text = alice.upload(b"These are words.\n" * 50, "words.txt", "text/plain")

    said = _refused(alice, {"model": CUT_OUT, "input": {"image": text["id"]}}, 422, "file_type_refused")

    assert "image" in said["detail"]


@pytest.mark.parametrize("content_type", ["text/plain", "image/png"])
def test_inline_data_of_the_wrong_kind_is_refused_and_not_kept(alice: Native, content_type: str) -> None:
    inline = _inline(b"%PDF-1.7\n" + b"0" * 100, content_type)

    _refused(alice, {"model": CUT_OUT, "input": {"image": inline}}, 422, "file_type_refused")


def test_inline_data_beyond_the_limit_is_refused(alice: Native, photo: bytes) -> None:
    inline = _inline(photo + b"0" * (10 * 2**20))

    _refused(alice, {"model": CUT_OUT, "input": {"image": inline}}, 413, "file_too_large")


def test_without_credits_nothing_is_queued_or_kept(make_account: Callable[..., Native], photo: bytes) -> None:
    poor = make_account(credits_usd="0.0019")

    said = _refused(poor, {"model": CUT_OUT, "input": {"image": _inline(photo)}}, 402, "insufficient_credits")

    assert "0.002" in said["detail"]
    assert poor.balance() == "0.0019"


def test_the_last_credit_is_spent_once(make_account: Callable[..., Native]) -> None:
    poor = make_account(credits_usd="0.004")

    poor.finished(poor.start(PAINT, {"prompt": "ink"})["id"])
    _refused(poor, {"model": PAINT, "input": {"prompt": "ink"}}, 402, "insufficient_credits")

    assert poor.balance() == "0"


@pytest.mark.parametrize("scope", ["runs:read", "files:write"])
def test_a_key_without_the_scope_starts_nothing(make_account: Callable[..., Native], scope: str) -> None:
    limited = make_account(scope)

    answer = limited.post("/runs", {"model": PAINT, "input": {"prompt": "ink"}})

    assert "runs:write" in problem(answer, 403, "scope_missing")["detail"]


@pytest.mark.parametrize("damage", ["cut off", "a head alone"])
def test_a_damaged_picture_fails_the_run_with_a_sentence_and_the_money_comes_back(
    alice: Native, photo: bytes, damage: str
) -> None:
    asset = alice.upload(photo[: len(photo) // 2] if damage == "cut off" else photo[:33])

    run = alice.finished(alice.start(CUT_OUT, {"image": asset["id"]})["id"])

    assert run["state"] == "failed"
    assert " " in run["error"]["message"]
    assert "/" not in run["error"]["message"]
    assert (run["output"], run["cost_usd"]) == (None, None)
    assert alice.balance() == "100"
    assert [(entry["kind"], entry["amount_usd"]) for entry in alice.ledger()] == [
        ("credit", "100"),
        ("hold", "-0.002"),
        ("refund", "0.002"),
    ]


def test_an_upload_that_was_given_up_cannot_be_used(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    put(upload, photo).must(200)
    alice.delete(f"/uploads/{upload['id']}").must(200)

    said = _refused(alice, {"model": CUT_OUT, "input": {"image": upload["id"]}}, 409, "upload_not_completable")

    assert upload["id"] in said["detail"]
