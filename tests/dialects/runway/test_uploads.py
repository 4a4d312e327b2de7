"""Slots, forms, and what a `runway://` URI stands for."""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import timedelta
from http.client import HTTPConnection
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from penstock.dialects.runway import POLICY
from tests.dialects.runway.client import FILM, PICTURE, Runway, issue_paths, send
from tests.support.forms import END, HEADERS, form_head, post_form
from tests.support.house import open_house
from tests.support.native import Native

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.house import House

DAY = timedelta(hours=24)
SECOND = timedelta(seconds=1)
MOST = 209_715_200


@pytest.mark.statement("RW-05", "RW-09")
def test_slots_have_three_members_and_are_never_the_same(acme: Runway) -> None:
    one, two = acme.slot(), acme.slot()

    assert set(one) == {"uploadUrl", "fields", "runwayUri"}
    assert all(isinstance(value, str) for value in one["fields"].values())
    assert one["runwayUri"].startswith("runway://")
    assert 13 <= len(one["runwayUri"]) <= 5000
    assert one["runwayUri"] != two["runwayUri"]
    assert one["fields"] != two["fields"]


@pytest.mark.statement("RW-06", "RW-07")
def test_a_filename_of_wrong_length_or_extension_is_refused(acme: Runway) -> None:
    names = ["", "a", ".p", "a" * 252 + ".png", "image", "image.", "image.gif", "image.exe", "image.png.txt"]

    answers = [acme.call("POST", "/v1/uploads", {"filename": name, "type": "ephemeral"}) for name in names]

    assert [issue_paths(answer) for answer in answers] == [[["filename"]]] * len(names)


@pytest.mark.statement("RW-06", "RW-07")
def test_a_filename_of_a_medium_is_taken_in_any_case(acme: Runway) -> None:
    types = {
        "a" * 251 + ".png": "image/png",
        "A.JPG": "image/jpeg",
        "b.jpE": "image/jpeg",
        "c.WebP": "image/webp",
        "d.Mp4": "video/mp4",
        "e.mov": "video/quicktime",
        "f.webm": "video/webm",
        "g.MP3": "audio/mpeg",
        "h.wav": "audio/wav",
        "i.opus": "audio/ogg",
    }

    assert {name: acme.slot(name)["fields"]["Content-Type"] for name in types} == types


@pytest.mark.statement("RW-08")
def test_a_type_other_than_ephemeral_and_no_json_are_refused(acme: Runway) -> None:
    for body in ({"filename": "a.png"}, {"filename": "a.png", "type": "lasting"}, {"filename": "a.png", "type": 1}):
        assert issue_paths(acme.call("POST", "/v1/uploads", body)) == [["type"]]
    for content in (b"{", b"\xff", b'{"filename": "a.png", "filename": "b.png"}'):
        assert set(acme.call("POST", "/v1/uploads", content).must(400)) == {"error"}


def test_members_of_a_slot_that_nobody_knows_are_ignored(acme: Runway) -> None:
    acme.call("POST", "/v1/uploads", {"filename": "a.png", "type": "ephemeral", "colour": "red"}).must(200)


@pytest.mark.statement("RW-10")
def test_an_account_that_never_bought_credits_gets_no_slot_and_one_that_spent_them_does(house: House) -> None:
    poor = Runway(base=f"{house.url}/runway", key=house.create_key("poor", credits_usd="0"))
    spender = Runway(base=f"{house.url}/runway", key=house.create_key("spender", credits_usd="0.60"))

    said = poor.call("POST", "/v1/uploads", {"filename": "a.png", "type": "ephemeral"}).must(400)
    spender.generate(spender.upload()).must(200)

    assert "credits" in said["error"]
    assert "credits" in spender.generate(spender.upload()).must(400)["error"]


