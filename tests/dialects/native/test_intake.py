"""What is found out about files after they were admitted: told as an event, shown as a thumbnail."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from PIL import Image

from tests.support.exchange import exchange, fetch
from tests.support.native import problem

if TYPE_CHECKING:
    from tests.support.native import Native

BROKEN = b"\x89PNG\r\n\x1a\n" + bytes(100)


def test_a_picture_has_a_thumbnail_on_the_other_origin(alice: Native, photo: bytes) -> None:
    asset = alice.settled(alice.upload(photo))

    redirect = exchange("GET", asset["thumbnail_url"])
    shown = fetch(asset["thumbnail_url"])

    assert (redirect.status, redirect.headers["cache-control"]) == (307, "no-store")
    assert (shown.status, shown.headers["content-type"]) == (200, "image/webp")
    assert Image.open(io.BytesIO(shown.body)).size == (120, 80)
    assert exchange("HEAD", asset["thumbnail_url"]).status == 307
    assert fetch(asset["thumbnail_url"], method="HEAD").status == 200


def test_where_nothing_could_be_seen_the_reason_is_told_and_a_placeholder_shown(alice: Native) -> None:
    asset = alice.settled(alice.upload(BROKEN))

    placeholder = exchange("GET", asset["thumbnail_url"])

    assert (asset["intake"], asset["problem"]) == ("done", "the file is damaged or incomplete")
    assert (placeholder.status, placeholder.headers["content-type"]) == (200, "image/svg+xml")
    assert placeholder.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert placeholder.body.startswith(b"<svg ")
    assert fetch(asset["url"]).body == BROKEN


def test_words_have_no_thumbnail_and_no_events(alice: Native) -> None:
    asset = alice.upload(b"just words", "words.txt", "text/plain")

    assert (asset["intake"], asset["facts"], asset["problem"], asset["thumbnail_url"]) == ("done", None, None, None)
    problem(exchange("GET", asset["url"] + "/thumbnail"), 404, "asset_not_found")
    assert alice.get(f"/assets/{asset['id']}/events").status == 204


def test_the_end_of_intake_is_told_once(alice: Native, photo: bytes) -> None:
    asset = alice.upload(photo)

    stream = alice.get(f"/assets/{asset['id']}/events")

    lines = stream.body.decode().splitlines()
    assert [line for line in lines if line.startswith(("id:", "event:"))] == ["id: 1", "event: asset.ready"]
    told = json.loads(next(line for line in lines if line.startswith("data:"))[5:])
    assert told["data"] == {
        "asset_id": asset["id"],
        "sha256": asset["sha256"],
        "facts": {"width": 120, "height": 80},
        "thumbnail": True,
        "problem": None,
    }
    again = alice.get(f"/assets/{asset['id']}/events", headers={"Last-Event-ID": "1"})
    assert (again.status, again.body) == (204, b"")


def test_events_of_anothers_file_are_those_of_an_unknown_one(alice: Native, bob: Native, photo: bytes) -> None:
    asset = alice.upload(photo)

    problem(bob.get(f"/assets/{asset['id']}/events"), 404, "asset_not_found")


def test_a_thumbnail_goes_with_its_file(alice: Native, photo: bytes) -> None:
    asset = alice.settled(alice.upload(photo))

    alice.delete(f"/assets/{asset['id']}").must(204)

    problem(exchange("GET", asset["thumbnail_url"]), 410, "asset_gone")
    problem(exchange("GET", asset["url"][:-4] + "x/thumbnail"), 404, "asset_not_found")
