from __future__ import annotations

import random
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest

from penstock.domain import model_cards
from penstock.domain.weights import Category, Declaration, VerdictKind
from penstock.weights.families import ARCHITECTURES, CATEGORIES, LABELS, TYPES
from penstock.weights.identify import (
    Found,
    Suggestions,
    controlnets,
    identify,
    metadata,
    modules,
    others,
    skeletons,
    transformers,
    vaes,
)
from penstock.weights.verdict import MEANINGS, judge, propose
from tests.support.headers import made_header, read_header, shapes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.model_files import ModelFiles, Profile

LET_THROUGH = {
    ("checkpoint/sd15_lcm_unet_diffusers", "sd1x"),
    *((f"checkpoint/flux_{kind}", "flux1s") for kind in ("dev_bfl", "dev_allinone", "dev_fp8_scaled", "dev_diffusers")),
    ("checkpoint/flux_fill_bfl", "flux1s"),
}
"""Declarations that the structure contradicts, and that people make for good reasons: they pass, with a warning."""


@pytest.mark.parametrize("profile", ["tiny", "head", "true"])
def test_every_model_file_is_what_its_manifest_says(model_files: ModelFiles, profile: Profile) -> None:
    wrong = {}
    for name, case in model_files.cases.items():
        found = identify(read_header(model_files.path(name, profile)))
        expected = (case["category"], case["family"], case["type"] or found.type)
        if (found.category, found.family, found.type) != expected or found.missing or found.contradiction:
            wrong[name] = found

    assert len(model_files.cases) == 72
    assert wrong == {}


@pytest.mark.parametrize("profile", ["tiny", "true"])
def test_every_architecture_is_accepted_or_refused_as_the_manifest_says(
    model_files: ModelFiles, profile: Profile
) -> None:
    wrong = []
    for name, case in model_files.cases.items():
        found = identify(read_header(model_files.path(name, profile)))
        for architecture in (*case["accepts"], *case["rejects"]):
            verdict = judge(found, declared_as(found, architecture))
            through = (name, architecture) in LET_THROUGH and verdict.kind == "match_unverified"
            if verdict.fits != (architecture in case["accepts"]) and not through:
                wrong.append((name, architecture, verdict))

    assert wrong == []


def declared_as(found: Found, architecture: str) -> Declaration:
    return Declaration(category=Category(found.category or "checkpoint"), architecture=architecture, type=found.type)


def found_in(model_files: ModelFiles, case: str) -> Found:
    return identify(read_header(model_files.path(case, "head")))


def declared(words: str) -> Declaration:
    """From `category architecture [type or conditioning]`, a dash for what is not said."""
    category, architecture, *rest = words.split()
    extra = rest[0] if rest else None
    guide = category == "controlnet"
    return Declaration(
        category=Category(category),
        architecture=None if architecture == "-" else architecture,
        type=None if guide else extra,
        conditioning=extra if guide else None,
    )


