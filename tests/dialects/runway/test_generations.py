"""What the endpoints take and refuse: members, references of every kind, and the models' own rules."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.dialects.runway.client import FILM, PICTURE, SOUND, issue_paths
from tests.support.native import Native

if TYPE_CHECKING:
    from tests.dialects.runway.client import Runway
    from tests.support.exchange import Answer
    from tests.support.house import House

MIB = 2**20
# Each endpoint with a body that it takes, `…` standing for files, and where files may stand in it: member, kind.
BODIES: dict[str, tuple[dict[str, object], dict[str, str]]] = {
    "image_to_video": (
        {"model": "veo3.1", "promptImage": "image", "ratio": "1280:720"},
        {
            "promptImage": "image",
            "promptImage.0.uri": "image",
            "references.0.uri": "image",
            "referenceVideos.0.uri": "video",
            "referenceAudio.0.uri": "audio",
        },
    ),
    "text_to_video": (
        {"model": "veo3.1", "promptText": "a dam", "ratio": "1280:720"},
        {"references.0.uri": "image", "referenceVideos.0.uri": "video", "referenceAudio.0.uri": "audio"},
    ),
    "video_to_video": (
        {"model": "gen4_aleph", "videoUri": "video", "promptText": "a dam"},
        {
            "videoUri": "video",
            "promptVideo": "video",
            "references.0.uri": "image",
            "keyframes.0.uri": "image",
            "referenceVideos.0.uri": "video",
            "referenceAudio.0.uri": "audio",
        },
    ),
    "text_to_image": (
        {"model": "gen4_image", "promptText": "a dam", "ratio": "1024:1024"},
        {"referenceImages.0.uri": "image", "referenceImages.1.uri": "image"},
    ),
    "image_upscale": ({"model": "magnific_precision_upscaler_v2", "imageUri": "image"}, {"imageUri": "image"}),
    "video_upscale": ({"model": "magnific_video_upscaler_creative", "videoUri": "video"}, {"videoUri": "video"}),
    "text_to_speech": (
        {"model": "eleven_voice", "promptText": "a" * 2000, "voice": {"type": "runway-preset", "presetId": "Maya"}},
        {"voice.audioUri": "audio"},
    ),
    "sound_effect": (
        {"model": "eleven_voice", "promptText": "rain", "duration": 2.5, "loop": True},
        {"referenceAudios.0": "audio", "referenceAudios.1": "audio"},
    ),
    "speech_to_speech": (
        {
            "model": "eleven_voice",
            "media": {"type": "audio", "uri": "audio"},
            "voice": {"type": "reference-audio", "audioUri": "audio"},
        },
        {"media.uri": "audio", "voice.audioUri": "audio"},
    ),
    "voice_isolation": ({"model": "eleven_voice", "audioUri": "audio"}, {"audioUri": "audio"}),
    "voice_dubbing": ({"model": "eleven_voice", "audioUri": "audio", "targetLang": "es"}, {"audioUri": "audio"}),
    "character_performance": (
        {
            "model": "act_two",
            "character": {"type": "image", "uri": "image"},
            "reference": {"type": "video", "uri": "video"},
        },
        {"character.uri": "image", "reference.uri": "video"},
    ),
}


@pytest.fixture
def files(acme: Runway) -> dict[str, str]:
    """An uploaded file of each kind."""
    return {
        "image": acme.upload(),
        "video": acme.upload(FILM, "film.mp4"),
        "audio": acme.upload(SOUND, "sound.wav"),
    }


def filled(body: object, files: dict[str, str]) -> object:
    """The body with files in place of the kinds' names."""
    if isinstance(body, dict):
        return {name: value if name == "type" else filled(value, files) for name, value in body.items()}
    return files.get(body, body) if isinstance(body, str) else body


def with_file(body: dict[str, object], place: str, uri: str, *, before: str) -> dict[str, object]:
    """The body with a file at a place such as `references.1.uri`, and another at those before it."""
    name, *rest = place.split(".")
    if not rest:
        return {**body, name: uri}
    if not rest[0].isdecimal():
        old = body[name]
        assert isinstance(old, dict)
        return {**body, name: {**old, rest[0]: uri}}
    kinds = {"references": "image", "referenceVideos": "video", "referenceAudio": "audio"}
    more = {"type": kinds[name]} if name in kinds else {"position": "first"} if name == "promptImage" else {}
    entries = [uri if len(rest) == 1 else {**more, rest[1]: uri} for uri in (*[before] * int(rest[0]), uri)]
    return {**body, name: entries}


