"""One Idempotency-Key, one effect: however often, however fast, and never for two different requests."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.native import Native, problem, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.exchange import Answer

UPLOAD = {"filename": "a.png", "content_type": "image/png", "size_bytes": 5}
RUN = {"model": "builtin/stylize", "input": {"prompt": "ink"}}
MANY = 20


def _at_once(act: Callable[[int], Answer]) -> list[Answer]:
    """The answers of 20 clients that begin together."""
    barrier = threading.Barrier(MANY)

    def one(number: int) -> Answer:
        barrier.wait(30)
        return act(number)

    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(one, range(MANY)))


@pytest.mark.parametrize(("path", "body"), [("/uploads", UPLOAD), ("/runs", RUN)])
def test_a_repeat_gives_the_first_result(alice: Native, path: str, body: dict[str, Any]) -> None:
    first = alice.post(path, body, idempotency_key="k").must(201)
    kept = alice.kept()

    again = alice.post(path, body, idempotency_key="k").must(201)

    assert again["id"] == first["id"]
    assert alice.kept() == kept
    if path == "/runs":
        alice.finished(first["id"])
        assert alice.post(path, body, idempotency_key="k").must(201)["state"] == "succeeded"
    else:
        assert again == first


@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/uploads", UPLOAD, {**UPLOAD, "size_bytes": 6}),
        ("/uploads", UPLOAD, {**UPLOAD, "expires_in": 60}),
        ("/runs", RUN, {**RUN, "metadata": {"a": "b"}}),
    ],
)
def test_a_key_for_another_request_is_refused(
    alice: Native, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    first = alice.post(path, body, idempotency_key="k").must(201)
    kept = alice.kept()

    problem(alice.post(path, other, idempotency_key="k"), 422, "idempotency_mismatch")

    assert alice.kept() == kept
    assert alice.post(path, body, idempotency_key="k").must(201)["id"] == first["id"]


def test_the_order_of_a_bodys_members_makes_no_other_request(alice: Native) -> None:
    first = alice.post("/uploads", UPLOAD, idempotency_key="k").must(201)

    again = alice.post("/uploads", dict(reversed(UPLOAD.items())), idempotency_key="k").must(201)

    assert again == first


def test_a_key_counts_for_its_account_and_its_verb_alone(alice: Native, bob: Native) -> None:
    upload = alice.post("/uploads", UPLOAD, idempotency_key="k").must(201)
    run = alice.post("/runs", RUN, idempotency_key="k").must(201)

    assert bob.post("/uploads", UPLOAD, idempotency_key="k").must(201)["id"] != upload["id"]
    alice.finished(run["id"])


def test_a_refused_request_does_not_use_its_key_up(make_account: Callable[..., Native]) -> None:
    poor = make_account(credits_usd="0.001")
    problem(poor.post("/runs", RUN, idempotency_key="k"), 402, "insufficient_credits")

    poor.post("/uploads", UPLOAD, idempotency_key="k").must(201)
    problem(poor.post("/runs", {**RUN, "metadata": {"a": "b"}}, idempotency_key="k"), 402, "insufficient_credits")


@pytest.mark.parametrize("with_key", [True, False])
def test_twenty_at_once_have_one_effect(alice: Native, photo: bytes, with_key: bool) -> None:
    body = {
        "model": "builtin/remove-background",
        "input": {"image": f"data:image/png;base64,{base64.b64encode(photo).decode()}"},
    }
    assert alice.key is not None

    answers = _at_once(lambda number: alice.post("/runs", body, idempotency_key="k" if with_key else f"k{number}"))

    ids = {answer.must(201)["id"] for answer in answers}
    effects = 1 if with_key else MANY
    uploads, assets, runs, entries = alice.kept()
    assert (len(ids), len(runs), entries, uploads) == (effects, effects, effects + 1, [])
    assert len(assets) == effects
    for run_id in ids:
        alice.post(f"/runs/{run_id}/cancel").must(200)
    for run_id in ids:
        alice.finished(run_id)


def test_twenty_uploads_at_once_are_one(alice: Native) -> None:
    answers = _at_once(lambda _: alice.post("/uploads", UPLOAD, idempotency_key="k"))

    assert len({answer.must(201)["upload_url"] for answer in answers}) == 1
    assert len(list(alice.all("/uploads"))) == 1


def test_of_two_requests_at_once_under_one_key_one_wins(alice: Native) -> None:
    bodies = [UPLOAD, {**UPLOAD, "size_bytes": 6}]

    answers = _at_once(lambda number: alice.post("/uploads", bodies[number % 2], idempotency_key="k"))

    assert sorted({answer.status for answer in answers}) == [201, 422]
    assert len({answer.json()["id"] for answer in answers if answer.status == 201}) == 1
    assert [answer.status for answer in answers].count(201) == MANY // 2
    assert len(list(alice.all("/uploads"))) == 1


def test_twenty_completions_at_once_make_one_asset(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    put(upload, photo).must(200)

    answers = _at_once(lambda _: alice.post(f"/uploads/{upload['id']}/complete"))

    assert len({answer.json()["id"] for answer in answers}) == 1
    assert {answer.status for answer in answers} == {200}
    assert len(list(alice.all("/assets"))) == 1
    told = alice.get(f"/uploads/{upload['id']}/events").body.decode()
    assert (told.count("event: upload.stored\n"), told.count("event: upload.ready\n")) == (1, 1)


def test_completing_and_giving_up_at_once_have_one_winner(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    put(upload, photo).must(200)

    answers = _at_once(
        lambda number: (
            alice.delete(f"/uploads/{upload['id']}") if number % 2 else alice.post(f"/uploads/{upload['id']}/complete")
        )
    )

    given_up, completed = ({answer.status for answer in answers[start::2]} for start in (1, 0))
    assert (given_up, completed) in [({200}, {409}), ({409}, {200})]
    assert len(list(alice.all("/assets"))) == (1 if completed == {200} else 0)


def test_the_last_credit_is_held_once_by_twenty_at_once(make_account: Callable[..., Native]) -> None:
    poor = make_account(credits_usd="0.008")

    answers = _at_once(lambda _: poor.post("/runs", RUN))

    statuses = [answer.status for answer in answers]
    assert (statuses.count(201), statuses.count(402)) == (2, MANY - 2)
    for answer in answers:
        if answer.status == 201:
            poor.finished(answer.json()["id"])
    assert poor.balance() == "0"
