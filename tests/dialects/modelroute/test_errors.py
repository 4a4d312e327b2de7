"""The error tables of the ModelRoute dialect: total, as its page tells them, and with what to do next."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from penstock.dialects.base.errors import leaf_errors
from penstock.dialects.modelroute.errors import ERRORS, READ_ERRORS, render_error, render_read_error
from penstock.domain import errors as e

PAGE = Path(__file__).parents[3] / "docs" / "dialects" / "modelroute.md"
ROW = re.compile(
    r"^\| (?P<status>\d{3}) \| `(?P<code>[A-Z_]+)` \| (?P<again>yes|no) \| (?P<standing>documented|inferred) \| .+ \|$",
    re.MULTILINE,
)
# errors/error-codes, of those that the house has errors for
DOCUMENTED = {
    "INPUT_VALIDATION_ERROR": (400, False),
    "FILE_FORMAT_UNSUPPORTED": (400, False),
    "FILE_NOT_FOUND": (400, False),
    "INSUFFICIENT_BALANCE": (402, False),
    "RATE_LIMITED": (429, True),
    "GENERATION_FAILED": (500, True),
    "INTERNAL_ERROR": (500, False),
    "SERVICE_UNAVAILABLE": (503, True),
}


def test_every_error_of_the_house_has_its_row() -> None:
    assert set(leaf_errors()) == set(ERRORS) == set(READ_ERRORS)


def test_the_page_lists_exactly_the_rows_of_the_tables() -> None:
    told = {(int(row["status"]), row["code"]) for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}

    assert told == {(row.status, row.code) for table in (ERRORS, READ_ERRORS) for row in table.values()}


def test_documented_rows_have_the_products_status() -> None:
    kept = {(row.code, row.status) for row in ERRORS.values() if not row.inferred}

    assert kept == {(code, status) for code, (status, _) in DOCUMENTED.items()}


@pytest.mark.parametrize("error", list(leaf_errors()), ids=lambda error: error.__name__)
def test_retryable_is_what_the_product_says(error: type[e.PenstockError]) -> None:
    bare = error.__new__(error)
    bare.message = "words"
    if isinstance(bare, e.InvalidField | e.ReferenceInvalid):
        bare.path, bare.reason = (), "words"
    if isinstance(bare, e.InvalidField):
        bare.rule = "invalid"
    if isinstance(bare, e.InvalidFields):
        bare.fields = ()
    if isinstance(bare, e.MethodRefused):
        bare.allowed = ()
    if isinstance(bare, e.RateLimited):
        bare.retry_after = 1.0

    said = json.loads(bytes(render_error(bare, "r1").body))["error"]

    assert said["request_id"] == "r1"
    assert said["retryable"] is DOCUMENTED.get(said["code"], (0, False))[1]


def test_a_file_that_is_not_there_is_404_where_it_is_asked_for_itself() -> None:
    error = e.AssetNotFound("x")

    assert (render_error(error, "r").status_code, render_read_error(error, "r").status_code) == (400, 404)


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (e.Unauthenticated(), "www-authenticate", "Bearer"),
        (e.MethodRefused(allowed=("GET", "PUT")), "allow", "GET, PUT"),
        (e.RateLimited(retry_after=2.4), "retry-after", "2"),
        (e.DatabaseUnavailable("gone"), "retry-after", "1"),
    ],
)
def test_an_error_tells_what_to_do_in_its_headers(error: e.PenstockError, name: str, value: str) -> None:
    assert render_error(error, "r1").headers[name] == value
