"""The error table of the ModelRunner dialect: total, and as its page tells it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from penstock.dialects.base.errors import leaf_errors
from penstock.dialects.modelrunner.errors import ERRORS, render_error
from penstock.domain import errors as e

PAGE = Path(__file__).parents[3] / "docs" / "dialects" / "modelrunner.md"
ROW = re.compile(
    r"^\| (?P<status>\d{3}) \| `(?P<code>[A-Z_]+)` \| (?P<standing>documented|inferred) \| .+ \|$", re.MULTILINE
)


def test_every_error_of_the_house_has_its_row() -> None:
    assert set(leaf_errors()) == set(ERRORS)


def test_the_page_lists_exactly_the_rows_of_the_table() -> None:
    told = [
        (int(row["status"]), row["code"], row["standing"]) for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))
    ]

    kept = {(row.status, row.code, "inferred" if row.inferred else "documented") for row in ERRORS.values()}
    assert sorted(told) == sorted(kept)


def test_several_wrong_fields_are_several_issues() -> None:
    fields = (e.InvalidField(("file_name",), "Field required", rule="missing"), e.InvalidField(("size",), "is odd"))

    said = json.loads(bytes(render_error(e.InvalidFields(fields), "r1").body))

    assert said["error"] == [
        {"path": ["file_name"], "message": "Required", "code": "invalid_type"},
        {"path": ["size"], "message": "is odd", "code": "custom"},
    ]
    assert said["message"] == "Validation failed: file_name: Required; size: is odd"


def test_an_id_of_the_house_is_not_shown() -> None:
    said = json.loads(bytes(render_error(e.RunNotFound("6c1b2f7e-0d54-4f4e-9a5e-3f1f6a1f8b21"), "r1").body))

    assert said["error"] == said["message"] == "request not found"


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (e.Unauthenticated(), "www-authenticate", "Key"),
        (e.MethodRefused(allowed=("GET", "PUT")), "allow", "GET, PUT"),
        (e.RateLimited(retry_after=2.4), "retry-after", "2"),
        (e.DatabaseUnavailable("gone"), "retry-after", "1"),
    ],
)
def test_an_error_tells_what_to_do_in_its_headers(error: e.PenstockError, name: str, value: str) -> None:
    assert render_error(error, "r1").headers[name] == value
