"""Forms and parts over the wire, against the real store."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.support.exchange import exchange
from tests.support.native import problem

if TYPE_CHECKING:
    from tests.support.exchange import Answer
    from tests.support.native import Native

PART = 5 * 2**20


def post_form(form: dict[str, Any], content: bytes, **changes: str) -> Answer:
    """What a browser sends (RFC 7578)."""
    boundary = "a-boundary"
    fields = {**form["fields"], **changes}
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return exchange("POST", form["url"], body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})


def begin_parts(who: Native, content: bytes) -> dict[str, Any]:
    return who.begin(content, method="multipart", part_size=PART)


def urls_of(who: Native, upload: dict[str, Any], *numbers: int) -> dict[int, str]:
    said = who.post(f"/uploads/{upload['id']}/parts", {"part_numbers": list(numbers)}).must(200)
    assert said["expires_at"].endswith("Z")
    return {one["part_number"]: one["url"] for one in said["data"]}


def send(who: Native, upload: dict[str, Any], number: int, content: bytes) -> str:
    answer = exchange("PUT", urls_of(who, upload, number)[number], content[(number - 1) * PART : number * PART])
    answer.must(200)
    return answer.headers["etag"]


@pytest.fixture(scope="module")
def large(photo: bytes) -> bytes:
    """A photograph with a long tail: two full parts and a bit."""
    return photo + b"\0" * (2 * PART + 100 - len(photo))


def test_a_file_comes_by_form(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo, method="form")
    assert (upload["upload_url"], upload["headers"], upload["part_size"]) == (None, None, None)
    assert next(iter(upload["form"]["fields"])) == "key"

    post_form(upload["form"], photo).must(204)

    asset = alice.post(f"/uploads/{upload['id']}/complete").must(200)
    assert (asset["sha256"], asset["filename"]) == (hashlib.sha256(photo).hexdigest(), "picture.png")


@pytest.mark.parametrize("change", [{"key": "assets/mine"}, {"Content-Type": "text/html"}, {"policy": "e30="}])
def test_a_form_that_was_changed_is_refused_and_nothing_arrives(
    alice: Native, photo: bytes, change: dict[str, str]
) -> None:
    upload = alice.begin(photo, method="form")

    assert post_form(upload["form"], photo, **change).status in {400, 403}

    problem(alice.post(f"/uploads/{upload['id']}/complete"), 404, "file_not_stored")


def test_a_form_s_signature_is_for_no_put(alice: Native, photo: bytes) -> None:  # S25
    form = alice.begin(photo, method="form")["form"]
    place = f"{form['url']}/{form['fields']['key']}"
    signature = {name: value for name, value in form["fields"].items() if name.lower().startswith("x-amz-")}

    assert exchange("PUT", place, photo).status == 403
    assert exchange("PUT", f"{place}?{urlencode(signature)}", photo).status in {400, 403}


def test_a_form_that_is_sent_again_after_completion_changes_nothing_that_is_read(  # P7
    alice: Native, photo: bytes
) -> None:
    upload = alice.begin(photo, method="form")
    post_form(upload["form"], photo).must(204)
    asset = alice.post(f"/uploads/{upload['id']}/complete").must(200)

    post_form(upload["form"], photo[:-1] + b"!").must(204)

    assert alice.post(f"/uploads/{upload['id']}/complete").must(200)["sha256"] == asset["sha256"]
    assert exchange("GET", exchange("GET", asset["url"]).headers["location"]).body == photo


def test_a_form_takes_the_declared_size_alone(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo, method="form")

    assert post_form(upload["form"], photo + b"x").status == 400
    assert post_form(upload["form"], photo[:-1]).status == 400
    post_form(upload["form"], photo).must(204)


def test_a_large_file_comes_in_parts(alice: Native, large: bytes) -> None:
    upload = begin_parts(alice, large)
    assert (upload["part_size"], upload["part_count"], upload["upload_url"]) == (PART, 3, None)

    etags = {number: send(alice, upload, number, large) for number in (3, 1, 2)}

    named = [{"part_number": number, "etag": etag} for number, etag in sorted(etags.items())]
    asset = alice.post(f"/uploads/{upload['id']}/complete", {"parts": named}).must(200)
    assert asset["size_bytes"] == len(large)
    found = exchange("GET", exchange("GET", asset["url"]).headers["location"])
    assert found.body == large


def test_an_upload_goes_on_where_another_machine_left_it(alice: Native, large: bytes) -> None:
    """All that is needed is the key and the upload's id."""
    identifier = begin_parts(alice, large)["id"]
    send(alice, {"id": identifier}, 2, large)

    upload = alice.get(f"/uploads/{identifier}").must(200)
    there = alice.get(f"/uploads/{identifier}/parts").must(200)
    assert [(part["part_number"], part["size_bytes"]) for part in there["data"]] == [(2, PART)]
    assert there["next_after"] is None
    missing = set(range(1, upload["part_count"] + 1)) - {part["part_number"] for part in there["data"]}
    said = problem(alice.post(f"/uploads/{identifier}/complete"), 409, "upload_incomplete")
    assert "part 1 did not arrive" in said["detail"]
    for number in missing:
        send(alice, upload, number, large)

    assert alice.post(f"/uploads/{identifier}/complete").must(200)["size_bytes"] == len(large)


