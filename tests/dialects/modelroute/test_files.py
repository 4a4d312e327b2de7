"""Files: ask for a URL, PUT the bytes, read them back."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.dialects.modelroute.client import DECLARED, MP3, PNG, ModelRoute, envelope, put, stamp, wrong_fields
from tests.support.exchange import exchange

if TYPE_CHECKING:
    from tests.support.house import House

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
LIMIT = 104_857_600
LATER_LIMIT = 157_286_400


@pytest.mark.statement("MO-01")
def test_an_upload_request_answers_id_url_and_expiry(acme: ModelRoute) -> None:
    answer = acme.call("POST", "/v1/files/upload", DECLARED)

    said = answer.must(200)
    assert answer.headers["content-type"] == "application/json"
    assert set(said) == {"file_id", "upload_url", "expires_at"}


@pytest.mark.statement("MO-02")
def test_a_file_id_is_a_lower_case_uuid_of_its_own(acme: ModelRoute) -> None:
    ids = [acme.begin()["file_id"] for _ in range(3)]

    assert all(re.fullmatch(f"file_{UUID}", file_id) for file_id in ids)
    assert len(set(ids)) == 3


@pytest.mark.statement("MO-03")
def test_the_url_expires_when_the_answer_says(acme: ModelRoute, house: House) -> None:
    now = house.clock.now()

    begun = acme.begin()

    query = parse_qs(urlsplit(begun["upload_url"]).query)
    assert begun["expires_at"] == stamp(now + timedelta(hours=1))
    assert (query["X-Amz-Date"], query["X-Amz-Expires"]) == ([f"{now:%Y%m%dT%H%M%SZ}"], ["3600"])


@pytest.mark.statement("MO-04", "MO-21")
def test_a_wrong_declaration_names_its_field(acme: ModelRoute) -> None:
    cases: list[tuple[str, object, str]] = [
        ("filename", None, "INVALID_TYPE"),
        ("filename", "", "OUT_OF_RANGE"),
        ("filename", "  ", "OUT_OF_RANGE"),
        ("filename", "x" * 256, "OUT_OF_RANGE"),
        ("filename", 7, "INVALID_TYPE"),
        ("content_type", "", "OUT_OF_RANGE"),
        ("content_type", "png", "INVALID_VALUE"),
        ("content_type", "image/", "INVALID_VALUE"),
        ("content_type", "text/html", "INVALID_VALUE"),
        ("content_type", "application/octet-stream", "INVALID_VALUE"),
        ("content_type", "image/png\r\nX: y", "INVALID_VALUE"),
        ("content_type", ["image/png"], "INVALID_TYPE"),
        ("size_bytes", None, "INVALID_TYPE"),
        ("size_bytes", 0, "OUT_OF_RANGE"),
        ("size_bytes", -1, "OUT_OF_RANGE"),
        ("size_bytes", "12", "INVALID_TYPE"),
        ("size_bytes", 1.5, "INVALID_TYPE"),
        ("size_bytes", True, "INVALID_TYPE"),
    ]

    for field, value, code in cases:
        answer = acme.call("POST", "/v1/files/upload", {**DECLARED, field: value})
        assert (value, wrong_fields(answer)) == (value, {field: code})


@pytest.mark.statement("MO-04", "MO-21")
def test_every_missing_field_is_named(acme: ModelRoute) -> None:
    answer = acme.call("POST", "/v1/files/upload", {})

    assert wrong_fields(answer) == dict.fromkeys(DECLARED, "REQUIRED")
    assert answer.json()["error"]["details"][0]["message"] == "filename is required"


@pytest.mark.statement("MO-05")
def test_the_largest_size_is_taken_and_one_more_is_not(acme: ModelRoute) -> None:
    acme.begin(size_bytes=LIMIT)

    answer = acme.call("POST", "/v1/files/upload", {**DECLARED, "size_bytes": LIMIT + 1})

    assert wrong_fields(answer) == {"size_bytes": "OUT_OF_RANGE"}


@pytest.mark.statement("MO-06")
def test_the_guides_types_are_taken(acme: ModelRoute) -> None:
    for content_type in ("audio/mp3", "video/mp4", "image/png"):
        begun = acme.begin(filename="recording", content_type=content_type)
        assert put(begun["upload_url"], b"some bytes", content_type).status == 200


@pytest.mark.statement("MO-07")
def test_a_body_that_is_no_json_object_is_refused(acme: ModelRoute) -> None:
    for body in (b"filename=photo.png", b"[1]", b'"photo.png"', b"null", b"", b"{", b"\xff\xfe"):
        assert set(wrong_fields(acme.call("POST", "/v1/files/upload", body))) == {"body"}


@pytest.mark.statement("MO-08")
def test_the_put_needs_the_type_and_no_key(acme: ModelRoute) -> None:
    begun = acme.begin()

    assert put(begun["upload_url"], PNG, "image/png").status == 200


@pytest.mark.statement("MO-09")
def test_a_put_under_another_type_stores_nothing(acme: ModelRoute) -> None:
    begun = acme.begin()

    for content_type in ("image/jpeg", "image/png; a=b", None):
        assert put(begun["upload_url"], PNG, content_type).status == 403

    envelope(acme.call("GET", f"/v1/files/{begun['file_id']}/url"), 404, "FILE_NOT_FOUND")
    envelope(acme.try_execute({"image": begun["file_id"]}), 400, "FILE_NOT_FOUND")


@pytest.mark.statement("MO-10")
def test_a_tampered_url_is_forbidden(acme: ModelRoute) -> None:
    url = acme.begin()["upload_url"]

    assert put(url[:-4] + ("0000" if url[-4:] != "0000" else "1111"), PNG, "image/png").status == 403
    assert put(url.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200"), PNG, "image/png").status == 403


@pytest.mark.statement("MO-10", "MO-34")
def test_the_url_takes_the_file_until_it_expires_and_what_came_in_time_stays(acme: ModelRoute, house: House) -> None:
    late, timely = acme.begin(), acme.begin()
    house.clock.advance(timedelta(minutes=59, seconds=58))
    assert put(timely["upload_url"], PNG, "image/png").status == 200

    house.clock.advance(timedelta(seconds=4))

    assert put(late["upload_url"], PNG, "image/png").status == 403
    envelope(acme.try_execute({"image": late["file_id"]}), 400, "FILE_NOT_FOUND")
    acme.execute({"image": timely["file_id"]})
    house.clock.advance(timedelta(days=400))
    house.sweep()
    acme.execute({"image": timely["file_id"]})


@pytest.mark.statement("MO-34", part="first used long after the URL's end")
def test_a_file_that_came_in_time_may_be_used_first_long_after(acme: ModelRoute, house: House) -> None:
    file_id = acme.upload()
    house.clock.advance(timedelta(hours=5))
    house.sweep()

    acme.execute({"image": file_id})


@pytest.mark.statement("MO-11")
def test_the_real_size_counts_not_the_declared_one(acme: ModelRoute) -> None:
    for declared in (1, len(PNG) - 1, len(PNG) + 1, 2_048_576):
        begun = acme.begin(size_bytes=declared)
        assert put(begun["upload_url"], PNG, "image/png").status == 200
        assert acme.call("GET", f"/v1/files/{begun['file_id']}/url").must(200)["size_bytes"] == len(PNG)


@pytest.mark.statement("MO-31")
def test_more_than_the_limit_never_becomes_a_file(acme: ModelRoute) -> None:
    begun = acme.begin()
    headers = {"Content-Type": "image/png", "Content-Length": str(LIMIT + 1), "Expect": "100-continue"}

    refused = exchange("PUT", begun["upload_url"], b"", headers=headers)

    assert 400 <= refused.status < 500
    envelope(acme.try_execute({"image": begun["file_id"]}), 400, "FILE_NOT_FOUND")


@pytest.mark.statement("MO-30")
def test_a_name_that_contradicts_its_type_is_refused(acme: ModelRoute) -> None:
    for filename, content_type in (
        ("photo.png", "video/mp4"),
        ("photo.PNG", "image/jpeg"),
        ("song.mp3", "image/png"),
        ("notes.txt", "image/png"),
    ):
        declared = {**DECLARED, "filename": filename, "content_type": content_type}
        assert wrong_fields(acme.call("POST", "/v1/files/upload", declared)) == {"content_type": "INVALID_VALUE"}


@pytest.mark.statement("MO-30")
def test_a_name_that_says_nothing_else_passes(acme: ModelRoute) -> None:
    for filename, content_type in (
        ("photo", "video/mp4"),
        ("photo.unheard", "image/png"),
        ("song.mp3", "audio/mp3"),
        ("song.mp3", "audio/mpeg"),
        ("photo.jpg", "image/jpg"),
        ("photo.jpeg", "image/jpeg"),
        ("clip.webm", "audio/webm"),
        ("clip.mp4", "audio/mp4"),
    ):
        acme.begin(filename=filename, content_type=content_type)


@pytest.mark.statement("MO-25")
def test_a_file_is_read_at_its_url_for_an_hour(acme: ModelRoute, house: House) -> None:
    file_id = acme.upload()
    now = house.clock.now()

    said = acme.call("GET", f"/v1/files/{file_id}/url").must(200)

    assert set(said) == {"url", "expires_at", "content_type", "size_bytes"}
    assert (said["content_type"], said["size_bytes"]) == ("image/png", len(PNG))
    assert said["expires_at"] == stamp(now + timedelta(hours=1))
    assert exchange("GET", said["url"]).body == PNG
    house.clock.advance(timedelta(hours=1, seconds=1))
    assert exchange("GET", said["url"]).status == 403


@pytest.mark.statement("MO-25")
def test_a_download_leads_to_the_bytes(acme: ModelRoute) -> None:
    file_id = acme.upload()

    answer = acme.call("GET", f"/v1/files/{file_id}/download")

    assert (answer.status, answer.headers["cache-control"]) == (307, "no-store")
    served = exchange("GET", answer.headers["location"])
    assert (served.status, served.headers["content-type"], served.body) == (200, "image/png", PNG)
    assert answer.json()["url"] == answer.headers["location"]


@pytest.mark.parametrize("what", ["url", "download"])
def test_an_unknown_file_is_not_found(acme: ModelRoute, what: str) -> None:
    for file_id in ("file_0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11", "file_x", "nothing", "%00"):
        envelope(acme.call("GET", f"/v1/files/{file_id}/{what}"), 404, "FILE_NOT_FOUND")


@pytest.mark.parametrize("what", ["url", "download"])
def test_a_file_without_bytes_and_anothers_look_like_an_unknown_one(
    acme: ModelRoute, rival: ModelRoute, what: str
) -> None:
    unknown = acme.call("GET", f"/v1/files/file_0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11/{what}").json()["error"]
    for file_id in (acme.begin()["file_id"], rival.upload()):
        said = envelope(acme.call("GET", f"/v1/files/{file_id}/{what}"), 404, "FILE_NOT_FOUND")
        assert said | {"request_id": ""} == unknown | {"request_id": ""}


def test_bytes_sent_after_first_use_change_nothing(acme: ModelRoute) -> None:
    begun = acme.begin()
    put(begun["upload_url"], PNG, "image/png")
    acme.execute({"image": begun["file_id"]})

    put(begun["upload_url"], PNG + b"more", "image/png")

    assert acme.call("GET", f"/v1/files/{begun['file_id']}/url").must(200)["size_bytes"] == len(PNG)


def test_a_second_put_before_the_first_use_replaces_the_bytes(acme: ModelRoute) -> None:
    begun = acme.begin()
    put(begun["upload_url"], b"first", "image/png")

    put(begun["upload_url"], PNG, "image/png")

    assert acme.call("GET", f"/v1/files/{begun['file_id']}/url").must(200)["size_bytes"] == len(PNG)


@pytest.mark.statement("MO-22")
def test_without_a_known_key_there_is_nothing(acme: ModelRoute) -> None:
    for method, path in (
        ("POST", "/v1/files/upload"),
        ("GET", "/v1/files/file_x/url"),
        ("GET", "/v1/files/file_x/download"),
        ("POST", "/v1/executions"),
        ("GET", "/v1/executions/exec_x"),
        ("GET", "/v1/executions/exec_x/result"),
        ("POST", "/v1/executions/exec_x/cancel"),
    ):
        for authorization in ("", "Bearer", "Bearer sk_unknown", f"Key {acme.key}", acme.key, f"Basic {acme.key}"):
            answer = acme.call(method, path, b"not json", Authorization=authorization)
            envelope(answer, 401, "UNAUTHORIZED")
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_without_the_right_is_forbidden(acme: ModelRoute, house: House) -> None:
    reader = ModelRoute(base=acme.base, key=house.create_key("reader", scopes=("runs:read",)))

    envelope(reader.call("POST", "/v1/files/upload", DECLARED), 403, "FORBIDDEN")
    envelope(reader.try_execute({}), 403, "FORBIDDEN")


def test_unknown_routes_and_methods_have_the_envelope(acme: ModelRoute) -> None:
    envelope(acme.call("GET", "/v1/nothing"), 404, "NOT_FOUND")
    envelope(acme.call("GET", "/v1/files"), 404, "NOT_FOUND")
    answer = acme.call("DELETE", "/v1/files/upload")
    envelope(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "POST"


# --- the later form: a purpose and no name, type or size


def test_a_file_without_a_name_is_what_its_bytes_say(acme: ModelRoute) -> None:
    begun = acme.call("POST", "/v1/files/upload", {"purpose": "INPUT", "region": "EU"}).must(200)
    assert set(begun) == {"file_id", "upload_url", "expires_at"}
    assert put(begun["upload_url"], PNG, "whatever/type").status == 200

    said = acme.call("POST", "/v1/files/confirm", {"file_id": begun["file_id"]}).must(200)

    assert said == {
        "file_id": begun["file_id"],
        "content_type": "image/png",
        "size_bytes": len(PNG),
        "status": "available",
    }
    assert acme.call("POST", "/v1/files/confirm", {"file_id": begun["file_id"]}).must(200) == said
    acme.execute({"image": begun["file_id"]})


def test_a_file_of_the_later_form_needs_no_type_and_no_confirmation(acme: ModelRoute) -> None:
    begun = acme.call("POST", "/v1/files/upload", {"purpose": "UPLOAD"}).must(200)
    assert put(begun["upload_url"], MP3, None).status == 200

    envelope(acme.try_execute({"image": begun["file_id"]}), 400, "FILE_FORMAT_UNSUPPORTED")
    assert acme.call("GET", f"/v1/files/{begun['file_id']}/url").must(200)["content_type"] == "audio/mpeg"


def test_a_file_of_the_later_form_may_have_an_end(acme: ModelRoute, house: House) -> None:
    begun = acme.call("POST", "/v1/files/upload", {"purpose": "INPUT", "ttl_days": 2}).must(200)
    put(begun["upload_url"], PNG, None)
    acme.call("POST", "/v1/files/confirm", {"file_id": begun["file_id"]}).must(200)

    house.clock.advance(timedelta(days=1, hours=23))
    acme.call("GET", f"/v1/files/{begun['file_id']}/url").must(200)
    house.clock.advance(timedelta(hours=2))

    envelope(acme.call("GET", f"/v1/files/{begun['file_id']}/url"), 404, "FILE_NOT_FOUND")
    envelope(acme.call("POST", "/v1/files/confirm", {"file_id": begun["file_id"]}), 404, "FILE_NOT_FOUND")
    envelope(acme.try_execute({"image": begun["file_id"]}), 400, "FILE_NOT_FOUND")


def test_a_file_of_the_later_form_may_be_half_as_large_again_and_no_larger(acme: ModelRoute) -> None:
    begun = acme.call("POST", "/v1/files/upload", {"purpose": "INPUT"}).must(200)
    too_long = {"Content-Length": str(LATER_LIMIT + 1), "Expect": "100-continue"}

    assert parse_qs(urlsplit(begun["upload_url"]).query)["x-penstock-max-length"] == [str(LATER_LIMIT)]
    assert 400 <= exchange("PUT", begun["upload_url"], b"", headers=too_long).status < 500
    envelope(acme.call("POST", "/v1/files/confirm", {"file_id": begun["file_id"]}), 404, "FILE_NOT_FOUND")


def test_the_guides_form_counts_wherever_one_of_its_fields_is(acme: ModelRoute) -> None:
    cases: list[tuple[dict[str, object], dict[str, str]]] = [
        ({"purpose": "INPUT", "filename": "a.png"}, {"content_type": "REQUIRED", "size_bytes": "REQUIRED"}),
        ({"purpose": "OUTPUT"}, {"purpose": "INVALID_VALUE"}),
        ({"purpose": None}, {"purpose": "INVALID_VALUE"}),
        ({"purpose": "INPUT", "region": "MOON"}, {"region": "INVALID_VALUE"}),
        ({"purpose": "INPUT", "ttl_days": 0}, {"ttl_days": "OUT_OF_RANGE"}),
        ({"purpose": "INPUT", "ttl_days": 366}, {"ttl_days": "OUT_OF_RANGE"}),
        ({"purpose": "INPUT", "ttl_days": "7"}, {"ttl_days": "INVALID_TYPE"}),
    ]

    told = [wrong_fields(acme.call("POST", "/v1/files/upload", body)) for body, _ in cases]

    assert told == [wrong for _, wrong in cases]


def test_nothing_is_confirmed_that_is_not_there(acme: ModelRoute, rival: ModelRoute) -> None:
    for file_id in (acme.begin()["file_id"], rival.upload(), "file_0b8f3a52-88a4-4d0c-9b0e-2f1f3c0d9a11", "nothing"):
        envelope(acme.call("POST", "/v1/files/confirm", {"file_id": file_id}), 404, "FILE_NOT_FOUND")
    assert wrong_fields(acme.call("POST", "/v1/files/confirm", {})) == {"file_id": "REQUIRED"}
    assert wrong_fields(acme.call("POST", "/v1/files/confirm", {"file_id": 7})) == {"file_id": "INVALID_TYPE"}


def test_every_answer_tells_its_request(acme: ModelRoute) -> None:
    ids = [acme.call("GET", path).headers["x-request-id"] for path in ("/v1/files/file_x/url", "/v1/executions/x")]
    ids.append(acme.call("POST", "/v1/files/upload", DECLARED).headers["x-request-id"])

    assert len(set(ids)) == 3
    assert all(re.fullmatch("req_[0-9a-f]{32}", request_id) for request_id in ids)