@pytest.mark.statement("RW-12", "RW-18", "RW-19", "RW-22", "RW-40")
def test_an_uploaded_picture_is_taken_again_and_again(acme: Runway) -> None:
    slot = acme.slot()

    stored = send(slot)

    assert (stored.status, stored.body) == (204, b"")
    for reference in (slot["runwayUri"], [{"uri": slot["runwayUri"], "position": "first"}]):
        said = acme.generate(reference).must(200)
        assert set(said) == {"id", "estimatedCost"}
        assert said["estimatedCost"] == {"credits": 60}


@pytest.mark.statement("RW-13")
def test_a_metadata_field_before_the_file_is_accepted(acme: Runway) -> None:
    once, twice = acme.slot(), acme.slot()

    sent_once = send(once, metadata='{"job": "7"}')  # as the Python client does
    sent_twice = post_form(twice["uploadUrl"], [*twice["fields"].items(), ("metadata", "{}")], PICTURE)  # as Node's

    assert [sent_once.status, sent_twice.status] == [204, 204]
    for slot in (once, twice):
        acme.generate(slot["runwayUri"]).must(200)


@pytest.mark.statement("RW-14")
def test_a_file_of_511_bytes_is_refused_and_one_of_512_taken(acme: Runway) -> None:
    assert send(acme.slot(), PICTURE[:511]).status == 400
    assert send(acme.slot(), PICTURE[:512]).status == 204


@pytest.mark.statement("RW-15", "RW-63")
def test_a_file_of_209715200_bytes_is_taken_and_one_of_a_byte_more_refused(acme: Runway) -> None:
    assert POLICY.max_bytes == MOST > 200_000_000

    assert _send_zeros(acme.slot("film.mp4"), MOST) == 204
    assert _send_zeros(acme.slot("film.mp4"), MOST + 1) == 400