def path_of(place: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in place.split(".")]


@pytest.mark.statement("RW-21", "RW-66")
@pytest.mark.parametrize("endpoint", BODIES)
def test_every_field_takes_a_uri_of_its_kind_and_no_other(acme: Runway, files: dict[str, str], endpoint: str) -> None:
    raw, places = BODIES[endpoint]
    body = filled(raw, files)
    assert isinstance(body, dict)
    acme.create(endpoint, body).must(200)
    for place, kind in places.items():

        def ask(uri: str, place: str = place, kind: str = kind) -> Answer:
            return acme.create(endpoint, with_file(body, place, uri, before=files[kind]))

        ask(files[kind]).must(200)
        for wrong in (*(uri for other, uri in files.items() if other != kind), "runway://AAAAAAAAAAAAAAAAAAAAA"):
            assert issue_paths(ask(wrong)) == [path_of(place)], place


@pytest.mark.statement("RW-66")
def test_a_character_is_of_the_kind_that_its_type_says(acme: Runway, files: dict[str, str]) -> None:
    reference = {"type": "video", "uri": files["video"]}

    for kind, other in (("image", "video"), ("video", "image")):
        fits = {"model": "act_two", "character": {"type": kind, "uri": files[kind]}, "reference": reference}
        acme.create("character_performance", fits).must(200)
        refused = acme.create("character_performance", {**fits, "character": {"type": kind, "uri": files[other]}})
        assert issue_paths(refused) == [["character", "uri"]]


@pytest.mark.statement("RW-50")
@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"promptImage": None}, ["promptImage"]),
        ({"promptImage": 7}, ["promptImage"]),
        ({"promptImage": []}, ["promptImage"]),
        ({"promptImage": [{"position": "first"}]}, ["promptImage", 0, "uri"]),
        ({"promptImage": [{"uri": "runway://x", "position": "middle"}]}, ["promptImage", 0, "position"]),
        ({"promptImage": [{"uri": "runway://x", "position": "last"}]}, ["promptImage", 0, "position"]),
        ({"ratio": "1:1"}, ["ratio"]),
        ({"ratio": None}, ["ratio"]),
        ({"duration": 1}, ["duration"]),
        ({"duration": 11}, ["duration"]),
        ({"duration": "5"}, ["duration"]),
        ({"duration": None}, ["duration"]),
        ({"promptText": ""}, ["promptText"]),
        ({"promptText": "a" * 1001}, ["promptText"]),
        ({"promptText": "😀" * 501}, ["promptText"]),
        ({"promptText": None}, ["promptText"]),
        ({"seed": -1}, ["seed"]),
        ({"seed": 4294967296}, ["seed"]),
        ({"contentModeration": {"publicFigureThreshold": "high"}}, ["contentModeration", "publicFigureThreshold"]),
        ({"contentModeration": {"other": 1}}, ["contentModeration", "other"]),
        ({"model": "unknown"}, ["model"]),
        ({"model": None}, ["model"]),
    ],
    ids=str,
)
def test_a_wrong_member_is_an_issue_at_its_field(
    acme: Runway, files: dict[str, str], change: dict[str, object], path: list[str | int]
) -> None:
    assert issue_paths(acme.generate(files["image"], **change)) == [path]


@pytest.mark.statement("RW-50")
def test_what_is_just_within_the_rules_passes(acme: Runway, files: dict[str, str]) -> None:
    image = files["image"]
    for change in (
        {"promptText": "😀" * 500},
        {"promptText": "a" * 1000, "duration": 2},
        {"duration": 10, "seed": 4294967295, "contentModeration": {"publicFigureThreshold": "low"}},
        {"model": "gen4_turbo", "promptText": None, "duration": None},
        {"extra": {"anything": [1]}, "outputFormat": "mp4"},
    ):
        acme.generate(image, **change).must(200)


def test_other_models_of_the_product_have_rules_of_their_own(acme: Runway, files: dict[str, str]) -> None:
    image = files["image"]
    both = [{"uri": image, "position": "first"}, {"uri": image, "position": "last"}]
    veo = {"model": "veo3.1", "duration": 8, "ratio": "1920:1080"}

    acme.generate(both, **veo).must(200)
    refused = [
        acme.generate(both),
        acme.generate([both[1]], **veo),
        acme.generate([both[0]] * 2, **veo),
        acme.generate(image, **{**veo, "duration": 5}),
        acme.generate(image, **{**veo, "ratio": "1584:672"}),
    ]

    assert [issue_paths(answer)[0][0] for answer in refused] == [
        *["promptImage"] * 3,
        "duration",
        "ratio",
    ]


