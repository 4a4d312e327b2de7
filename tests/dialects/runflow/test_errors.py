"""The error tables of the Runflow dialect: total, as its page tells them, and with what to do next."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from penstock.dialects.base.errors import leaf_errors
from penstock.dialects.runflow.errors import ERRORS, RUN_ERRORS, render_error, render_run_error
from penstock.domain import errors as e

PAGE = Path(__file__).parents[3] / "docs" / "dialects" / "runflow.md"
ROW = re.compile(
    r"^\| (?P<status>\d{3}) \| `(?P<code>[A-Z_]+)` \| (?P<standing>documented|inferred) \| .+ \|$", re.MULTILINE
)


def test_every_error_of_the_house_has_its_row() -> None:
    assert set(leaf_errors()) == set(ERRORS) == set(RUN_ERRORS)


def test_the_page_lists_exactly_the_rows_of_the_tables() -> None:
    told = {
        (int(row["status"]), row["code"], row["standing"]) for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))
    }

    rows = {row for table in (ERRORS, RUN_ERRORS) for row in table.values()}
    assert told == {(row.status, row.code, "inferred" if row.inferred else "documented") for row in rows}


def test_an_asset_that_is_not_there_is_404_where_it_is_asked_for_itself_and_422_where_a_run_names_it() -> None:
    error = e.AssetNotFound("x")

    assert (render_error(error, "r").status_code, render_run_error(error, "r").status_code) == (404, 422)


def test_several_wrong_fields_are_several_entries() -> None:
    fields = (e.InvalidField(("filename",), "Field required", rule="missing"), e.InvalidField(("q",), "is odd"))

    said = json.loads(bytes(render_error(e.InvalidFields(fields), "r").body))

    assert said == {
        "code": "VALIDATION_ERROR",
        "message": "Request validation failed.",
        "errors": [
            {"loc": ["body", "filename"], "msg": "Field required", "type": "missing"},
            {"loc": ["query", "q"], "msg": "is odd", "type": "value_error"},
        ],
    }


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
    assert render_error(error, "r").headers[name] == value
