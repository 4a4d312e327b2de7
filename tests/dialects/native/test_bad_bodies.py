"""Bodies that are no strict JSON, or not the JSON that was asked for: a clear problem, and nothing kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.native import Native, pointers, problem

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = {"filename": "a.png", "content_type": "image/png", "size_bytes": 5}


@pytest.fixture(autouse=True)
def _leaves_no_trace(alice: Native) -> Iterator[None]:
    """Whatever a test here sends: nothing is kept, nothing is charged, and the next good request works."""
    before = alice.kept()
    yield
    assert alice.kept() == before
    alice.post("/uploads", GOOD).must(201)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        pytest.param('{"filename": "a", "filename": "b", "content_type": "image/png"}', "twice", id="duplicate key"),
        pytest.param('{"filename": "a", "content_type": "image/png", "size_bytes": NaN}', "NaN", id="NaN"),
        pytest.param(
            '{"filename": "a", "content_type": "image/png", "size_bytes": -Infinity}', "Infinity", id="infinity"
        ),
        pytest.param(
            '{"filename": "a", "content_type": "image/png", "size_bytes": 1e999}', "double", id="beyond a double"
        ),
        pytest.param(
            '{"filename": "a", "content_type": "image/png", "size_bytes": 18446744073709551616}',
            "64 bits",
            id="beyond 64 bits",
        ),
        pytest.param(
            '{"filename": "a", "content_type": "image/png", "size_bytes": ' + "9" * 5000 + "}",
            "64 bits",
            id="five thousand digits",
        ),
        pytest.param('{"filename": "\\ud800", "content_type": "image/png"}', "surrogate", id="half a surrogate pair"),
        pytest.param("[" * 100 + "]" * 100, "nested", id="100 deep"),
        pytest.param("[" * 30_000 + "]" * 30_000, "nested", id="30000 deep"),
        pytest.param('{"a":' * 8_000 + "1" + "}" * 8_000, "nested", id="8000 objects deep"),
        pytest.param("\ufeff" + json.dumps(GOOD), "BOM", id="byte order mark"),
        pytest.param(json.dumps(GOOD).encode("utf-16"), "UTF-8", id="UTF-16"),
        pytest.param(b'{"filename": "\xff", "content_type": "image/png"}', "UTF-8", id="Latin-1"),
        pytest.param(json.dumps(GOOD) + "{}", "not JSON", id="something after it"),
        pytest.param(json.dumps(GOOD)[:-1], "not JSON", id="cut off"),
        pytest.param("{'filename': 'a'}", "not JSON", id="single quotes"),
        pytest.param("filename=a", "not JSON", id="a form"),
    ],
)
def test_a_body_that_is_no_strict_json_is_refused(alice: Native, body: bytes | str, word: str) -> None:
    said = problem(alice.post("/uploads", body), 400, "malformed_body")

    assert word in said["detail"]


@pytest.mark.parametrize("route", ["/uploads", "/runs"])
@pytest.mark.parametrize("body", ["", "null", "[]", '"text"', "7"])
def test_a_body_that_is_no_object_is_refused(alice: Native, route: str, body: str) -> None:
    said = problem(alice.post(route, body), 422, "invalid_field")

    assert said["detail"] == "the body must be a JSON object"
    assert [pointer for pointer, _ in pointers(said)] == ["#"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"filename": None}, "#/filename"),
        ({"filename": ""}, "#/filename"),
        ({"filename": "a" * 501}, "#/filename"),
        ({"filename": ["a"]}, "#/filename"),
        ({"content_type": "png"}, "#/content_type"),
        ({"content_type": "image/png\n"}, "#/content_type"),
        ({"content_type": "image/png\r\nX-Evil: 1"}, "#/content_type"),
        ({"content_type": "imagé/png"}, "#/content_type"),
        ({"content_type": "a/" + "b" * 300}, "#/content_type"),
        ({"size_bytes": -1}, "#/size_bytes"),
        ({"size_bytes": 5.0}, "#/size_bytes"),
        ({"size_bytes": "5"}, "#/size_bytes"),
        ({"size_bytes": True}, "#/size_bytes"),
        ({"expires_in": 59}, "#/expires_in"),
        ({"expires_in": 9223372036854775807}, "#/expires_in"),
        ({"method": "post"}, "#/method"),
        ({"part_size": 5 * 2**20}, "#/part_size"),
        ({"method": "multipart", "part_size": 5 * 2**20 - 1}, "#/part_size"),
        ({"method": "multipart", "part_size": 5 * 2**30 + 1}, "#/part_size"),
        ({"a/b~c": 1}, "#/a~1b~0c"),
    ],
)
def test_a_wrong_field_of_an_upload_is_pointed_at(alice: Native, change: dict[str, Any], pointer: str) -> None:
    said = problem(alice.post("/uploads", {**GOOD, **change}), 422, "invalid_field")

    assert [found for found, _ in pointers(said)] == [pointer]


def test_every_wrong_field_is_pointed_at(alice: Native) -> None:
    said = problem(alice.post("/uploads", {"size_bytes": "many"}), 422, "invalid_fields")

    assert pointers(said) == [
        ("#/filename", "missing"),
        ("#/content_type", "missing"),
        ("#/size_bytes", "int_type"),
    ]


def test_a_declared_size_beyond_the_limit_is_refused(alice: Native) -> None:
    said = problem(alice.post("/uploads", {**GOOD, "size_bytes": 5 * 2**30 + 1}), 413, "file_too_large")

    assert str(5 * 2**30) in said["detail"]


@pytest.mark.parametrize(("route", "size"), [("/uploads", 2**16), ("/runs", 16 * 2**20), ("/runs", 80 * 2**20)])
def test_a_body_beyond_the_limit_of_its_route_is_refused(alice: Native, route: str, size: int) -> None:
    problem(alice.post(route, b'"' + b"a" * size + b'"'), 413, "body_too_large")


@pytest.mark.parametrize(("route", "size"), [("/uploads", 2**17), ("/runs", 17 * 2**20)])
def test_a_chunked_body_beyond_the_limit_of_its_route_is_refused(alice: Native, route: str, size: int) -> None:
    chunks = (b"a" * 2**16 for _ in range(size // 2**16))

    problem(alice.call("POST", route, chunks), 413, "body_too_large")  # type: ignore[arg-type]  # sent in chunks


@pytest.mark.parametrize("sent_as", ["a whole", "chunks"])
def test_a_body_up_to_the_limit_of_its_route_is_read(alice: Native, sent_as: str) -> None:
    body = b'{"model": "none", "input": {"text": "' + b"a" * 2**20 + b'"}}'
    sent = body if sent_as == "a whole" else (body[start : start + 2**16] for start in range(0, len(body), 2**16))

    problem(alice.call("POST", "/runs", sent), 404, "model_not_found")  # type: ignore[arg-type]  # sent in chunks


def test_the_media_type_of_a_json_body_does_not_matter(alice: Native) -> None:
    answer = alice.call("POST", "/runs", {"model": "none", "input": {}}, headers={"Content-Type": "text/plain"})

    problem(answer, 404, "model_not_found")