def _send_zeros(slot: Any, size: int) -> int:  # noqa: ANN401 - JSON
    """The status of a form whose file is so long; a server may stop reading what is too long."""
    head = form_head(slot["fields"], filename="film.mp4")
    body = chain([head], repeat(bytes(2**20), size // 2**20), [bytes(size % 2**20), END])
    headers = {**HEADERS, "Content-Length": str(len(head) + size + len(END))}
    place = urlsplit(slot["uploadUrl"])
    with closing(HTTPConnection(place.hostname or "", place.port, timeout=120)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # the answer has come already
            connection.request("POST", place.path, body, headers)
        return connection.getresponse().status


@pytest.mark.statement("RW-16", "RW-18")
def test_a_form_with_a_field_changed_or_left_out_stores_nothing(acme: Runway) -> None:
    slot = acme.slot()
    fields: dict[str, str] = slot["fields"]
    signed = [name for name in fields if name != "metadata"]  # which is the client's own
    forms = [
        *({**fields, name: fields[name] + "x"} for name in signed),
        *({other: value for other, value in fields.items() if other != name} for name in signed),
        {**fields, "success_action_redirect": "https://example.com/"},
    ]

    statuses = [post_form(slot["uploadUrl"], form, PICTURE).status for form in forms]

    assert set(statuses) <= {400, 403}
    assert issue_paths(acme.generate(slot["runwayUri"])) == [["promptImage"]]
    send(slot).must(204)
    acme.generate(slot["runwayUri"]).must(200)


@pytest.mark.statement("RW-17")
def test_a_form_without_a_file_is_refused(acme: Runway) -> None:
    slot = acme.slot()

    assert post_form(slot["uploadUrl"], slot["fields"], None).status == 400


def test_a_form_is_refused_after_its_hour(acme: Runway, house: House) -> None:
    early, late = acme.slot(), acme.slot()
    house.clock.advance(POLICY.url_ttl - 5 * SECOND)
    assert send(early).status == 204

    house.clock.advance(10 * SECOND)

    assert send(late).status == 403


@pytest.mark.statement("RW-20")
def test_names_with_spaces_and_of_any_script_work(acme: Runway) -> None:
    for name in ("my picture 1.png", "Übergröße 漢字 😀.PNG", 'a "quoted" name.png'):
        acme.generate(acme.upload(filename=name)).must(200)


@pytest.mark.statement("RW-24", "RW-25", "RW-26")
def test_a_uri_of_nothing_that_is_there_is_an_issue_that_tells_no_more(acme: Runway, rival: Runway) -> None:
    waiting = acme.slot()["runwayUri"]
    uris = ["runway://AAAAAAAAAAAAAAAAAAAAA", "runway://x", "runway://" + "é" * 100, rival.upload(), waiting]

    answers = [acme.generate(uri) for uri in uris]

    assert [issue_paths(answer) for answer in answers] == [[["promptImage"]]] * len(uris)
    assert len({answer.body for answer in answers}) == 1


@pytest.mark.statement("RW-27")
def test_a_file_of_another_kind_is_an_issue(acme: Runway) -> None:
    for content in (b"no picture " * 60, FILM):
        answer = acme.generate([{"uri": acme.upload(content), "position": "first"}])
        assert issue_paths(answer) == [["promptImage", 0, "uri"]]
        assert answer.json()["issues"][0]["message"].startswith("Unsupported asset type.")


@pytest.mark.statement("RW-23", "RW-65")
def test_a_uri_stops_working_24_hours_after_it_was_made_and_its_bytes_go(tmp_path: Path, sqlite_url: str) -> None:
    content = PICTURE + b"these very bytes"
    objects = tmp_path / "house" / "objects"
    catalog = [{"slug": "gen4.5", "input": [{"name": "promptImage", "type": "file"}], "extra_inputs": "ignore"}]
    with open_house(tmp_path / "house", sqlite_url, catalog) as house:
        acme = Runway(base=f"{house.url}/runway", key=house.create_key())
        used, unused = acme.slot(), acme.slot()
        house.clock.advance(timedelta(minutes=30))
        for slot in (used, unused):
            send(slot, content).must(204)
        acme.generate(used["runwayUri"]).must(200)
        unknown = acme.generate("runway://AAAAAAAAAAAAAAAAAAAAA")
        house.clock.advance(DAY - timedelta(minutes=30) - 5 * SECOND)
        acme.generate(used["runwayUri"]).must(200)
        house.clock.advance(10 * SECOND)
        late = [acme.generate(slot["runwayUri"]) for slot in (used, unused)]
        acme.generate(acme.upload(content + b"once more")).must(200)
        assert _stored(content, objects)
        house.models["gen4.5"] = lambda _inputs, _context: {}
        house.work()
        house.clock.advance(DAY - 10 * SECOND)
        for _ in range(3):
            house.sweep()
            house.clock.advance(timedelta(hours=3))

        assert [answer.body for answer in late] == [unknown.body] * 2
        assert not _stored(content, objects)


def _stored(content: bytes, folder: Path) -> bool:
    """Whether it is in some object."""
    return any(content in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.statement("RW-28")
def test_a_second_form_replaces_the_file_until_it_is_used_and_never_after(acme: Runway, house: House) -> None:
    read: list[bytes] = []
    house.models["gen4.5"] = lambda inputs, context: read.append(context.fetch(inputs["promptImage"]).read_bytes())  # type: ignore[arg-type]  # a file
    slot = acme.slot()
    files = [PICTURE + bytes([number]) for number in range(3)]

    for content in files[:2]:
        send(slot, content).must(204)
    acme.generate(slot["runwayUri"]).must(200)
    send(slot, files[2])
    acme.generate(slot["runwayUri"]).must(200)
    house.work()

    assert read == [files[1]] * 2


def test_a_file_of_any_other_api_is_taken_and_ours_by_the_others(acme: Runway, house: House) -> None:
    native = Native(url=house.url, key=acme.key)
    asset = native.upload(PICTURE)

    acme.generate(asset["id"]).must(200)
    acme.generate(asset["url"]).must(200)
    run = native.call("POST", "/runs", {"model": "gen4.5", "input": {"promptImage": acme.upload()}})

    assert run.status == 201