@pytest.mark.parametrize(
    ("case", "words", "kind"),
    [
        # what the structure shows
        ("checkpoint/sdxl_full", "checkpoint sdxl base", "match"),
        ("checkpoint/sdxl_full", "checkpoint -", "match"),
        ("checkpoint/flux_schnell_bfl", "checkpoint flux1s base", "match"),
        ("checkpoint/sdxl_refiner", "checkpoint sdxl refiner", "match"),
        ("checkpoint/flux_fill_bfl", "checkpoint flux1d inpainting", "match"),
        ("lora/sdxl_kohya", "lora pony", "match"),
        ("controlnet/sd15_ldm", "controlnet sd1x canny", "match"),
        # what it leaves open
        ("checkpoint/sdxl_full", "checkpoint pony base", "match_unverified"),
        ("checkpoint/flux_dev_bfl", "checkpoint fluxkontextdev base", "match_unverified"),
        ("checkpoint/hidream", "checkpoint hidreamdev base", "match_unverified"),
        ("vae/sd_4ch_ldm", "vae sdxl", "match_unverified"),
        # what people declare for good reasons
        ("checkpoint/flux_dev_bfl", "checkpoint flux1s base", "match_unverified"),
        ("checkpoint/sdxl_full", "checkpoint sdxldistilled base", "match_unverified"),
        ("checkpoint/sdxl_full", "checkpoint sdxl refiner", "match_unverified"),
        ("checkpoint/sd15_lcm_unet_diffusers", "checkpoint sd1x base", "match_unverified"),
        ("lora/sdxl_kohya", "lycoris sdxl", "match_unverified"),
        ("lycoris/sdxl_lokr", "lora sdxl", "match_unverified"),
        ("controlnet/sdxl_t2i_adapter", "controlnet sdxl depth", "match"),
        # what would not load, or fail in use
        ("checkpoint/sdxl_full", "checkpoint flux1d base", "mismatch"),
        ("checkpoint/sdxl_full", "checkpoint sd1x base", "mismatch"),
        ("checkpoint/sdxl_full", "checkpoint sdxl inpainting", "mismatch"),
        ("checkpoint/sdxl_inpaint", "checkpoint sdxl base", "mismatch"),
        ("checkpoint/sdxl_inpaint", "checkpoint sdxl refiner", "mismatch"),
        ("checkpoint/sdxl_refiner", "checkpoint sdxl base", "mismatch"),
        ("checkpoint/sd15_full", "checkpoint sd1x refiner", "mismatch"),
        ("checkpoint/ssd1b_full", "checkpoint sdxl base", "mismatch"),
        ("checkpoint/sdxl_lcm_unet_diffusers", "checkpoint sdxl base", "mismatch"),
        ("checkpoint/flux_schnell_bfl", "checkpoint flux1d base", "mismatch"),
        ("checkpoint/sdxl_full", "lora sdxl", "mismatch"),
        ("lora/sdxl_kohya", "checkpoint sdxl base", "mismatch"),
        ("lora/flux_control_bfl", "lora flux1s", "mismatch"),
        ("controlnet/flux_xlabs", "checkpoint flux1d base", "mismatch"),
        ("controlnet/flux_xlabs", "controlnet flux1s canny", "mismatch"),
        ("vae/flux_16ch_bfl", "vae sdxl", "mismatch"),
        ("embeddings/sd15_emb_params", "embeddings sdxl negative", "mismatch"),
        # what no architecture covers
        ("checkpoint/sd21_full", "checkpoint sd1x base", "unsupported"),
        ("checkpoint/sd21_full", "checkpoint - base", "unsupported"),
        ("embeddings/sd2_emb_params", "embeddings sd1x positive", "unsupported"),
    ],
)
def test_a_declaration_is_judged_by_the_structure(model_files: ModelFiles, case: str, words: str, kind: str) -> None:
    verdict = judge(found_in(model_files, case), declared(words))

    assert verdict.kind == kind
    assert bool(verdict.warnings) == (kind == "match_unverified")
    assert bool(verdict.problems) == (kind == "mismatch")


@pytest.mark.parametrize("channels", [8, 5, 7])
def test_inputs_that_no_type_names_are_unsupported(model_files: ModelFiles, channels: int) -> None:
    tensors = shapes_of(read_header(model_files.path("checkpoint/sd15_full", "head")))
    entry = "model.diffusion_model.input_blocks.0.0.weight"

    verdict = judge(identify(made_header(tensors | {entry: (320, channels, 3, 3)})), declared("checkpoint sd1x base"))

    assert verdict.kind == "unsupported"
    assert verdict.message.endswith("No type covers what it takes as its input.")


def test_a_mask_among_the_inputs_refuses_other_conditionings(model_files: ModelFiles) -> None:
    tensors = shapes_of(read_header(model_files.path("controlnet/flux_instantx", "head")))
    found = identify(made_header(tensors | {"controlnet_x_embedder.weight": (3072, 68)}))

    assert judge(found, declared("controlnet flux1d inpaint")).kind == "match"
    assert judge(found, declared("controlnet flux1d canny")).kind == "mismatch"
    assert judge(found, Declaration(category=Category.CONTROLNET, architecture="flux1d")).kind == "match"


def test_a_hint_of_one_channel_only_warns_of_other_conditionings() -> None:
    body: dict[str, tuple[int, ...]] = {f"body.{block}.block1.weight": (320, 320, 3, 3) for block in range(8)}
    found = identify(made_header(body | {"conv_in.weight": (320, 64, 3, 3)}))

    assert judge(found, declared("controlnet sd1x sketch")).kind == "match"
    assert judge(found, declared("controlnet sd1x depth")).kind == "match_unverified"


def test_an_incomplete_file_is_refused_whatever_it_was_declared(model_files: ModelFiles) -> None:
    tensors = shapes_of(read_header(model_files.path("checkpoint/flux_dev_bfl", "head")))
    cut = {name: shape for name, shape in tensors.items() if not name.startswith("double_blocks.3.")}

    verdict = judge(identify(made_header(cut)), declared("checkpoint flux1d base"))

    assert verdict.kind == "incomplete"
    assert "double_blocks.3.img_attn.qkv.weight" in verdict.message
    assert "and 17 more" in verdict.message


def test_a_contradiction_leaves_the_file_unknown(model_files: ModelFiles) -> None:
    tensors = shapes_of(read_header(model_files.path("lora/sdxl_kohya"))) | shapes_of(
        read_header(model_files.path("lora/flux_kohya"))
    )

    verdict = judge(identify(made_header(tensors)), declared("lora sdxl"))

    assert verdict.kind == "unknown"
    assert "flux1, sdxl" in verdict.message


