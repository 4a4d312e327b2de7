"""AIRs: what may be registered, what a reference may look like, and that writing and reading agree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.domain.air import Air, Reference, format_urn, parse_air, parse_reference, parse_source
from penstock.domain.errors import InvalidField
from penstock.domain.model_cards import ARCHITECTURES
from penstock.domain.weights import Category

SOURCES = st.from_regex(r"[a-z0-9][a-z0-9-]{1,31}", fullmatch=True)
AIRS = st.builds(
    Air,
    source=SOURCES,
    number=st.from_regex(r"[1-9][0-9]{0,17}", fullmatch=True),
    version=st.from_regex(r"[0-9]{1,9}", fullmatch=True),
)


@given(AIRS)
def test_an_air_is_read_as_it_is_written(air: Air) -> None:
    assert parse_air(str(air)) == air
    assert parse_air(str(air).upper()) == air
    assert parse_reference(str(air)) == Reference(source=air.source, id=air.number, version=air.version)


@given(AIRS, st.sampled_from(ARCHITECTURES), st.sampled_from(Category))
def test_a_urn_leads_back_to_its_air(air: Air, architecture: str, category: Category) -> None:
    urn = format_urn(air, architecture=architecture, category=category)

    found = parse_reference(urn)

    if len(urn) <= 128:
        assert found is not None
        assert found.air == str(air)


@given(st.text(max_size=140))
def test_any_text_is_an_air_or_refused_in_words(text: str) -> None:
    reference = parse_reference(text)
    try:
        air = parse_air(text)
    except InvalidField as error:
        assert error.path == ("air",)  # noqa: PT017 - what is raised is one of two right outcomes
    else:
        assert reference is not None
        assert reference.air == str(air)


@pytest.mark.parametrize("text", ["mycompany:123@2", "acme:100@1", "acme:1@08629", "a-1:1@0"])
def test_digits_stay_as_they_were_given(text: str) -> None:
    assert str(parse_air(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "acme:1",
        "acme@1",
        "1@1",
        ":1@1",
        "acme:@1",
        "acme:1@",
        "acme:1@1@1",
        "acme:1:1@1",
        "a:1@1",
        "-acme:1@1",
        "acme_:1@1",
        "acme:01@1",
        "acme:0@1",
        "acme:x@1",
        "acme:1@v1",
        "acme:1@-1",
        "acme:1.0@1",
        " acme:1@1",
        "acme:1@1 ",
        "acme:1@1\n",
        "acme%3A1@1",
        "acmé:1@1",
        "acme:\u0661@1",
        "acme:" + "1" * 19 + "@1",
        "acme:1@" + "1" * 10,
        "a" * 33 + ":1@1",
        "\u212aelvin:1@1",
    ],
)
def test_what_is_no_air_to_register_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        parse_air(text)

    assert refusal.value.path == ("air",)


@pytest.mark.parametrize(
    ("text", "air"),
    [
        ("civitai:101055@128078", "civitai:101055@128078"),
        ("CivitAI:101055@128078", "civitai:101055@128078"),
        ("urn:air:sdxl:checkpoint:civitai:101055@128078", "civitai:101055@128078"),
        ("URN:AIR:sdxl:checkpoint:civitai:101055@128078", "civitai:101055@128078"),
        ("air:sdxl:checkpoint:civitai:101055@128078", "civitai:101055@128078"),
        ("sdxl:checkpoint:civitai:101055@128078", "civitai:101055@128078"),
        ("checkpoint:civitai:101055@128078", "civitai:101055@128078"),
        ("urn:air:civitai:101055@128078", "civitai:101055@128078"),
        ("air:1@2", "air:1@2"),
        ("civitai:1@2.safetensor", "civitai:1@2"),
        ("civitai:1@2.safetensors", "civitai:1@2"),
        ("civitai:1@2+33.safetensors", "civitai:1@2"),
        ("civitai:1@2+33", "civitai:1@2"),
        ("alibaba:qwen-image@2.0-pro", "alibaba:qwen-image@2.0-pro"),
        ("fishaudio:s2.1@pro", "fishaudio:s2.1@pro"),
        ("huggingface:black-forest-labs/FLUX.1-dev@main", "huggingface:black-forest-labs/FLUX.1-dev@main"),
        ("civitai-r2:bucket@file.pth", "civitai-r2:bucket@file"),
        ("civitai:101055", None),
        ("huggingface:black-forest-labs/FLUX.1-dev", None),
    ],
)
def test_a_reference_is_read_from_the_right(text: str, air: str | None) -> None:
    found = parse_reference(text)

    assert found is not None
    assert found.air == air


def test_a_urn_s_other_words_are_kept_as_hints() -> None:
    found = parse_reference("urn:air:flux1:lora:civitai:7@8+9.safetensors")

    assert found == Reference(
        source="civitai", id="7", version="8", ecosystem="flux1", type="lora", file="9", format="safetensors"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "acme",
        "acme/model",
        "builtin/stylize",
        "https://example.com/a@b",
        "a:b:c:d:e:f@1",
        "acme:1@1@1",
        "acme:1@",
        "acme:@1",
        "acme:a b@1",
        "acme:%31@1",
        "ac me:1@1",
        "acme:../x@1",
        "acme:1@2+",
        "acme:" + "x" * 128 + "@1",
    ],
)
def test_what_is_no_reference_is_none(text: str) -> None:
    assert parse_reference(text) is None


def test_a_source_is_kept_in_lower_case() -> None:
    assert parse_source("Acme-Labs") == "acme-labs"


@pytest.mark.parametrize("name", ["", "a", "-a", "a_b", "a.b", "a" * 33, "é1", "a b", "\u212aelvin"])
def test_what_is_no_name_of_a_source_is_refused(name: str) -> None:
    with pytest.raises(InvalidField):
        parse_source(name)


def test_a_urn_says_what_the_model_is() -> None:
    air = parse_air("acme:100@1")

    assert format_urn(air, architecture="pony", category=Category.CHECKPOINT) == "urn:air:sdxl:checkpoint:acme:100@1"
    assert format_urn(air, architecture="flux1s", category=Category.EMBEDDINGS) == "urn:air:flux1:embedding:acme:100@1"