def test_a_picture_in_parts_that_declared_no_type_is_shown_as_one(alice: Native, large: bytes) -> None:
    upload = alice.begin(large, "a.png", "application/octet-stream", method="multipart", part_size=PART)
    for number in (1, 2, 3):
        send(alice, upload, number, large)
    asset = alice.post(f"/uploads/{upload['id']}/complete").must(200)
    assert asset["content_type"] == "image/png"

    shown = exchange("GET", exchange("GET", asset["url"]).headers["location"])

    assert shown.headers["content-type"] == "image/png"
    assert not shown.headers.get("content-disposition", "inline").startswith("attachment")
    assert shown.headers["x-content-type-options"] == "nosniff"


def test_parts_that_arrived_are_listed_by_the_page(alice: Native, large: bytes) -> None:
    upload = begin_parts(alice, large)
    for number in (1, 2, 3):
        send(alice, upload, number, large)

    first = alice.get(f"/uploads/{upload['id']}/parts?limit=2").must(200)
    second = alice.get(f"/uploads/{upload['id']}/parts?limit=2&after={first['next_after']}").must(200)

    assert [part["part_number"] for part in first["data"] + second["data"]] == [1, 2, 3]
    assert (first["next_after"], second["next_after"]) == (2, None)


def test_a_part_s_url_is_dead_once_the_file_is_complete(alice: Native, large: bytes) -> None:  # P7
    upload = begin_parts(alice, large)
    urls = urls_of(alice, upload, 1, 2, 3)
    for number in (1, 2, 3):
        send(alice, upload, number, large)
    asset = alice.post(f"/uploads/{upload['id']}/complete").must(200)

    late = exchange("PUT", urls[3], b"x" * 100)

    assert late.status == 404
    assert exchange("GET", exchange("GET", asset["url"]).headers["location"]).body == large


def test_a_part_s_url_is_for_that_part_alone(alice: Native, large: bytes) -> None:  # S24
    url = urls_of(alice, begin_parts(alice, large), 1)[1]

    assert exchange("PUT", url.replace("partNumber=1", "partNumber=2"), b"x").status == 403
    assert exchange("GET", url).status == 403
    assert urlsplit(url).path.split("/")[2] == "assets"


def test_an_upload_in_parts_can_be_given_up(alice: Native, large: bytes) -> None:
    upload = begin_parts(alice, large)
    urls = urls_of(alice, upload, 1, 2)
    send(alice, upload, 1, large)

    assert alice.delete(f"/uploads/{upload['id']}").must(200)["state"] == "aborted"
    alice.delete(f"/uploads/{upload['id']}").must(200)

    assert exchange("PUT", urls[2], b"x").status == 404
    problem(alice.get(f"/uploads/{upload['id']}/parts"), 409, "upload_not_completable")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"part_numbers": []}, "#/part_numbers"),
        ({"part_numbers": [1] * 1001}, "#/part_numbers"),
        ({"part_numbers": [0]}, "#/part_numbers/0"),
        ({"part_numbers": [1, 4]}, "#/part_numbers/1"),
        ({"part_numbers": ["1"]}, "#/part_numbers/0"),
        ({}, "#/part_numbers"),
    ],
)
def test_a_wish_for_urls_that_cannot_be_granted_is_pointed_at(
    alice: Native, large: bytes, body: dict[str, Any], pointer: str
) -> None:
    upload = begin_parts(alice, large)

    said = problem(alice.post(f"/uploads/{upload['id']}/parts", body), 422, "invalid_field")

    assert said["errors"][0]["pointer"] == pointer


def test_a_part_cannot_be_named_twice(alice: Native, large: bytes) -> None:
    upload = begin_parts(alice, large)
    named = [{"part_number": 1, "etag": "a"}, {"part_number": 1, "etag": "b"}]

    said = problem(alice.post(f"/uploads/{upload['id']}/complete", {"parts": named}), 422, "invalid_field")

    assert said["errors"][0]["pointer"] == "#/parts/1/part_number"


def test_an_upload_by_put_has_no_parts(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)

    problem(alice.get(f"/uploads/{upload['id']}/parts"), 409, "wrong_upload_method")
    problem(alice.post(f"/uploads/{upload['id']}/parts", {"part_numbers": [1]}), 409, "wrong_upload_method")
