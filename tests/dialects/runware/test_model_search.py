"""`modelSearch`: the account's own models and public ones, filtered, sorted and in pages."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.dialects.runware.client import Runware, task, uuid
from tests.dialects.runware.shelf import Shelf, found, search, upload

if TYPE_CHECKING:
    from tests.support.house import House


def names(client: Runware, **filters: object) -> list[str]:
    return [model["name"] for model in search(client, **filters)["results"]]


@pytest.mark.statement("RU-60")
def test_a_model_is_found_by_its_air_with_its_fields(acme: Runware, shelf: Shelf, house: House) -> None:
    said = {
        "name": "Rivers at night",
        "version": "v3",
        "tags": ["water", "night"],
        "shortDescription": "Long exposures of rivers.",
        "comment": "trained on our own pictures",
        "defaultWeight": 0.7,
        "positiveTriggerWords": "rvrs, night",
        "negativeTriggerWords": "boats",
    }
    hero = "https://files.example.com/hero.png"
    sent = shelf.task(acme, "lora", heroImageURL=hero, **said)
    upload(acme, house, sent)

    answer = search(acme, search=sent["air"])

    upload(acme, house, {**sent, "taskUUID": uuid(), "air": f"{sent['air']}2", "name": "Its twelfth version"})
    assert search(acme, search=sent["air"].upper())["results"] == answer["results"]
    assert names(acme, search=sent["air"].partition("@")[0]) == ["Its twelfth version", said["name"]]
    assert answer["taskType"] == "modelSearch"
    assert answer["totalResults"] == 1
    assert answer["results"] == [
        {
            **said,
            "air": sent["air"],
            "category": "lora",
            "architecture": "sd1x",
            "heroImage": hero,
            "private": True,
            "source": "community",
        }
    ]


@pytest.mark.statement("RU-61")
def test_filters_orders_and_pages(acme: Runware, shelf: Shelf, house: House) -> None:
    made: list[tuple[str, str, dict[str, object]]] = [
        ("beta", "lora", {"tags": ["blue", "red"]}),
        ("alpha", "lycoris", {"tags": ["blue"]}),
        ("delta", "embeddings", {"type": "positive", "private": False}),
        ("gamma", "controlnet", {"conditioning": "canny", "shortDescription": "finds edges"}),
    ]
    for name, category, more in made:
        upload(acme, house, shelf.task(acme, category, name=name, **more))
        house.clock.advance(timedelta(seconds=1))
    newest = ["gamma", "delta", "alpha", "beta"]

    assert names(acme) == names(acme, sort="-addedUnixTimestamp") == names(acme, sort="_score") == newest
    assert names(acme, sort="addedUnixTimestamp") == newest[::-1]
    assert names(acme, sort="name") == ["alpha", "beta", "delta", "gamma"]
    assert names(acme, sort="-name") == ["gamma", "delta", "beta", "alpha"]
    assert sorted(names(acme, sort="popularity")) == sorted(names(acme, sort="-updatedDateUnixTimestamp"))
    for filters, expected in (
        ({"category": "lora"}, ["beta"]),
        ({"category": ["lora", "lycoris"]}, ["alpha", "beta"]),
        ({"category": "upscaler"}, []),
        ({"tags": ["blue"]}, ["alpha", "beta"]),
        ({"tags": ["blue", "red"]}, ["beta"]),
        ({"type": "positive"}, ["delta"]),
        ({"architecture": "sdxl"}, ["alpha"]),
        ({"conditioning": "canny"}, ["gamma"]),
        ({"search": "delta"}, ["delta"]),
        ({"search": "edges"}, ["gamma"]),
        ({"search": ""}, newest),
        ({"visibility": "public"}, ["delta"]),
        ({"visibility": "private"}, ["gamma", "alpha", "beta"]),
        ({"visibility": "owned"}, newest),
        ({"visibility": "all"}, newest),
        ({"visibility": "favorite"}, []),
        ({"source": "community"}, newest),
        ({"source": "official"}, []),
        ({"source": "featured"}, []),
        ({"capabilities": ["text-to-image"]}, newest),
    ):
        assert names(acme, **filters) == expected, filters

    page = search(acme, limit=2, offset=1)
    assert [model["name"] for model in page["results"]] == newest[1:3]
    assert page["totalResults"] == 4
    beyond = search(acme, limit=2, offset=9)
    assert (beyond["results"], beyond["totalResults"]) == ([], 4)


@pytest.mark.statement("RU-62", "RU-63")
def test_others_see_public_models_and_nothing_that_is_internal(
    acme: Runware, rival: Runware, shelf: Shelf, house: House
) -> None:
    word = acme.source
    private = shelf.task(acme, name=f"{word} one", comment="for us")
    public = shelf.task(acme, name=f"{word} two", comment="for us", private=False)
    upload(acme, house, private)
    upload(acme, house, public)

    assert names(rival, search=word) == names(rival, search=word, visibility="public") == [f"{word} two"]
    assert names(rival, search=word, visibility="owned") == names(rival, search=word, visibility="private") == []
    assert found(rival, private["air"]) is None
    seen = found(rival, public["air"])
    assert seen is not None
    assert seen["comment"] is None
    own = found(acme, public["air"])
    assert own is not None
    assert own["comment"] == "for us"

    upload(acme, house, {**public, "taskUUID": uuid(), "private": True})
    assert found(rival, public["air"]) is None


def test_what_cannot_be_searched_is_refused_by_its_name(acme: Runware) -> None:
    for wrong in (
        {"limit": 0},
        {"limit": 101},
        {"offset": -1},
        {"sort": "price"},
        {"visibility": "mine"},
        {"tags": "a"},
        {"category": 7},
    ):
        (name,) = wrong
        (error,) = acme.post(task("modelSearch", **wrong)).must(400)["errors"]
        assert (error["code"], error["parameter"]) == (f"invalid{name[0].upper()}{name[1:]}", name)
