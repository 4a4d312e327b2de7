"""Uploads over the wire: declare, send, complete, look, list, give up."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.exchange import fetch
from tests.support.native import problem, put

if TYPE_CHECKING:
    from tests.support.native import Native
    from tests.support.server import Server

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UPLOAD_ID = re.compile(r"upload_[0-9a-f]{32}")
FIELDS = {
    "id",
    "object",
    "state",
    "method",
    "upload_url",
    "headers",
    "form",
    "part_size",
    "part_count",
    "filename",
    "content_type",
    "size_bytes",
    "created_at",
    "expires_at",
    "source_url",
    "asset_id",
    "failure",
}


def _time(text: str) -> datetime:
    assert TIME.fullmatch(text), text
    return datetime.fromisoformat(text)


def test_a_new_upload_says_everything_that_the_put_needs(alice: Native, server: Server, photo: bytes) -> None:
    upload = alice.begin(photo)

    assert set(upload) == FIELDS
    assert UPLOAD_ID.fullmatch(upload["id"])
    assert upload["upload_url"].startswith(f"{server.objects_url}/")
    assert upload["headers"] == {"Content-Type": "image/png", "Content-Length": str(len(photo))}
    assert {name: upload[name] for name in FIELDS - {"id", "upload_url", "headers", "created_at", "expires_at"}} == {
        "object": "upload",
        "state": "pending",
        "method": "put",
        "filename": "picture.png",
        "content_type": "image/png",
        "size_bytes": len(photo),
        "source_url": None,
        "asset_id": None,
        "failure": None,
        "form": None,
        "part_size": None,
        "part_count": None,
    }
    life = _time(upload["expires_at"]) - _time(upload["created_at"])
    assert timedelta(minutes=59) < life <= timedelta(hours=1)
    assert abs(datetime.now(UTC) - _time(upload["created_at"])) < timedelta(minutes=5)


def test_an_upload_need_not_declare_its_size(alice: Native, photo: bytes) -> None:
    upload = alice.post("/uploads", {"filename": "a.png", "content_type": "image/png", "method": "put"}).must(201)
    assert upload["size_bytes"] is None
    assert upload["headers"] == {"Content-Type": "image/png"}

    put(upload, photo).must(200)

    assert alice.post(f"/uploads/{upload['id']}/complete").must(200)["size_bytes"] == len(photo)


def test_an_empty_file_can_be_uploaded(alice: Native) -> None:
    asset = alice.upload(b"", "nothing.txt", "text/plain")

    assert (asset["size_bytes"], asset["sha256"]) == (0, hashlib.sha256(b"").hexdigest())


def test_completing_gives_the_asset(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    put(upload, photo).must(200)

    asset = alice.post(f"/uploads/{upload['id']}/complete").must(200)

    assert asset["sha256"] == hashlib.sha256(photo).hexdigest()
    shown = alice.get(f"/uploads/{upload['id']}").must(200)
    assert (shown["state"], shown["asset_id"]) == ("ready", asset["id"])
    assert (shown["upload_url"], shown["headers"]) == (None, None)


@pytest.mark.parametrize("body", [None, "{}"])
def test_completing_again_gives_the_same_asset(alice: Native, photo: bytes, body: str | None) -> None:
    asset = alice.settled(alice.upload(photo))

    assert alice.post(f"/uploads/{asset['upload_id']}/complete", body).must(200) == asset


def test_a_pending_upload_shows_the_same_url_again(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)

    assert alice.get(f"/uploads/{upload['id']}").must(200) == upload


def test_uploads_are_listed_newest_first_page_by_page(alice: Native, photo: bytes) -> None:
    made = [alice.begin(photo, f"{number}.png")["id"] for number in range(5)]

    first = alice.get("/uploads?limit=2").must(200)
    listed = list(alice.all("/uploads", limit=2))

    assert set(first) == {"data", "next_cursor"}
    assert [one["id"] for one in listed] == made[::-1]
    assert {one["upload_url"] for one in listed} == {None}


def test_a_page_is_not_shifted_by_what_is_new(alice: Native, photo: bytes) -> None:
    made = [alice.begin(photo)["id"] for _ in range(4)]
    first = alice.get("/uploads?limit=2").must(200)
    alice.begin(photo)

    second = alice.get(f"/uploads?limit=2&cursor={first['next_cursor']}").must(200)

    assert [one["id"] for one in second["data"]] == made[1::-1]
    assert second["next_cursor"] is None


def test_a_listing_shows_twenty_unless_told_otherwise(alice: Native, photo: bytes) -> None:
    for _ in range(21):
        alice.begin(photo)

    page = alice.get("/uploads").must(200)

    assert len(page["data"]) == 20
    assert page["next_cursor"]


def test_an_empty_listing_is_an_empty_page(alice: Native) -> None:
    assert alice.get("/uploads").must(200) == {"data": [], "next_cursor": None}


def test_an_upload_that_was_given_up_takes_no_more_part(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo)
    put(upload, photo).must(200)

    given_up = alice.delete(f"/uploads/{upload['id']}").must(200)

    assert (given_up["state"], given_up["upload_url"]) == ("aborted", None)
    assert alice.delete(f"/uploads/{upload['id']}").must(200) == given_up
    said = problem(alice.post(f"/uploads/{upload['id']}/complete"), 409, "upload_not_completable")
    assert upload["id"] in said["detail"]
    assert list(alice.all("/assets")) == []


def test_an_upload_that_is_complete_cannot_be_given_up(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo)

    said = problem(alice.delete(f"/uploads/{asset['upload_id']}"), 409, "illegal_transition")

    assert asset["upload_id"] in said["detail"]
    alice.get(f"/assets/{asset['id']}").must(200)


@pytest.mark.parametrize("content_type", ["application/octet-stream", "binary/octet-stream"])
def test_the_bytes_decide_a_type_that_was_left_open(alice: Native, photo: bytes, content_type: str) -> None:
    upload: dict[str, Any] = alice.begin(photo, "a.bin", content_type)
    put(upload, photo).must(200)

    asset = alice.post(f"/uploads/{upload['id']}/complete").must(200)

    assert (asset["content_type"], asset["kind"]) == ("image/png", "image")
    assert alice.get(f"/uploads/{upload['id']}").must(200)["content_type"] == content_type


def test_bytes_that_the_account_holds_are_ready_at_once_and_not_sent(alice: Native, photo: bytes) -> None:
    held = alice.upload(photo)

    upload = alice.begin(photo, "again.png", sha256=hashlib.sha256(photo).hexdigest().upper())

    assert (upload["state"], upload["upload_url"], upload["headers"]) == ("ready", None, None)
    asset = alice.get(f"/assets/{upload['asset_id']}").must(200)
    assert (asset["filename"], asset["sha256"]) == ("again.png", held["sha256"])
    assert asset["id"] != held["id"]
    assert fetch(asset["url"]).body == photo
    told = alice.get(f"/uploads/{upload['id']}/events").body.decode()
    assert re.findall("event: (.*)", told) == ["upload.stored", "upload.ready"]


def test_bytes_of_another_account_get_the_usual_answer(alice: Native, bob: Native, photo: bytes) -> None:  # S23
    bob.upload(photo)

    held = alice.begin(photo, sha256=hashlib.sha256(photo).hexdigest())
    unheard_of = alice.begin(photo, sha256="0" * 64)

    differing = {name for name in FIELDS if held[name] != unheard_of[name]}
    assert differing <= {"id", "upload_url", "headers", "created_at", "expires_at"}
    assert held["headers"].keys() == unheard_of["headers"].keys()


def test_the_store_refuses_other_bytes_than_were_declared(alice: Native, photo: bytes) -> None:
    upload = alice.begin(photo, sha256="0" * 64)

    assert put(upload, photo).status == 400

    assert alice.get(f"/uploads/{upload['id']}").must(200)["state"] == "pending"


@pytest.mark.parametrize("sha256", ["", "0" * 63, "g" * 64, 5])
def test_what_is_no_sha256_is_refused(alice: Native, photo: bytes, sha256: object) -> None:
    declared = {"filename": "a.png", "content_type": "image/png", "size_bytes": len(photo), "sha256": sha256}

    problem(alice.post("/uploads", declared), 422, "invalid_field")
