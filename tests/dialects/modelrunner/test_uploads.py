"""Single-part uploads: initiate, PUT, the canonical file URL."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.dialects.modelrunner.client import LIFECYCLE, PNG, SVG, envelope, issues, put
from tests.support.exchange import exchange, fetch

if TYPE_CHECKING:
    from tests.dialects.modelrunner.client import ModelRunner
    from tests.support.house import House


@pytest.mark.statement("MR-01")
def test_initiate_answers_two_urls_as_json(acme: ModelRunner) -> None:
    body = {"file_name": "input.png", "content_type": "image/png", "size": len(PNG)}

    answer = acme.call("POST", "/storage/upload/initiate", body)

    assert answer.headers["content-type"] == "application/json"
    said = answer.must(200)
    assert set(said) == {"upload_url", "file_url"}
    assert all(isinstance(url, str) and url.startswith("http://") for url in said.values())


@pytest.mark.statement("MR-02")
def test_initiate_needs_no_size_and_ignores_what_it_does_not_know(acme: ModelRunner) -> None:
    begun = acme.initiate(size=None, acl="public-read", nested={"a": [1]})

    assert put(begun["upload_url"], PNG, "image/png").status == 200
    assert fetch(begun["file_url"]).body == PNG


def test_initiate_reads_json_whatever_the_content_type_says(acme: ModelRunner) -> None:
    body = {"file_name": "input.png", "content_type": "image/png"}

    answer = acme.call("POST", "/storage/upload/initiate", body, Content_Type="application/json; charset=utf-8")

    assert answer.status == 200


@pytest.mark.statement("MR-03")
def test_a_file_url_ends_in_the_name_and_is_never_given_twice(acme: ModelRunner) -> None:
    first = acme.initiate("holiday-1.photo.png")["file_url"]
    second = acme.initiate("holiday-1.photo.png")["file_url"]

    assert first != second
    for url in (first, second):
        assert re.fullmatch(re.escape(acme.base) + r"/media/[0-9a-f]{32}-holiday-1\.photo\.png", url)


@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("../../etc/passwd", "-passwd"),
        ("C:\\pictures\\cat.png", "-cat.png"),
        ("a b?c#d.png", "-a_b_c_d.png"),
        ("Füße.png", "-Fue.png"),
        ("..", "-file"),
        ("x" * 400 + ".png", "x.png"),
    ],
)
def test_an_unsafe_name_is_made_safe_and_keeps_its_extension(acme: ModelRunner, name: str, tail: str) -> None:
    url = acme.initiate(name)["file_url"]

    assert url.endswith(tail)
    assert re.fullmatch(r"[0-9a-f]{32}-[A-Za-z0-9._-]{1,160}", url.rpartition("/")[2])


@pytest.mark.statement("MR-04")
@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "video/mp4", "application/octet-stream"])
def test_a_file_url_is_404_before_the_bytes_and_serves_them_after_without_a_key(
    acme: ModelRunner, content_type: str
) -> None:
    content = bytes(range(256)) * 40
    begun = acme.initiate("clip.bin", content_type)

    assert envelope(exchange("GET", begun["file_url"]), 404)["error"] == "file not found"
    assert exchange("HEAD", begun["file_url"]).status == 404
    assert put(begun["upload_url"], content, content_type).status == 200

    served = fetch(begun["file_url"])
    assert (served.status, served.headers["content-type"]) == (200, content_type)
    assert served.body == content
    measured = fetch(begun["file_url"], method="HEAD")
    assert (measured.status, measured.headers["content-length"]) == (200, str(len(content)))


def test_a_file_url_redirects_to_the_object_store_and_is_not_cached(acme: ModelRunner) -> None:
    answer = exchange("GET", acme.upload())

    assert (answer.status, answer.headers["cache-control"]) == (307, "no-store")
    assert not answer.headers["location"].startswith(acme.base)


def test_ranges_of_a_file_can_be_read(acme: ModelRunner) -> None:
    location = exchange("GET", acme.upload()).headers["location"]

    answer = exchange("GET", location, headers={"Range": "bytes=1-3"})

    assert (answer.status, answer.body) == (206, b"PNG")


@pytest.mark.parametrize("key", ["", "nothing", "0" * 32 + "-input.png", "%2e%2e", "0" * 32 + "-%00"])
def test_an_unknown_file_url_is_404(acme: ModelRunner, key: str) -> None:
    envelope(exchange("GET", f"{acme.base}/media/{key}"), 404)


@pytest.mark.statement("MR-05", "MR-09")
def test_the_put_needs_no_key_and_answers_a_quoted_etag_without_json(acme: ModelRunner) -> None:
    begun = acme.initiate("notes.txt", "text/plain; charset=utf-8")

    answer = put(begun["upload_url"], b"some words", "text/plain; charset=utf-8")

    assert (answer.status, answer.body) == (200, b"")
    assert re.fullmatch(r'"[^"]+"', answer.headers["etag"])
    assert answer.headers.get("content-type") != "application/json"


@pytest.mark.statement("MR-06")
@pytest.mark.parametrize("content_type", ["image/jpeg", "image/png; charset=binary", None])
def test_a_put_with_another_content_type_is_refused_and_stores_nothing(
    acme: ModelRunner, content_type: str | None
) -> None:
    begun = acme.initiate()

    assert put(begun["upload_url"], PNG, content_type).status == 403

    assert exchange("GET", begun["file_url"]).status == 404


@pytest.mark.statement("MR-07")
def test_a_put_with_a_tampered_url_is_refused(acme: ModelRunner) -> None:
    begun = acme.initiate()
    url = begun["upload_url"]
    last = url[-1]

    for tampered in (
        url[:-1] + ("0" if last != "0" else "1"),
        url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"),
        url.replace("/staging/", "/staging/x"),
        url + "&x-id=PutObject",
    ):
        answer = put(tampered, PNG, "image/png")
        assert answer.status == 403, tampered
        assert b"<Code>SignatureDoesNotMatch</Code>" in answer.body

    assert exchange("GET", begun["file_url"]).status == 404


@pytest.mark.statement("MR-07")
def test_a_put_after_the_hour_of_its_url_is_refused(acme: ModelRunner, house: House) -> None:
    begun = acme.initiate()
    house.clock.advance(timedelta(hours=1, seconds=1))

    answer = put(begun["upload_url"], PNG, "image/png")

    assert (answer.status, b"<Code>AccessDenied</Code>" in answer.body) == (403, True)
    assert exchange("GET", begun["file_url"]).status == 404


@pytest.mark.statement("MR-08", "MR-49")
@pytest.mark.parametrize("headers", [{"Content_Disposition": "attachment"}, {}], ids=["as the SDKs", "as the guide"])
def test_an_svg_may_come_with_and_without_a_disposition(acme: ModelRunner, headers: dict[str, str]) -> None:
    begun = acme.initiate("logo.svg", "image/svg+xml")

    assert put(begun["upload_url"], SVG, "image/svg+xml", **headers).status == 200

    served = fetch(begun["file_url"])
    assert (served.status, served.body) == (200, SVG)
    assert served.headers["content-disposition"].startswith("attachment")


@pytest.mark.statement("MR-10")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"content_type": "image/png"}, {"file_name": "invalid_type"}),
        ({"file_name": "a.png"}, {"content_type": "invalid_type"}),
        ({"file_name": "", "content_type": "image/png"}, {"file_name": "too_small"}),
        ({"file_name": "a.png", "content_type": ""}, {"content_type": "too_small"}),
        ({"file_name": None, "content_type": 7}, {"file_name": "invalid_type", "content_type": "invalid_type"}),
        ({"file_name": "a.png", "content_type": "picture"}, {"content_type": "custom"}),
        ({"file_name": "a.png", "content_type": "image/png\r\nx: y"}, {"content_type": "custom"}),
        ({"file_name": "a.png", "content_type": "image/png", "size": -1}, {"size": "too_small"}),
        ({"file_name": "a.png", "content_type": "image/png", "size": "7"}, {"size": "invalid_type"}),
        ({"file_name": "a.png", "content_type": "image/png", "size": 7.5}, {"size": "invalid_type"}),
        ({"file_name": "a.png", "content_type": "image/png", "size": True}, {"size": "invalid_type"}),
    ],
)
def test_a_wrong_declaration_names_the_field(
    acme: ModelRunner, body: dict[str, object], expected: dict[str, str]
) -> None:
    assert issues(acme.call("POST", "/storage/upload/initiate", body)) == expected


@pytest.mark.statement("MR-10")
@pytest.mark.parametrize(
    "body", [b"{", b"", b"[]", b'"x"', b"null", b'{"file_name": "a", "file_name": "b"}', b'{"size": NaN}', b"\xff"]
)
def test_a_body_that_is_no_json_object_is_refused(acme: ModelRunner, body: bytes) -> None:
    envelope(acme.call("POST", "/storage/upload/initiate", body), 400)


@pytest.mark.statement("MR-11")
@pytest.mark.parametrize("seconds", [60, 157_680_000, None])
def test_a_lifetime_within_bounds_is_accepted(acme: ModelRunner, seconds: int | None) -> None:
    begun = acme.mortal(seconds)

    assert put(begun["upload_url"], PNG, "image/png").status == 200
    assert fetch(begun["file_url"]).status == 200


@pytest.mark.statement("MR-11")
@pytest.mark.parametrize(
    "header",
    [
        '{"expiration_duration_seconds": 59}',
        '{"expiration_duration_seconds": 157680001}',
        '{"expiration_duration_seconds": 60.5}',
        '{"expiration_duration_seconds": true}',
        '{"expiration_duration_seconds": "60"}',
        '{"expiration_duration_seconds": 60, "initial_acl": null}',
        '{"initial_acl": {"default": "forbid"}}',
        "1h",
        "[60]",
        "",
        '{"expiration_duration_seconds": 6\xe9}',
    ],
)
def test_any_other_lifecycle_header_is_refused(acme: ModelRunner, header: str) -> None:
    body = {"file_name": "a.png", "content_type": "image/png"}

    answer = acme.call("POST", "/storage/upload/initiate", body, **{LIFECYCLE: header})

    assert issues(answer) == {LIFECYCLE: "custom"}


@pytest.mark.statement("MR-12")
def test_a_file_with_a_lifetime_of_a_minute_is_gone_after_it(acme: ModelRunner, house: House) -> None:
    begun = acme.mortal(60)
    house.clock.advance(timedelta(minutes=10))  # the life begins with the bytes
    put(begun["upload_url"], PNG, "image/png")

    house.clock.advance(timedelta(seconds=60))
    assert fetch(begun["file_url"]).status == 200

    house.clock.advance(timedelta(seconds=5))
    assert exchange("GET", begun["file_url"]).status == 404
    house.sweep()
    assert exchange("GET", begun["file_url"]).status == 404


@pytest.mark.statement("MR-12")
def test_a_file_whose_minute_passed_before_anybody_looked_is_gone(acme: ModelRunner, house: House) -> None:
    begun = acme.mortal(60)
    put(begun["upload_url"], PNG, "image/png")
    house.clock.advance(timedelta(seconds=66))

    assert exchange("GET", begun["file_url"]).status == 404
    envelope(acme.call("POST", "/acme/model", {"image": begun["file_url"]}), 404)


@pytest.mark.statement("MR-12")
def test_a_file_that_was_used_as_an_input_stays(acme: ModelRunner, house: House) -> None:
    house.models["acme/model"] = lambda _inputs, _context: {}
    begun = acme.mortal(60)
    put(begun["upload_url"], PNG, "image/png")
    acme.submit(body={"image": begun["file_url"]})
    house.work()

    house.clock.advance(timedelta(days=400))
    house.sweep()

    assert fetch(begun["file_url"]).body == PNG


def test_a_strangers_run_does_not_keep_a_file(acme: ModelRunner, rival: ModelRunner, house: House) -> None:
    house.models["acme/model"] = lambda _inputs, _context: {}
    begun = acme.mortal(60)
    put(begun["upload_url"], PNG, "image/png")
    rival.submit(body={"image": begun["file_url"]})
    house.work()

    house.clock.advance(timedelta(seconds=66))

    assert exchange("GET", begun["file_url"]).status == 404


@pytest.mark.statement("MR-44")
@pytest.mark.parametrize("size", [0, len(PNG) - 1, len(PNG) + 1, 2**20])
def test_a_declared_size_binds(acme: ModelRunner, size: int) -> None:
    begun = acme.initiate(size=len(PNG))

    answer = put(begun["upload_url"], bytes(size), "image/png")

    assert 400 <= answer.status < 500
    assert exchange("GET", begun["file_url"]).status == 404
    assert put(begun["upload_url"], PNG, "image/png").status == 200


@pytest.mark.statement("MR-45")
def test_a_single_part_takes_five_gibibytes_and_not_a_byte_more(acme: ModelRunner) -> None:
    acme.initiate(size=5_368_709_120)

    body = {"file_name": "input.png", "content_type": "image/png", "size": 5_368_709_121}
    assert issues(acme.call("POST", "/storage/upload/initiate", body)) == {"size": "too_big"}


@pytest.mark.statement("MR-48")
def test_a_late_put_fills_the_same_url_and_a_skipped_one_disturbs_nothing(acme: ModelRunner, house: House) -> None:
    skipped, late = acme.initiate(), acme.initiate()
    house.clock.advance(timedelta(minutes=59))
    house.sweep()

    assert exchange("GET", late["file_url"]).status == 404
    assert put(late["upload_url"], PNG, "image/png").status == 200

    assert fetch(late["file_url"]).body == PNG
    assert exchange("GET", skipped["file_url"]).status == 404
    house.clock.advance(timedelta(days=2))
    house.sweep()
    assert fetch(late["file_url"]).body == PNG
    assert fetch(acme.upload()).body == PNG


def test_a_second_put_changes_nothing_that_was_read_already(acme: ModelRunner) -> None:
    begun = acme.initiate()
    put(begun["upload_url"], PNG, "image/png")
    assert fetch(begun["file_url"]).body == PNG

    put(begun["upload_url"], PNG + b"swapped", "image/png")

    assert fetch(begun["file_url"]).body == PNG


def test_the_type_that_the_bytes_show_is_served_for_an_undeclared_one(acme: ModelRunner) -> None:
    url = acme.upload(PNG, "1795224900073.octet", "application/octet-stream")

    assert fetch(url).headers["content-type"] == "image/png"


def test_a_key_without_the_right_to_write_files_is_refused(acme: ModelRunner, house: House) -> None:
    reader = replace(acme, key=house.accounts.create_key("acme", ("runs:read",))[1])
    body = {"file_name": "a.png", "content_type": "image/png"}

    envelope(reader.call("POST", "/storage/upload/initiate", body), 403)


def test_the_lifecycle_header_of_the_sdks_is_understood(acme: ModelRunner) -> None:
    header = json.dumps({"expiration_duration_seconds": 3600}, separators=(",", ":"))

    body = {"file_name": "a.png", "content_type": "image/png"}
    assert acme.call("POST", "/storage/upload/initiate", body, **{LIFECYCLE.lower(): header}).status == 200