def test_a_file_that_nothing_recognises_is_unknown() -> None:
    verdict = judge(identify(made_header({"weight": (2, 2)})), declared("checkpoint sd1x base"))

    assert verdict.kind == "unknown"
    assert verdict.architectures == ()
    assert verdict.message == (
        "This is a file that nothing here recognises, declared as sd1x base checkpoint. "
        "Its tensors do not tell what it is for."
    )


def test_the_message_says_what_it_is_by_which_tensors_and_what_to_declare(model_files: ModelFiles) -> None:
    verdict = judge(found_in(model_files, "checkpoint/flux_dev_bfl"), declared("checkpoint sdxl base"))

    assert verdict.message == (
        "This is a checkpoint of Flux.1 (base, with guidance), declared as sdxl base checkpoint. "
        "It is not of the architecture sdxl. "
        "Deciding tensors: img_in.weight [3072, 64]; txt_in.weight [3072, 4096]; "
        "vector_in.in_layer.weight [3072, 768]; guidance_in.in_layer.weight [3072, 256]. "
        "Declare it as checkpoint, architecture one of flux1d, fluxkontextdev, type base."
    )


@pytest.mark.parametrize("further", [("sd2x",), ("sd2x", "noobai")])
def test_architectures_of_the_operator_pass_unverified(model_files: ModelFiles, further: tuple[str, ...]) -> None:
    sd2, refused = found_in(model_files, "checkpoint/sd21_full"), declared("checkpoint sd2x base")

    assert judge(sd2, refused, further=further).kind == "match_unverified"
    assert judge(sd2, refused).kind == "unsupported"
    assert judge(found_in(model_files, "checkpoint/sdxl_full"), refused).kind == "mismatch"
    assert judge(found_in(model_files, "lora/sdxl_kohya"), refused, further=further).kind == "mismatch"
    assert judge(identify(made_header({"weight": (2, 2)})), refused, further=further).kind == "match_unverified"


def test_naming_a_known_architecture_loosens_nothing(model_files: ModelFiles) -> None:
    found = found_in(model_files, "checkpoint/sdxl_full")

    assert judge(found, declared("checkpoint sd1x base"), further=("sd1x",)).kind == "mismatch"


def test_an_incomplete_file_of_an_operators_architecture_is_refused(model_files: ModelFiles) -> None:
    tensors = shapes_of(read_header(model_files.path("checkpoint/sd21_full", "head")))
    cut = {name: shape for name, shape in tensors.items() if ".output_blocks.7." not in name}

    assert judge(identify(made_header(cut)), declared("checkpoint sd2x base"), further=("sd2x",)).kind == "incomplete"


def test_types_and_conditionings_of_other_categories_are_not_asked_for(model_files: ModelFiles) -> None:
    lora = found_in(model_files, "lora/sdxl_kohya")
    odd = Declaration(category=Category.LORA, architecture="sdxl", type="inpainting", conditioning="canny")

    assert judge(lora, odd).kind == "match"


def test_every_declaration_of_every_file_has_a_verdict(model_files: ModelFiles) -> None:
    kinds = {"match", "match_unverified", "mismatch", "incomplete", "unsupported", "unknown"}
    seen = set()
    for case in CASES_OF_EVERY_KIND:
        found = found_in(model_files, case)
        for category, architecture in product(CATEGORIES, (*ARCHITECTURES, None, "sd2x")):
            for kind, conditioning in extras(category):
                said = Declaration(
                    category=Category(category), architecture=architecture, type=kind, conditioning=conditioning
                )
                verdict = judge(found, said, further=("sd2x",))
                seen.add(verdict.kind)
                assert verdict.kind in kinds
                assert verdict.message
                assert bool(verdict.warnings) == (verdict.kind == "match_unverified")
                assert not (verdict.fits and verdict.problems)

    assert seen == {"match", "match_unverified", "mismatch", "unsupported"}


CASES_OF_EVERY_KIND = (
    *("checkpoint/sdxl_full", "checkpoint/sd21_full", "checkpoint/flux_dev_bfl", "checkpoint/sdxl_refiner"),
    *("lora/flux_kohya", "lycoris/sd15_loha", "vae/sd_4ch_ldm", "embeddings/sdxl_clip_lg"),
    *("controlnet/sd15_ldm", "controlnet/qwen_instantx"),
)


def extras(category: str) -> Iterator[tuple[str | None, str | None]]:
    if category == "controlnet":
        return product((None,), (None, *model_cards.CONDITIONINGS))
    return product((None, *TYPES.get(category, ())), (None,))


