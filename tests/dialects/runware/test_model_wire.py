"""What a `modelUpload` says, read strictly: one error for the first parameter that is wrong, limits included."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.dialects.runware.errors import failure_out
from penstock.dialects.runware.model_wire import (
    OTHER_CONDITIONINGS,
    PARAMETERS,
    failure_of,
    parse_upload,
    polled_item,
)
from penstock.dialects.runware.parameters import line_of, words_of
from penstock.dialects.runware.wire import Named
from penstock.domain.errors import InvalidField
from penstock.domain.ids import AccountId
from penstock.domain.model_cards import ARCHITECTURES, CONDITIONINGS, check_given, merged
from penstock.domain.model_uploads import Phase
from tests.dialects.runware.upload_tasks import LEFT_OUT, OF_ITS_OWN, fit_tasks, task_of, wrong_tasks
from tests.support.records import make_model_upload


def test_every_wrong_parameter_is_refused_by_its_name() -> None:
    for task, code, parameter in wrong_tasks():
        if parameter == "air" and code == "invalidAir" and isinstance(task["air"], str) and 0 < len(task["air"]) <= 128:
            continue  # whoever registers it looks at its form
        with pytest.raises(InvalidField) as refused:
            parse_upload(task)

        error = refused.value
        assert error.path == (parameter,), task
        assert (error.rule == "missing") == code.startswith("missing"), task


def test_what_would_be_right_stands_beside_what_is_wrong() -> None:
    told = {}
    for wrong in (
        {"defaultSteps": 0},
        {"defaultCFG": 31},
        {"format": "ckpt"},
        {"private": 1},
        {"tags": 7},
        {"name": ""},
    ):
        with pytest.raises(InvalidField) as refused:
            parse_upload(task_of("checkpoint", wrong))
        told[refused.value.path[0]] = refused.value.facts

    assert told == {
        "defaultSteps": {"type": "integer", "least": 1, "most": 100},
        "defaultCFG": {"type": "number", "least": 0, "most": 30},
        "format": {"type": "string", "allowed": ["safetensors"]},
        "private": {"type": "boolean"},
        "tags": {"type": "array", "most": 100},
        "name": {"type": "string", "least": 1, "most": 1000},
    }


def test_everything_just_inside_the_limits_is_taken() -> None:
    for task in fit_tasks():
        parsed = parse_upload(task)

        assert parsed.category == task["category"]
        assert set(parsed.given) <= set(PARAMETERS)


def test_what_is_said_is_kept_by_its_name_and_what_is_not_said_is_left_open() -> None:
    parsed = parse_upload(
        task_of(
            "checkpoint",
            defaultSteps=20,
            defaultScheduler="Default",
            defaultStrength=1,
            private=False,
            tags=["b", "a", "b"],
            heroImageUrl="https://files.example.com/hero.png",
            comment="for us",
            webhookURL="https://hooks.example.com/?token=t&a=%20b",
            deliveryMethod="async",
            defaultWeight=9,
        )
    )

    assert parsed.given == {
        "category": "checkpoint",
        "type": "base",
        "architecture": "sdxl",
        "unique_identifier": "sha256-of-it",
        "name": "A model",
        "version_label": "v1",
        "default_steps": 20,
        "default_scheduler": "Default",
        "default_strength": 1.0,
        "private": False,
        "tags": ["b", "a"],
        "hero_image_url": "https://files.example.com/hero.png",
        "comment": "for us",
    }
    assert parsed.webhook_url == "https://hooks.example.com/?token=t&a=%20b"
    assert not parsed.waits
    assert parse_upload(task_of("vae", deliveryMethod=LEFT_OUT)).waits


@pytest.mark.parametrize("name", ["defaultCFG", "defaultGuidanceScale", "defaultCFGScale"])
def test_the_guidance_has_three_names(name: str) -> None:
    assert parse_upload(task_of("checkpoint", {name: 6.5})).given["default_cfg"] == 6.5


def test_the_url_has_two_spellings() -> None:
    task = task_of("lora", downloadURL=LEFT_OUT, downloadUrl="https://files.example.com/other")

    assert parse_upload(task).download_url == "https://files.example.com/other"


def test_trigger_words_come_as_a_text_or_as_an_array() -> None:
    for said in ("one, two", ["one", "two"]):
        given = parse_upload(task_of("lora", positiveTriggerWords=said, negativeTriggerWords=said)).given
        assert (given["positive_trigger_words"], given["negative_trigger_words"]) == (["one", "two"], ["one", "two"])
    for line in ("one, two", "one,two", " one , two ,", ", ", "one"):
        assert line_of(words_of(line)) == line


def test_every_architecture_and_conditioning_of_the_list_is_taken_and_an_operators_own() -> None:
    assert (len(ARCHITECTURES), len(CONDITIONINGS)) == (18, 21)
    for architecture in ARCHITECTURES:
        assert parse_upload(task_of(architecture=architecture)).given["architecture"] == architecture
    for said, kept in {**dict(zip(CONDITIONINGS, CONDITIONINGS, strict=True)), **OTHER_CONDITIONINGS}.items():
        assert parse_upload(task_of("controlnet", conditioning=said)).given["conditioning"] == kept
    own = parse_upload(task_of(architecture="sd2x"), architectures=(*ARCHITECTURES, "sd2x"))
    assert own.given["architecture"] == "sd2x"


@pytest.mark.parametrize(
    ("kept", "field", "told"),
    [
        ("source_failed", "source_url", ("downloadFailed", "downloadURL", 400)),
        ("source_refused", None, ("downloadFailed", "downloadURL", 400)),
        ("source_unreachable", "source_url", ("downloadFailed", "downloadURL", 400)),
        ("file_too_large", "source_url", ("downloadFailed", "downloadURL", 400)),
        ("not_safetensors", None, ("invalidModelFile", "downloadURL", 400)),
        ("model_file_mismatch", "architecture", ("invalidModelFile", "architecture", 400)),
        ("model_file_mismatch", None, ("invalidModelFile", "downloadURL", 400)),
        ("invalid_field", "type", ("invalidType", "type", 400)),
        ("quota_exceeded", None, ("maxStorageExceeded", None, 403)),
        ("insufficient_credits", None, ("insufficientCredits", None, 402)),
        ("internal_error", None, ("processingFailed", None, 500)),
        ("a word that nobody knows", None, ("processingFailed", "downloadURL", 500)),
        (None, None, ("processingFailed", None, 500)),
    ],
)
def test_what_ended_an_upload_is_told_by_the_products_codes(
    kept: str | None, field: str | None, told: tuple[str, str | None, int]
) -> None:
    out = failure_out(failure_of(kept, "because", field), Named(task_type="modelUpload", task_uuid="u"))

    said = json.loads(out.text)
    assert (said["code"], said.get("parameter"), out.status) == told
    assert (said["message"], said["taskUUID"]) == ("because", "u")


@pytest.mark.parametrize(
    ("phase", "received", "size", "told"),
    [
        (Phase.VALIDATED, 0, None, 0),
        (Phase.VALIDATED, 50, None, 0),
        (Phase.VALIDATED, 50, 100, 30),
        (Phase.VALIDATED, 200, 100, 60),
        (Phase.DOWNLOADED, 100, 100, 60),
        (Phase.OPTIMIZED, 100, 100, 85),
        (Phase.STORED, 100, 100, 95),
    ],
)
def test_progress_only_grows(phase: Phase, received: int, size: int | None, told: int) -> None:
    upload = replace(make_model_upload(1, AccountId("a")), phase=phase, received=received, size=size)

    assert polled_item(upload)["progress"] == told


NAMES = st.sampled_from([*PARAMETERS.values(), "format", "deliveryMethod", "defaultGuidanceScale", "heroImageUrl"])
VALUES = st.one_of(
    st.none() | st.booleans() | st.integers(-200, 200) | st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30) | st.sampled_from(["base", "sdxl", "canny", "https://a.b/", "1:2@3", "async", "x" * 401]),
    st.lists(st.text(max_size=5) | st.integers(), max_size=4) | st.dictionaries(st.text(max_size=3), st.integers()),
)


@given(st.sampled_from(list(OF_ITS_OWN)), st.dictionaries(NAMES, VALUES, max_size=4))
def test_whatever_stands_in_a_task_one_parameter_is_named_or_the_registry_takes_it(
    category: str, changes: dict[str, object]
) -> None:
    wrong, parsed = None, None
    try:
        parsed = parse_upload(task_of(category, changes))
    except InvalidField as error:
        wrong = error

    if parsed is not None:
        assert merged(None, check_given(parsed.given)).category == category
    assert wrong is None or len(wrong.path) == 1
