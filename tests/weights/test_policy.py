from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.weights.policy import Options, is_quantised, treatments
from tests.weights.rewriting import Subject, file_of, header_of, in_one_pass, rewritten

if TYPE_CHECKING:
    from collections.abc import Mapping

DENOISER = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight"


def decided(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    *,
    category: str | None = "checkpoint",
    family: str | None = "sdxl",
    options: Options | None = None,
    metadata: dict[str, str] | None = None,
) -> dict[str, str]:
    """The type of each tensor, or `dropped`; by its new name."""
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "U8": 1, "I64": 8}
    content = file_of(
        {name: (dtype, shape, bytes(sizes[dtype] * _count(shape))) for name, (dtype, shape) in tensors.items()},
        metadata,
    )
    found = treatments(header_of(content), category=category, family=family, options=options or Options())
    return {treatment.name: "dropped" if treatment.dropped else treatment.dtype for treatment in found}


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


@pytest.mark.parametrize(
    ("category", "family", "dtype"),
    [
        ("checkpoint", "sd1", "F16"),
        ("checkpoint", "sdxl_pruned", "F16"),
        ("controlnet", "sdxl", "F16"),
        ("checkpoint", "flux1", "BF16"),
        ("checkpoint", "sd3", "BF16"),
        ("checkpoint", "hidream", "BF16"),
        ("checkpoint", "qwen", "BF16"),
        ("checkpoint", None, "F32"),
        ("checkpoint", "something new", "F32"),
        ("lora", "flux1", "F32"),
        ("lycoris", "sdxl", "F32"),
        ("vae", "vae4", "F32"),
        ("embeddings", "sd1", "F32"),
        (None, "sdxl", "F32"),
    ],
)
def test_numbers_are_narrowed_by_family_and_only_in_networks(
    category: str | None, family: str | None, dtype: str
) -> None:
    assert decided({"w": ("F32", (8, 8))}, category=category, family=family) == {"w": dtype}


@pytest.mark.parametrize(
    "name",
    [
        "first_stage_model.decoder.conv_in.weight",
        "vae.decoder.conv_in.weight",
        "lora_unet_x.alpha",
        "cond_stage_model.model.logit_scale",
        "betas",
        "alphas_cumprod_prev",
        "sqrt_one_minus_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_mean_coef1",
        "edm_vpred.sigma_max",
        "edm_mean",
    ],
)
def test_what_must_stay_exact_does(name: str) -> None:
    assert decided({name: ("F32", (1000,)), DENOISER: ("F32", (4, 4))}) == {name: "F32", DENOISER: "F16"}


def test_what_only_sounds_like_it_is_narrowed() -> None:
    names = ["alphabet.weight", "model.betas_net.weight", "my_vae.weight", "scaled_fp8_not"]

    assert decided(dict.fromkeys(names, ("F32", (4, 4)))) == dict.fromkeys(names, "F16")


def test_sixteen_bits_and_whole_numbers_stay_what_they_are() -> None:
    tensors = {"a": ("F16", (9,)), "b": ("BF16", (9,)), "c": ("I64", (9,)), "d": ("F64", (9,))}

    assert decided(tensors, family="flux1") == {"a": "F16", "b": "BF16", "c": "I64", "d": "BF16"}


@pytest.mark.parametrize(
    ("name", "dtype", "metadata"),
    [
        ("blocks.0.weight", "F8_E4M3", {}),
        ("scaled_fp8", "F32", {}),
        ("blocks.0.scale_weight", "F32", {}),
        ("blocks.0.weight_scale_2", "F32", {}),
        ("blocks.0.comfy_quant", "U8", {}),
        ("blocks.0.weight.absmax", "F32", {}),
        ("blocks.0.weight.quant_state.bitsandbytes__nf4", "U8", {}),
        ("ordinary", "F32", {"_quantization_metadata": "{}"}),
    ],
)
def test_a_quantised_file_is_laid_out_anew_and_nothing_else(name: str, dtype: str, metadata: dict[str, str]) -> None:
    tensors = {name: (dtype, (4, 4)), "norm": ("F32", (4, 4))}

    assert decided(tensors, family="flux1", metadata=metadata) == {name: dtype, "norm": "F32"}
    assert decided(tensors, options=Options(narrow="F16"), metadata=metadata) == {name: dtype, "norm": "F32"}


def test_an_ordinary_file_is_not_quantised() -> None:
    content = file_of({DENOISER: ("F32", (1,), bytes(4)), "position_ids": ("I64", (1,), bytes(8))})

    assert not is_quantised(header_of(content))


def test_leftovers_of_training_are_dropped_and_what_sounds_like_them_is_not() -> None:
    leftovers = [
        "model_ema.decay",
        "model_ema.x",
        "optimizer.state.0",
        "optimizer_states.0",
        "lr_schedulers.0",
        "loops.a",
        "callbacks.b",
    ]
    others = ["model.optimizer_net", "loopsided", "global_step", "model_emanuel"]

    found = decided(dict.fromkeys(leftovers + others, ("F32", (4, 4))))

    assert [name for name, dtype in found.items() if dtype == "dropped"] == leftovers


def test_averages_are_kept_or_put_in_the_place_of_the_weights_if_asked() -> None:
    average = "model_ema." + DENOISER.removeprefix("model.").replace(".", "")
    tensors = {
        DENOISER: ("F32", (2, 2), b"old!" * 4),
        average: ("F32", (2, 2), b"avg!" * 4),
        "model_ema.decay": ("F32", (), bytes(4)),
    }
    content = file_of(tensors)

    promoted, kept = (
        rewritten(Subject(content=content, category="vae", options=Options(ema=choice)))
        for choice in ("promote", "keep")
    )

    assert {tensor.name for tensor in header_of(promoted).tensors} == {DENOISER}
    assert promoted.endswith(b"avg!" * 4)
    assert in_one_pass(Subject(content=content, category="vae", options=Options(ema="promote"))) == promoted
    assert header_of(kept).by_name.keys() == tensors.keys()


def test_a_file_of_leftovers_alone_keeps_them() -> None:
    assert decided({"optimizer.a": ("F32", (4, 4))}) == {"optimizer.a": "F32"}


def test_options_choose_the_type_or_none() -> None:
    tensors = {"w": ("F32", (4, 4)), "vae.w": ("F32", (4, 4))}

    assert decided(tensors, options=Options(narrow="off")) == {"w": "F32", "vae.w": "F32"}
    assert decided(tensors, family=None, options=Options(narrow="BF16")) == {"w": "BF16", "vae.w": "F32"}
    assert decided(tensors, options=Options(vae="BF16")) == {"w": "F16", "vae.w": "BF16"}


def test_notes_of_training_stay_unless_they_are_to_be_dropped() -> None:
    notes = {"ss_tag_frequency": "private", "sshs_model_hash": "x", "modelspec.title": "A", "format": "pt"}
    content = file_of({"w": ("BF16", (4,), bytes(8))}, notes)

    kept, dropped = (
        header_of(rewritten(Subject(content=content, options=Options(training_notes=choice)))).metadata
        for choice in ("keep", "drop")
    )

    assert kept.keys() - dropped.keys() == {"ss_tag_frequency", "sshs_model_hash"}
    assert dropped["modelspec.title"] == "A"
    assert dropped["penstock.converter"] == "1"
    assert "training_notes=drop" in dropped["penstock.options"]