@pytest.mark.parametrize(
    "case",
    ["checkpoint/sdxl_full", "lora/flux_kohya", "controlnet/flux_xlabs", "vae/qwen_3d", "embeddings/sdxl_clip_lg"],
)
@pytest.mark.parametrize("seed", range(3))
def test_neither_order_nor_a_strange_tensor_changes_what_it_is(model_files: ModelFiles, case: str, seed: int) -> None:
    header = read_header(model_files.path(case, "head"))
    tensors = list(shapes_of(header).items())
    random.Random(seed).shuffle(tensors)  # noqa: S311 - any order will do
    strange: dict[str, tuple[int, ...]] = {} if case.startswith("embeddings") else {"__note__": (3,)}

    shuffled = identify(made_header(dict(tensors) | strange, header.metadata))
    straight = identify(header)

    assert replace(shuffled, evidence=(), tensors=0) == replace(straight, evidence=(), tensors=0)
    assert len(shuffled.evidence) == len(straight.evidence)


def test_no_metadata_turn_a_refusal_into_a_match(model_files: ModelFiles) -> None:
    words = ("sd1x", "sdxl", "flux1d", "flux1s", "sd3", "qwen_image", "hidreamfull")
    told = [
        *({"modelspec.architecture": name} for name in metadata.SPECS),
        *({"ss_base_model_version": name, "modelspec.title": "pony turbo"} for name in metadata.BASES),
    ]
    for case, architecture in product(("checkpoint/sdxl_full", "lora/flux_kohya", "controlnet/sd15_ldm"), words):
        header = read_header(model_files.path(case, "head"))
        bare = judge(identify(replace(header, metadata={})), declared_as(identify(header), architecture))
        for metadata_of in told:
            found = identify(replace(header, metadata=metadata_of))
            assert judge(found, declared_as(found, architecture)).kind == bare.kind


def test_what_the_file_tells_is_proposed_and_the_rest_is_asked_for(model_files: ModelFiles) -> None:
    turbo = propose(found_in(model_files, "checkpoint/sdxl_turbo_full"))
    hidream = propose(found_in(model_files, "checkpoint/hidream"))
    guide = propose(found_in(model_files, "controlnet/sd15_ldm"))
    negative = propose(found_in(model_files, "embeddings/sd15_emb_params"))
    token = propose(found_in(model_files, "embeddings/sd15_diffusers_token"))

    assert (turbo.category, turbo.architectures[0], turbo.type, turbo.ask) == ("checkpoint", "sdxlturbo", "base", ())
    assert hidream.architectures == ("hidreamfull", "hidreamdev")
    assert hidream.ask == ("architecture", "name")
    assert (guide.conditioning, guide.ask) == ("canny", ())
    assert (negative.type, "type" in negative.ask) == ("negative", False)
    assert (token.type, token.ask) == ("positive", ("type", "name"))


def test_an_adapter_is_proposed_for_its_family_without_asking(model_files: ModelFiles) -> None:
    proposal = propose(found_in(model_files, "lora/flux_kohya"))

    assert proposal.architectures == ("flux1d", "fluxkontextdev", "flux1s")
    assert proposal.ask == ()


def test_a_file_that_can_be_declared_as_nothing_is_not_proposed(model_files: ModelFiles) -> None:
    refused = propose(found_in(model_files, "checkpoint/sd21_full")).refused

    assert refused is not None
    assert refused.startswith("This is a checkpoint of Stable Diffusion 2")
    assert propose(Found(suggestions=Suggestions(title="x"))).refused is not None


def test_the_words_are_those_of_the_domain() -> None:
    told = {*metadata.CONDITIONINGS.values(), *controlnets.LINES, *controlnets.MASKED, *controlnets.STABILITY}

    assert set(MEANINGS) == set(VerdictKind)
    assert set(CATEGORIES) == set(Category)
    assert set(ARCHITECTURES) == set(model_cards.ARCHITECTURES)
    assert {Category(name): types for name, types in TYPES.items()} == model_cards.TYPES
    assert told <= set(model_cards.CONDITIONINGS)


def test_every_family_that_can_be_found_has_a_name(model_files: ModelFiles) -> None:
    named = {*transformers.OTHERS.values(), *transformers.STEMS.values(), *others.STARTS.values()}
    named |= {*modules.CONTEXTS.values(), *vaes.FAMILIES.values(), *(unet.family for unet in skeletons.UNETS)}
    named |= {case["family"] for case in model_files.cases.values()}

    assert named <= set(LABELS)


def test_an_adapter_whose_metadata_name_a_relative_passes_with_a_warning(model_files: ModelFiles) -> None:
    header = read_header(model_files.path("lora/flux_kohya"))
    found = identify(replace(header, metadata={"ss_base_model_version": "chroma"}))

    verdict = judge(found, declared("lora flux1d"))

    assert verdict.kind is VerdictKind.MATCH_UNVERIFIED
    assert "Chroma" in verdict.warnings[0]
