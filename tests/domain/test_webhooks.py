"""Callbacks: where they may go, when they are tried again, when an endpoint is turned off."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from penstock.domain.egress import EgressRules, parse_rules
from penstock.domain.errors import InvalidField
from penstock.domain.ids import AccountId, DeliveryId, EndpointId, RunId
from penstock.domain.webhooks import (
    Attempt,
    Delivery,
    DeliveryState,
    Endpoint,
    Moment,
    RetryPlan,
    abandoned,
    answered,
    attempted,
    check_headers,
    check_receiver,
    renewed,
    wants,
)
from tests.support.repeatable import NOON

MINUTE = timedelta(minutes=1)
PLAN = RetryPlan(delays=(MINUTE, 5 * MINUTE), within=MINUTE, final=frozenset({410}), patience=3)
DELIVERY = Delivery(
    id=DeliveryId("d"),
    account_id=AccountId("a"),
    dialect="x",
    run_id=RunId("r"),
    endpoint_id=None,
    moment=Moment.ENDED,
    url="https://hooks.example.com/x",
    event="done",
    body=None,
    state=DeliveryState.PENDING,
    tries=0,
    attempts=0,
    next_at=NOON,
    round_at=NOON,
    created_at=NOON,
)
ENDPOINT = Endpoint(
    id=EndpointId("e"),
    account_id=AccountId("a"),
    dialect="x",
    url="https://hooks.example.com/x",
    description=None,
    events=(),
    headers={},
    active=True,
    failures=0,
    succeeded_at=None,
    created_at=NOON,
)


def attempt(status: int | None, number: int = 1) -> Attempt:
    error = "no answer" if status is None else None
    return Attempt(
        delivery_id=DELIVERY.id, number=number, at=NOON, milliseconds=3, status=status, reply=None, error=error
    )


def after(delivery: Delivery, status: int | None, *, plan: RetryPlan = PLAN, jitter: float = 0.0) -> Delivery:
    said = attempt(status, delivery.attempts + 1)
    return attempted(delivery, said, plan, now=NOON + (delivery.attempts * MINUTE), jitter=jitter)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_two_hundreds_deliver(status: int) -> None:
    done = after(DELIVERY, status)

    assert (done.state, done.attempts, done.next_at) == (DeliveryState.DELIVERED, 1, None)


@pytest.mark.parametrize("status", [None, 199, 300, 302, 404, 500])
def test_anything_else_is_tried_again_until_the_plan_is_used_up(status: int | None) -> None:
    first = after(DELIVERY, status)
    second = after(first, status)
    third = after(second, status)

    assert (first.state, first.next_at) == (DeliveryState.PENDING, NOON + MINUTE)
    assert (second.state, second.next_at) == (DeliveryState.PENDING, NOON + MINUTE + 5 * MINUTE)
    assert (third.state, third.next_at, third.attempts) == (DeliveryState.FAILED, None, 3)


def test_a_final_status_ends_it_at_once() -> None:
    assert after(DELIVERY, 410).state is DeliveryState.FAILED


def test_a_delay_is_never_shorter_than_planned_and_at_most_a_tenth_longer() -> None:
    assert after(DELIVERY, 500, jitter=0.0).next_at == NOON + MINUTE
    latest = after(DELIVERY, 500, jitter=0.999).next_at
    assert latest is not None
    assert NOON + MINUTE < latest < NOON + 1.1 * MINUTE


def test_a_delivery_dies_with_its_round_and_lives_again_with_the_next() -> None:
    plan = replace(PLAN, lifetime=3 * MINUTE)
    first = after(DELIVERY, 500, plan=plan)
    second = after(first, 500, plan=plan)
    again = renewed(replace(second, body="{}"), now=NOON + 9 * MINUTE)

    assert first.state is DeliveryState.PENDING
    assert second.state is DeliveryState.FAILED
    assert (again.state, again.tries, again.attempts, again.body) == (DeliveryState.PENDING, 0, 2, "{}")
    assert after(again, 500, plan=plan).state is DeliveryState.PENDING
    assert abandoned(again).state is DeliveryState.FAILED


def test_failures_in_a_row_turn_an_endpoint_off_and_a_success_counts_anew() -> None:
    once = answered(ENDPOINT, attempt(500), PLAN)
    twice = answered(once, attempt(None), PLAN)
    off = answered(twice, attempt(500), PLAN)

    assert (once.failures, twice.active) == (1, True)
    assert (off.failures, off.active) == (3, False)
    assert answered(twice, attempt(200), PLAN) == replace(ENDPOINT, succeeded_at=NOON)
    assert not wants(off, "done")
    assert answered(off, attempt(200), PLAN).active is False
    assert answered(twice, attempt(500), replace(PLAN, patience=None)).active


def test_an_endpoint_wants_all_events_or_those_it_names() -> None:
    assert wants(ENDPOINT, "done")
    assert wants(replace(ENDPOINT, events=("done", "begun")), "begun")
    assert not wants(replace(ENDPOINT, events=("done",)), "begun")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.example.com/x?token=a&b=%20c", ""),
        ("http://127.0.0.1:9000/x", "127.0.0.0/8"),
        ("http://localhost:9000/x", "127.0.0.0/8"),
        ("http://inner.example:8080/x", "inner.example:8080"),
    ],
)
def test_a_receiver_is_posted_to_as_it_was_named(url: str, allowed: str) -> None:
    assert check_receiver(url, parse_rules(allowed), https_only=True, path=("hook",)) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com/x",
        "ftp://hooks.example.com/x",
        "http://hooks.example.com/x",
        "https://user:word@hooks.example.com/x",
        "https://hooks.example.com:8443/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://hooks.example.com/\r\nX: y",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://hooks.example.com/" + "x" * 2048,
    ],
)
def test_a_receiver_that_is_never_posted_to_is_refused(url: str) -> None:
    with pytest.raises(InvalidField) as raised:
        check_receiver(url, EgressRules(), https_only=True, path=("hook",))

    assert raised.value.path == ("hook",)


def test_plain_http_is_taken_where_the_dialect_takes_it() -> None:
    url = "http://hooks.example.com/x"

    assert check_receiver(url, EgressRules(), https_only=False, path=("hook",)) == url


def test_headers_are_taken_unless_they_are_the_transports_or_no_headers() -> None:
    assert check_headers({"X-Tenant": " seven ", "Authorization": "Bearer t"}) == {
        "X-Tenant": "seven",
        "Authorization": "Bearer t",
    }
    refused: list[dict[str, object]] = [
        {"Host": "other"},
        {"content-length": "1"},
        {"Transfer-Encoding": "chunked"},
        {"a b": "c"},
        {"": "c"},
        {"X-A": "b\r\nX-C: d"},
        {"X-A": "ü"},
        {"X-A": 7},
        {"X-A": "x" * 1001},
        {f"X-{number}": "a" for number in range(21)},
    ]
    for headers in refused:
        with pytest.raises(InvalidField):
            check_headers(headers)
