"""From the slot to the task: uploads, references, tasks and their refusals."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from penstock.domain.errors import RunnerFailed
from penstock.ports.runners import OutputFile
from tests.dialects.runway.client import PICTURE, issue_paths, send
from tests.support.exchange import fetch
from tests.support.forms import post_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.ports.runners import JsonLike, RunContext
    from tests.dialects.runway.client import Runway
    from tests.support.house import House


def film(_inputs: Mapping[str, JsonLike], context: RunContext) -> JsonLike:
    path = context.workdir / "made.png"
    path.write_bytes(PICTURE)
    return {"video": OutputFile(path=path, name="made.png", content_type="image/png")}


def broken(_inputs: Mapping[str, JsonLike], _context: RunContext) -> JsonLike:
    raise RunnerFailed("the picture shows nothing")


@pytest.mark.statement("RW-01")
def test_a_wrong_key_is_unauthenticated(acme: Runway) -> None:
    said = replace(acme, key="wrong").call("GET", "/v1/organization").must(401)
    assert set(said) == {"error"}


@pytest.mark.statement("RW-02")
@pytest.mark.parametrize("version", [None, "2023-01-01"])
def test_a_missing_or_other_version_is_refused(acme: Runway, version: str | None) -> None:
    assert replace(acme, version=version).call("GET", "/v1/organization").must(400)["error"]


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
@pytest.mark.parametrize("name", ["a", ".p", "a" * 252 + ".png", "image", "image.gif", "image.exe"])
def test_a_filename_of_wrong_length_or_extension_is_refused(acme: Runway, name: str) -> None:
    answer = acme.call("POST", "/v1/uploads", {"filename": name, "type": "ephemeral"})
    assert issue_paths(answer) == [["filename"]]


@pytest.mark.statement("RW-06", "RW-07")
@pytest.mark.parametrize("name", ["a" * 251 + ".png", "A.JPG", "ä b.Mp4", "a.wav"])
def test_a_filename_of_a_medium_is_taken_in_any_case(acme: Runway, name: str) -> None:
    acme.slot(name)


@pytest.mark.statement("RW-08")
@pytest.mark.parametrize("body", [{"filename": "a.png"}, {"filename": "a.png", "type": "lasting"}])
def test_a_type_other_than_ephemeral_is_refused(acme: Runway, body: dict[str, str]) -> None:
    assert issue_paths(acme.call("POST", "/v1/uploads", body)) == [["type"]]


@pytest.mark.statement("RW-08")
def test_malformed_json_is_refused(acme: Runway) -> None:
    assert set(acme.call("POST", "/v1/uploads", b"{").must(400)) == {"error"}


@pytest.mark.statement("RW-10")
def test_an_account_that_never_bought_credits_gets_no_slot(acme: Runway, house: House) -> None:
    poor = replace(acme, key=house.create_key("poor", credits_usd="0"))
    said = poor.call("POST", "/v1/uploads", {"filename": "a.png", "type": "ephemeral"}).must(400)
    assert "credits" in said["error"]


@pytest.mark.statement("RW-12", "RW-19", "RW-22", "RW-40")
def test_an_uploaded_picture_is_taken_again_and_again(acme: Runway) -> None:
    uri = acme.upload()
    for reference in (uri, [{"uri": uri, "position": "first"}]):
        said = acme.generate(reference).must(200)
        assert set(said) == {"id", "estimatedCost"}
        assert UUID(said["id"]).version == 4
        assert said["estimatedCost"] == {"credits": 60}


@pytest.mark.statement("RW-13")
def test_a_metadata_field_before_the_file_is_accepted(acme: Runway) -> None:
    once, twice = acme.slot(), acme.slot()

    sent_once = send(once, metadata='{"job": "7"}')
    sent_twice = post_form(twice["uploadUrl"], [*twice["fields"].items(), ("metadata", "{}")], PICTURE)

    assert [sent_once.status, sent_twice.status] == [204, 204]
    for slot in (once, twice):
        acme.generate(slot["runwayUri"]).must(200)


@pytest.mark.statement("RW-14")
def test_a_file_of_511_bytes_is_refused_and_one_of_512_taken(acme: Runway) -> None:
    assert send(acme.slot(), PICTURE[:511]).status == 400
    assert send(acme.slot(), PICTURE[:512]).status == 204


@pytest.mark.statement("RW-24", "RW-25", "RW-26", "RW-27")
def test_a_reference_to_nothing_fit_is_an_issue_at_its_field(acme: Runway, rival: Runway) -> None:
    unknown = acme.generate("runway://AAAAAAAAAAAAAAAAAAAAA")
    answers = [
        unknown,
        acme.generate("runway://x"),
        acme.generate(rival.upload()),
        acme.generate(acme.slot()["runwayUri"]),
        acme.generate(acme.upload(b"no picture " * 60)),
    ]
    assert [issue_paths(answer) for answer in answers] == [[["promptImage"]]] * 5
    assert answers[2].json() == unknown.json()


@pytest.mark.statement("RW-42", "RW-44")
def test_a_task_shows_the_members_of_its_status(acme: Runway, house: House) -> None:
    house.models["gen4.5"] = film
    path = f"/v1/tasks/{acme.generate(acme.upload()).must(200)['id']}"

    waiting = acme.call("GET", path).must(200)
    house.work()
    done = acme.call("GET", path).must(200)

    assert set(waiting) == {"id", "createdAt", "status", "estimatedCost"}
    assert waiting["status"] == "PENDING"
    assert waiting["createdAt"].endswith("Z")
    assert set(done) == {"id", "createdAt", "status", "output", "cost"}
    assert (done["status"], done["cost"]) == ("SUCCEEDED", {"credits": 60})
    assert fetch(done["output"][0]).body == PICTURE


@pytest.mark.statement("RW-48")
def test_a_failed_task_says_why_and_costs_nothing(acme: Runway, house: House) -> None:
    house.models["gen4.5"] = broken
    path = f"/v1/tasks/{acme.generate(acme.upload()).must(200)['id']}"
    house.work()

    failed = acme.call("GET", path).must(200)

    assert set(failed) == {"id", "createdAt", "status", "failure", "failureCode", "cost"}
    assert failed["cost"] == {"credits": 0}


@pytest.mark.statement("RW-03", "RW-45")
@pytest.mark.parametrize("finished", [False, True])
def test_a_deleted_task_is_not_found_any_more(acme: Runway, house: House, *, finished: bool) -> None:
    house.models["gen4.5"] = film
    path = f"/v1/tasks/{acme.generate(acme.upload()).must(200)['id']}"
    if finished:
        house.work()

    gone = acme.call("DELETE", path)

    assert (gone.status, gone.body) == (204, b"")
    assert [acme.call(method, path).status for method in ("GET", "DELETE")] == [404, 404]


@pytest.mark.statement("RW-25", "RW-46")
def test_an_unknown_or_foreign_task_is_not_found(acme: Runway, rival: Runway) -> None:
    theirs = rival.generate(rival.upload()).must(200)["id"]
    for task_id in (theirs, "5f0c4a52-8f0e-4d0a-9a0b-0c1d2e3f4a5b", "x"):
        assert set(acme.call("GET", f"/v1/tasks/{task_id}").must(404)) == {"error"}
        acme.call("DELETE", f"/v1/tasks/{task_id}").must(404)


@pytest.mark.statement("RW-50")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"promptImage": None}, "promptImage"),
        ({"ratio": "1:1"}, "ratio"),
        ({"duration": 1}, "duration"),
        ({"duration": 11}, "duration"),
        ({"promptText": "a" * 1001}, "promptText"),
        ({"promptText": "😀" * 501}, "promptText"),
        ({"model": "unknown"}, "model"),
    ],
)
def test_a_wrong_member_is_an_issue_at_its_field(acme: Runway, change: dict[str, object], field: str) -> None:
    assert issue_paths(acme.generate(acme.upload(), **change)) == [[field]]


@pytest.mark.statement("RW-50")
def test_500_characters_of_two_units_pass_and_a_bad_position_does_not(acme: Runway) -> None:
    uri = acme.upload()
    acme.generate(uri, promptText="😀" * 500).must(200)
    acme.generate([{"uri": uri, "position": "middle"}]).must(400)


@pytest.mark.statement("RW-51")
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "ftp://example.com/a.png",
        "https://192.0.2.1/a.png",
        "https://[2001:db8::1]/a.png",
        "https://example.com/" + "a" * 2048,
        "/home/me/a.png",
    ],
)
def test_a_url_outside_the_rules_is_an_issue_at_its_field(acme: Runway, url: str) -> None:
    assert issue_paths(acme.generate(url)) == [["promptImage"]]


@pytest.mark.statement("RW-52")
def test_a_small_data_uri_is_taken_and_a_bad_one_is_an_issue(acme: Runway) -> None:
    good = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    acme.generate(good).must(200)
    for bad in (good + "A" * 5 * 2**20, "data:image/png;base64,%%%", good.replace("image", "audio", 1)):
        assert issue_paths(acme.generate(bad)) == [["promptImage"]]


@pytest.mark.statement("RW-56")
def test_an_unsupported_method_is_refused(acme: Runway) -> None:
    assert set(acme.call("PUT", "/v1/uploads", {}).must(405)) == {"error"}


@pytest.mark.statement("RW-60")
def test_the_organization_shows_its_credits(acme: Runway) -> None:
    said = acme.call("GET", "/v1/organization").must(200)
    assert (set(said), said["creditBalance"]) == ({"creditBalance", "tier", "usage"}, 10_000)
