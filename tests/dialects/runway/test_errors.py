"""Runway's answers to errors: one body, and headers that its clients obey."""

from __future__ import annotations

import json

import pytest

from penstock.dialects.runway.errors import ERRORS, render_error
from penstock.domain import errors as e


@pytest.mark.statement("RW-55")
def test_several_wrong_fields_are_several_issues() -> None:
    fields = (e.InvalidField(("ratio",), "is odd", rule="literal_error"), e.InvalidField(("input", "seed"), "is wrong"))

    answer = render_error(e.InvalidFields(fields), "r1")

    assert json.loads(bytes(answer.body)) == {
        "error": "Validation of the request failed.",
        "issues": [
            {"code": "invalid_literal", "path": ["ratio"], "message": "is odd"},
            {"code": "custom", "path": ["seed"], "message": "is wrong"},
        ],
    }


def test_an_id_of_the_house_is_not_shown() -> None:
    answer = render_error(e.RunNotFound("6c1b2f7e-0d54-4f4e-9a5e-3f1f6a1f8b21"), "r1")

    assert json.loads(bytes(answer.body)) == {"error": "Task not found."}


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (e.Unauthenticated(), {"www-authenticate": "Bearer"}),
        (e.MethodRefused(allowed=("GET", "PUT")), {"allow": "GET, PUT"}),
        (e.RateLimited(retry_after=2.4), {"retry-after": "2"}),
        (e.RateLimited(retry_after=7200), {"retry-after": "60", "x-should-retry": "false"}),
        (e.DatabaseUnavailable("gone"), {"retry-after": "1"}),
    ],
)
def test_an_error_tells_what_to_do_in_its_headers(error: e.PenstockError, headers: dict[str, str]) -> None:
    assert headers.items() <= dict(render_error(error, "r1").headers).items()


def test_only_what_may_pass_has_a_status_after_which_clients_try_again() -> None:
    again = {row for row, wire in ERRORS.items() if wire.status in {408, 409, 429} or wire.status >= 500}

    assert again == {e.RateLimited, e.InternalError, e.ObjectStoreUnavailable, e.DatabaseUnavailable, e.StorageFull}