def test_several_wrong_members_are_several_issues(acme: Runway) -> None:
    assert sorted(map(str, issue_paths(acme.call("POST", "/v1/image_to_video", {"duration": 1})))) == [
        "['duration']",
        "['model']",
        "['promptImage']",
        "['ratio']",
    ]


@pytest.mark.statement("RW-51")
def test_a_url_outside_the_rules_is_an_issue_with_its_reason(acme: Runway) -> None:
    reasons = {
        "http://example.com/a.png": "Only HTTPS URLs are allowed.",
        "ftp://example.com/a.png": "Invalid URL",
        "https://192.0.2.1/a.png": "URLs must be hosted on a domain.",
        "https://[2001:db8::1]/a.png": "URLs must be hosted on a domain.",
        "https://2130706433/a.png": "Invalid URL",
        "https://example.com/" + "a" * 2048: "Invalid URL",
        "https://x.y": "Invalid URL",
        "/home/me/a.png": "Invalid URL",
        "a.png": "Invalid URL",
        "": "Invalid URL",
    }

    for url, reason in reasons.items():
        answer = acme.generate(url)
        assert issue_paths(answer) == [["promptImage"]], url
        assert answer.json()["issues"][0]["message"] == reason, url


def data_uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.statement("RW-52")
def test_a_small_data_uri_is_taken_and_a_bad_one_is_an_issue(acme: Runway) -> None:
    good = data_uri(PICTURE, "image/png")
    acme.generate(good).must(200)
    longest = data_uri(PICTURE + bytes(5 * MIB * 3 // 4 - 1000), "image/png")
    assert len(longest) < 5 * MIB

    acme.generate(longest).must(200)

    bad = {
        good + "A" * 5 * MIB: "Invalid data URI. It is too long; upload the file instead.",
        "data:image/png;base64,%%%": "Invalid data URI.",
        "data:image/png;base64": "Invalid data URI.",
        "data:image/png,abc": "Invalid data URI.",
        "data:image/png;base64,": "Invalid data URI.",
        good.replace("image/png", "audio/wav", 1): "Unsupported asset type.",
    }
    for uri, reason in bad.items():
        answer = acme.generate(uri)
        assert issue_paths(answer) == [["promptImage"]], uri[:100]
        assert answer.json()["issues"][0]["message"] == reason, uri[:100]


@pytest.mark.statement("RW-64")
def test_a_data_uri_of_a_film_just_under_16_mib_is_taken_and_one_of_a_character_more_is_not(acme: Runway) -> None:
    head = data_uri(FILM, "video/mp4").rstrip("=")
    head = head[: len("data:video/mp4;base64,") + (len(head) - len("data:video/mp4;base64,")) // 4 * 4]
    longest = head + "A" * ((16 * MIB - 1 - len(head)) // 4 * 4)
    assert 16 * MIB - 5 < len(longest) < 16 * MIB

    acme.create("video_to_video", {"model": "gen4_aleph", "videoUri": longest, "promptText": "a"}).must(200)
    refused = acme.create("video_to_video", {"model": "gen4_aleph", "videoUri": longest + "AAAA", "promptText": "a"})

    assert issue_paths(refused) == [["videoUri"]]


def test_what_a_model_gets_has_the_names_of_the_wire(acme: Runway, house: House, files: dict[str, str]) -> None:
    frames = [{"uri": files["image"], "position": "first"}, {"uri": files["image"], "position": "last"}]
    body = {"model": "veo3.1", "promptImage": frames, "promptText": "a", "ratio": "1280:720", "duration": 4}
    task = acme.create("image_to_video", {**body, "references": [{"type": "image", "uri": files["image"]}] * 2})

    run = Native(url=house.url, key=acme.key).get(f"/runs/run_{task.must(200)['id'].replace('-', '')}").must(200)

    assert run["input"] == {
        "promptImage": files["image"],
        "promptImageLast": files["image"],
        "references": files["image"],
        "references2": files["image"],
        "promptText": "a",
        "ratio": "1280:720",
        "duration": 4,
    }
