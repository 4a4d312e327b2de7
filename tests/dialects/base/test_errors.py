"""Error tables: total over the vocabulary, for every dialect there is; and the edge's own findings in our words."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

import penstock
from penstock.dialects.base.errors import ErrorTable, WireError, field_errors, from_validation, leaf_errors, look_up
from penstock.dialects.registry import DIALECTS
from penstock.domain import errors
from penstock.domain.errors import (
    FileTooLarge,
    InternalError,
    InvalidField,
    InvalidFields,
    PenstockError,
    ReferenceInvalid,
    UploadNotFound,
)


def import_everything() -> None:
    """A class is known as a subclass only once its module was imported."""
    for module in pkgutil.walk_packages(penstock.__path__, "penstock."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)


def table_of(dialect: str) -> ErrorTable:
    table: ErrorTable = importlib.import_module(f"penstock.dialects.{dialect}.errors").ERRORS
    return table


def test_the_whole_vocabulary_stands_in_one_module() -> None:
    import_everything()

    vocabulary = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PenstockError)}
    assert {kind for kind in leaf_errors() if kind not in vocabulary} == set()
    assert {FileTooLarge, UploadNotFound, InternalError} <= set(leaf_errors())
    assert PenstockError not in set(leaf_errors())


@pytest.mark.parametrize("dialect", [dialect.name for dialect in DIALECTS])
def test_every_leaf_of_the_vocabulary_has_a_row_in_every_dialect_and_no_row_is_for_anything_else(dialect: str) -> None:
    import_everything()

    assert set(table_of(dialect)) == set(leaf_errors())


@pytest.mark.parametrize("dialect", [dialect.name for dialect in DIALECTS])
def test_every_row_is_an_error_on_the_wire(dialect: str) -> None:
    for row in table_of(dialect).values():
        assert 400 <= row.status <= 599
        assert row.code


def test_an_error_without_a_row_counts_as_a_fault_of_ours() -> None:
    internal, known = WireError(code="internal", status=500), WireError(code="gone", status=404)
    table = {InternalError: internal, UploadNotFound: known}

    assert look_up(table, UploadNotFound("x")) is known
    assert look_up(table, FileTooLarge(limit=1, actual=2)) is internal


def test_the_fields_that_an_error_names() -> None:
    one, two = InvalidField(("a",), "is required"), InvalidField(("b",), "is wrong")

    assert field_errors(one) == (one,)
    assert field_errors(InvalidFields((one, two))) == (one, two)
    assert field_errors(UploadNotFound("x")) == ()


def test_a_reference_that_names_nothing_is_told_like_a_wrong_field() -> None:
    (field,) = field_errors(ReferenceInvalid(("input", "image"), "is no reference"))

    assert (field.path, field.reason, field.rule) == (("input", "image"), "is no reference", "reference")


# --- what the web framework finds


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: str
    size: int = 0
    tags: list[str] = []


def findings(value: object, *, where: str = "body") -> list[dict[str, object]]:
    """What the framework reports: pydantic's findings, and before each path the part of the request."""
    try:
        Body.model_validate(value)
    except ValidationError as error:
        return [{**found, "loc": (where, *found["loc"])} for found in error.errors()]
    raise AssertionError("nothing is wrong with it")


def test_a_wrong_field_is_named_without_the_part_of_the_request_it_stood_in() -> None:
    error = from_validation(findings({"name": "x", "tags": ["a", 1]}))

    assert isinstance(error, InvalidField)
    assert error.path == ("tags", 1)
    assert error.message == "tags.1: Input should be a valid string"


def test_several_wrong_fields_are_all_named() -> None:
    error = from_validation(findings({"size": "1", "more": 1}))

    assert isinstance(error, InvalidFields)
    assert [(field.path, field.rule) for field in error.fields] == [
        (("name",), "missing"),
        (("size",), "int_type"),
        (("more",), "extra_forbidden"),
    ]


def test_a_body_that_is_wrong_as_a_whole_has_an_empty_path_and_a_plain_message() -> None:
    error = from_validation([{"loc": ("body",), "msg": "Field required", "type": "missing"}])

    assert isinstance(error, InvalidField)
    assert (error.path, error.message, error.rule) == ((), "the body must be a JSON object", "missing")


# --- problem details


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ((), "#"),
        (("filename",), "#/filename"),
        (("tags", 1), "#/tags/1"),
        (("a/b~c",), "#/a~1b~0c"),
        (("",), "#/"),
        (("my key%", "é"), "#/my%20key%25/%C3%A9"),
    ],
)
def test_a_pointer_is_a_uri_fragment(path: tuple[str | int, ...], pointer: str) -> None:
    from penstock.dialects.native.errors import render_error  # noqa: PLC0415 - the one dialect with pointers

    problem = json.loads(bytes(render_error(InvalidField(path, "is wrong"), "request-1").body))

    assert problem["errors"][0]["pointer"] == pointer
