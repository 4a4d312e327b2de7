"""Assets over the wire: look, list, read by the public URL, delete, expire."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.exchange import exchange, fetch
from tests.support.native import Native, problem, put

if TYPE_CHECKING:
    from tests.support.house import House
    from tests.support.server import Server

FIELDS = {
    "id",
    "object",
    "filename",
    "content_type",
    "found_type",
    "kind",
    "size_bytes",
    "sha256",
    "url",
    "intake",
    "facts",
    "problem",
    "thumbnail_url",
    "created_at",
    "expires_at",
    "upload_id",
    "run_id",
    "folder_id",
    "tags",
    "updated_at",
    "deleted_at",
    "purge_at",
}


def test_an_asset_says_what_is_known_of_it(alice: Native, server: Server, photo: bytes) -> None:
    asset = alice.settled(alice.upload(photo))

    assert set(asset) == FIELDS
    assert alice.get(f"/assets/{asset['id']}").must(200) == asset
    assert re.fullmatch(r"asset_[0-9a-f]{32}", asset["id"])
    assert re.fullmatch(re.escape(server.url) + r"/v1/media/[0-9a-f]{32}-picture\.png", asset["url"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", asset["created_at"])
    assert asset["thumbnail_url"] == asset["url"] + "/thumbnail"
    seen = {name: fact for name, fact in asset["facts"].items() if fact is not None}
    assert seen == {"width": 120, "height": 80}
    told = FIELDS - {"id", "url", "created_at", "upload_id", "facts", "thumbnail_url"}
    assert {name: asset[name] for name in told} == {
        "object": "asset",
        "filename": "picture.png",
        "content_type": "image/png",
        "found_type": "image/png",
        "kind": "image",
        "size_bytes": len(photo),
        "sha256": hashlib.sha256(photo).hexdigest(),
        "intake": "done",
        "problem": None,
        "expires_at": None,
        "run_id": None,
        "folder_id": None,
        "tags": [],
        "updated_at": None,
        "deleted_at": None,
        "purge_at": None,
    }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_public_url_leads_to_the_bytes_on_the_other_origin(
    alice: Native, server: Server, photo: bytes, method: str
) -> None:
    asset = alice.upload(photo)

    redirect = exchange(method, asset["url"])
    answer = exchange(method, redirect.headers["location"])

    assert redirect.status == 307
    assert redirect.headers["cache-control"] == "no-store"
    assert redirect.headers["location"].startswith(f"{server.objects_url}/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(photo))
    assert answer.body == (photo if method == "GET" else b"")


def test_a_range_of_the_bytes_can_be_read(alice: Native, photo: bytes) -> None:
    location = exchange("GET", alice.upload(photo)["url"]).headers["location"]

    answer = exchange("GET", location, headers={"Range": "bytes=5-9"})

    assert (answer.status, answer.body) == (206, photo[5:10])


def test_the_public_url_is_dead_before_the_bytes_and_alive_with_them(alice: Native, photo: bytes) -> None:
    url = alice.upload(photo)["url"]
    other = url.replace(url.rpartition("/")[2][:32], "0" * 32)

    problem(exchange("GET", other), 404, "asset_not_found")
    assert fetch(url).body == photo


def test_assets_are_listed_newest_first_page_by_page(alice: Native, photo: bytes) -> None:
    made = [alice.settled(alice.upload(photo, f"{number}.png")) for number in range(3)]

    assert list(alice.all("/assets", limit=1)) == made[::-1]


def test_a_deleted_asset_is_gone_for_every_way_of_asking(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo)

    answer = alice.delete(f"/assets/{asset['id']}")

    assert (answer.status, answer.body) == (204, b"")
    again = alice.delete(f"/assets/{asset['id']}")
    assert (again.status, again.body) == (204, b"")
    for gone in (alice.get(f"/assets/{asset['id']}"), exchange("GET", asset["url"])):
        told = problem(gone, 410, "asset_gone")["tombstone"]
        assert (told["filename"], told["sha256"], told["reason"]) == ("picture.png", asset["sha256"], "deleted")
        assert gone.headers["cache-control"] == "no-store"
    for gone in (
        alice.post(f"/uploads/{asset['upload_id']}/complete"),
        alice.post("/runs", {"model": "builtin/remove-background", "input": {"image": asset["id"]}}),
        alice.post("/runs", {"model": "builtin/remove-background", "input": {"image": asset["url"]}}),
        alice.post("/runs", {"model": "builtin/remove-background", "input": {"image": asset["upload_id"]}}),
    ):
        problem(gone, 404, "asset_not_found")
    assert list(alice.all("/assets")) == []
    assert alice.get(f"/uploads/{asset['upload_id']}").must(200)["state"] == "ready"


def test_an_asset_says_when_it_ends(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo, expires_in=60)

    life = datetime.fromisoformat(asset["expires_at"]) - datetime.fromisoformat(asset["created_at"])

    assert timedelta(seconds=59) < life < timedelta(seconds=62)


def test_an_asset_lives_until_its_end_and_not_longer(house: House, photo: bytes) -> None:
    owner = Native(url=house.url, key=house.create_key())
    asset = owner.upload(photo, expires_in=60)

    house.clock.advance(timedelta(seconds=59))
    assert fetch(asset["url"]).body == photo
    owner.get(f"/assets/{asset['id']}").must(200)

    house.clock.advance(timedelta(seconds=2))
    for gone in (exchange("GET", asset["url"]), owner.get(f"/assets/{asset['id']}")):
        assert problem(gone, 410, "asset_gone")["tombstone"] == {
            "filename": "picture.png",
            "sha256": hashlib.sha256(photo).hexdigest(),
            "reason": "expired",
            "gone_at": asset["expires_at"],
        }
    assert list(owner.all("/assets")) == []


def test_a_redirect_does_not_outlive_the_asset(house: House, photo: bytes) -> None:
    owner = Native(url=house.url, key=house.create_key())
    location = exchange("GET", owner.upload(photo, expires_in=60)["url"]).headers["location"]

    house.clock.advance(timedelta(seconds=62))

    assert exchange("GET", location).status == 403


def test_an_upload_whose_url_has_ended_takes_no_bytes(house: House, photo: bytes) -> None:
    owner = Native(url=house.url, key=house.create_key())
    upload = owner.begin(photo)

    house.clock.advance(timedelta(hours=1, seconds=1))

    assert put(upload, photo).status == 403
    problem(owner.post(f"/uploads/{upload['id']}/complete"), 404, "file_not_stored")


def test_inline_data_of_any_type_gets_a_url_that_works(house: House) -> None:
    owner = Native(url=house.url, key=house.create_key())
    house.models["acme/model"] = lambda _inputs, _context: {}

    owner.start("acme/model", {"image": "data:text/x!odd+type,hello"})

    (asset,) = owner.all("/assets")
    assert fetch(asset["url"]).body == b"hello"
    assert asset["sha256"] == hashlib.sha256(b"hello").hexdigest()
