"""Uploads: create, PUT, confirm."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from penstock.dialects.runflow import POLICY
from tests.dialects.runflow.client import PNG, UNKNOWN, Runflow, envelope, put, wrong_fields
from tests.dialects.runflow.conftest import CATALOG
from tests.support.exchange import fetch
from tests.support.house import open_house

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.house import House

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOST = 52_428_800
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(1000)


@pytest.mark.statement("RF-01")
def test_an_upload_is_created_with_an_id_and_a_url(acme: Runflow) -> None:
    said = acme.begin()

    assert set(said) == {"asset_id", "upload_url"}
    assert UUID.fullmatch(said["asset_id"])
    assert said["upload_url"].startswith("http")


@pytest.mark.statement("RF-02")
def test_a_size_from_one_byte_to_fifty_mebibytes_is_taken_and_nothing_else(acme: Runflow) -> None:
    acme.begin(size=1)
    acme.begin(size=MOST)

    for wrong in (MOST + 1, 0, -1, "2400000", 1.5, True, None):
        answer = acme.try_begin(filename="a.png", mime_type="image/png", size_bytes=wrong)
        assert wrong_fields(answer) == [["body", "size_bytes"]], wrong
    assert wrong_fields(acme.try_begin(filename="a.png", mime_type="image/png")) == [["body", "size_bytes"]]


@pytest.mark.statement("RF-03")
def test_the_types_that_are_listed_are_taken_and_no_others(acme: Runflow) -> None:
    listed = [name for kind in acme.call("GET", "/v1/assets/types").must(200) for name in kind["mime_types"]]

    for name in listed:
        acme.begin(mime_type=name)
    for wrong in ("application/octet-stream", "application/zip", "text/html", "image/", "image", "image/x-own", "", 7):
        answer = acme.try_begin(filename="a.png", mime_type=wrong, size_bytes=7)
        assert wrong_fields(answer) == [["body", "mime_type"]], wrong
    assert wrong_fields(acme.try_begin(filename="a.png", size_bytes=7)) == [["body", "mime_type"]]


@pytest.mark.statement("RF-37", part="types")
def test_the_listed_types_name_pictures_and_films(acme: Runflow) -> None:
    listed = {kind["name"]: kind["mime_types"] for kind in acme.call("GET", "/v1/assets/types").must(200)}

    assert "image/webp" in listed["image"]
    assert "video/mp4" in listed["video"]


@pytest.mark.statement("RF-04")
def test_a_name_has_one_to_five_hundred_characters(acme: Runflow) -> None:
    acme.begin(name="ü" * 496 + ".png")

    for wrong in ("a" * 501, "", None, 7):
        answer = acme.try_begin(filename=wrong, mime_type="image/png", size_bytes=7)
        assert wrong_fields(answer) == [["body", "filename"]], wrong
    assert wrong_fields(acme.try_begin(mime_type="image/png", size_bytes=7)) == [["body", "filename"]]


def test_every_wrong_field_is_named_at_once(acme: Runflow) -> None:
    named = wrong_fields(acme.try_begin())

    assert named == [["body", "filename"], ["body", "mime_type"], ["body", "size_bytes"]]


@pytest.mark.statement("RF-05")
@pytest.mark.statement("RF-06", part="type and signature")
def test_the_bytes_are_taken_under_the_declared_type_and_the_url_as_returned_alone(acme: Runflow) -> None:
    url = acme.begin()["upload_url"]

    assert put(url, PNG, "image/jpeg").status == 403
    assert put(url, PNG, None).status == 403
    assert put(url[:-1] + ("0" if url[-1] != "0" else "1"), PNG, "image/png").status == 403
    assert put(url.replace("staging/", "staging/x"), PNG, "image/png").status == 403
    assert put(url, PNG, "image/png").status == 200


@pytest.mark.statement("RF-06")
@pytest.mark.statement("RF-35")
def test_an_expired_url_is_refused_and_the_same_request_gives_another_that_works(acme: Runflow, house: House) -> None:
    late = acme.begin()
    house.clock.advance(POLICY.url_ttl + timedelta(seconds=2))
    assert put(late["upload_url"], PNG, "image/png").status == 403

    again = acme.begin()

    assert again["asset_id"] != late["asset_id"]
    assert again["upload_url"] != late["upload_url"]
    assert put(again["upload_url"], PNG, "image/png").status == 200
    assert acme.try_confirm(again["asset_id"]).status == 201


@pytest.mark.statement("RF-07")
def test_a_confirmation_needs_no_body(acme: Runflow) -> None:
    for body in (None, {}, {"folder_id": None}, {"more": 1}):
        upload_id = acme.send()
        assert acme.try_confirm(upload_id, body).must(201)["id"] == upload_id, body


@pytest.mark.statement("RF-08")
def test_an_asset_has_the_fields_of_the_guide(acme: Runflow, house: House) -> None:
    asset = acme.upload(PNG, "perfume-bottle.png")

    assert asset["name"] == "perfume-bottle.png"
    assert asset["mime_type"] == "image/png"
    assert asset["size_bytes"] == len(PNG)
    assert asset["folder_id"] is None
    assert UUID.fullmatch(asset["id"])
    assert asset["url"].startswith("http")
    assert asset["thumbnail_url"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", asset["created_at"])
    assert (asset["source_type"], asset["source_id"]) == ("upload", None)
    assert (asset["deleted_at"], asset["deleted_by"], asset["created_by"]) == (None, None, None)
    assert UUID.fullmatch(asset["org_id"])
    house.work()
    assert acme.asset(asset["id"])["thumbnail_url"].startswith("http")


@pytest.mark.statement("RF-09")
def test_the_sort_of_an_asset_follows_its_type(acme: Runflow) -> None:
    assert acme.upload()["asset_type"] == "image"
    assert acme.upload(MP4, "a.mp4", "video/mp4")["asset_type"] == "video"


@pytest.mark.statement("RF-10")
def test_a_confirmation_before_the_bytes_is_refused_and_may_be_repeated_after_them(acme: Runflow) -> None:
    begun = acme.begin()

    envelope(acme.try_confirm(begun["asset_id"], {}), 409, "UPLOAD_NOT_COMPLETE")

    envelope(acme.call("GET", f"/v1/assets/{begun['asset_id']}"), 404, "ASSET_NOT_FOUND")
    put(begun["upload_url"], PNG, "image/png")
    assert acme.try_confirm(begun["asset_id"], {}).status == 201


@pytest.mark.statement("RF-11")
def test_confirming_twice_gives_the_same_asset(acme: Runflow) -> None:
    upload_id = acme.send()

    first, second = (acme.try_confirm(upload_id, {}).must(201) for _ in range(2))

    assert {**first, "url": ""} == {**second, "url": ""}


@pytest.mark.statement("RF-13")
def test_a_strangers_upload_looks_like_an_unknown_one(acme: Runflow, rival: Runflow) -> None:
    upload_id = acme.send()

    said = [envelope(rival.try_confirm(name, {}), 404, "ASSET_UPLOAD_NOT_FOUND") for name in (upload_id, UNKNOWN)]

    assert said[0]["message"].replace(upload_id, "") == said[1]["message"].replace(UNKNOWN, "")
    for broken in ("x", UNKNOWN.upper(), UNKNOWN + "0", "01J0"):
        envelope(acme.try_confirm(broken, {}), 404, "ASSET_UPLOAD_NOT_FOUND")
    assert acme.try_confirm(upload_id, {}).status == 201


@pytest.mark.statement("RF-14")
def test_bytes_of_another_length_are_refused_at_the_put(acme: Runflow) -> None:
    begun = acme.begin()

    assert put(begun["upload_url"], PNG + b"more", "image/png").status == 403
    assert put(begun["upload_url"], PNG[:-1], "image/png").status == 403

    envelope(acme.try_confirm(begun["asset_id"], {}), 409, "UPLOAD_NOT_COMPLETE")


@pytest.mark.statement("RF-16")
def test_an_assets_url_serves_its_bytes_without_a_key_until_it_ends(acme: Runflow, house: House) -> None:
    url = acme.upload()["url"]

    served = fetch(url)
    assert (served.status, served.headers["content-type"], served.body) == (200, "image/png", PNG)
    house.clock.advance(timedelta(minutes=59))
    assert fetch(url).status == 200
    house.clock.advance(timedelta(minutes=2))
    assert fetch(url).status == 403


def test_bodies_that_are_no_json_or_of_the_wrong_shape_are_refused(acme: Runflow) -> None:
    for body in (b"{", b"\xff", b'{"filename": "a", "filename": "a"}', b'{"size_bytes": NaN}'):
        envelope(acme.call("POST", "/v1/asset-uploads", body), 400, "BAD_REQUEST")
    for body in (b"", b"[]", b'"a"', b"7", b"null"):
        envelope(acme.call("POST", "/v1/asset-uploads", body), 422, "VALIDATION_ERROR")
    envelope(acme.try_confirm(acme.send(), {"folder_id": 7}), 422, "VALIDATION_ERROR")


@pytest.mark.statement("RF-31")
def test_with_a_public_https_address_every_url_begins_with_it(tmp_path: Path, sqlite_url: str) -> None:
    public = "https://files.example.com"
    with open_house(tmp_path / "house", sqlite_url, CATALOG, store_public_url=public) as house:
        acme = Runflow(base=f"{house.url}/runflow", key=house.create_key())
        acme.run(
            {"image": f"data:image/png;base64,{b64encode(PNG).decode()}"}
        )  # makes an asset without leaving the house

        begun = acme.begin()
        [asset] = acme.call("GET", "/v1/assets").must(200)["items"]

    assert begun["upload_url"].startswith(f"{public}/")
    assert asset["url"].startswith(f"{public}/")


@pytest.mark.statement("RF-36")
def test_bytes_that_came_in_time_wait_a_day_for_their_confirmation_and_show_nowhere(
    acme: Runflow, house: House
) -> None:
    late, later = acme.send(name="late.png"), acme.send(name="later.png")
    house.clock.advance(timedelta(hours=23, minutes=50))
    house.sweep()
    assert acme.call("GET", "/v1/assets").must(200)["items"] == []

    assert acme.try_confirm(late).must(201)["id"] == late

    house.clock.advance(timedelta(hours=2))
    house.sweep()
    assert [item["name"] for item in acme.call("GET", "/v1/assets").must(200)["items"]] == ["late.png"]
    refused = envelope(acme.try_confirm(later), 409, "CONFLICT")
    assert refused["message"].endswith("it was not confirmed in time")
