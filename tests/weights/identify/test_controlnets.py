from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.weights.identify import identify
from tests.support.headers import made_header, read_header, shapes_of

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles


def shapes(model_files: ModelFiles, case: str) -> dict[str, tuple[int, ...]]:
    return shapes_of(read_header(model_files.path(f"controlnet/{case}", "head")))


def test_a_control_network_with_all_of_flux_inside_is_no_checkpoint(model_files: ModelFiles) -> None:
    flux = shapes_of(read_header(model_files.path("checkpoint/flux_dev_bfl", "head")))

    found = identify(made_header(flux | {"controlnet_blocks.0.weight": (3072, 3072)}))

    assert (found.category, found.family, found.layout) == ("controlnet", "flux1", "xlabs")
    assert found.facts["guidance"] is True


def test_a_control_network_beside_its_checkpoint_is_a_control_network(model_files: ModelFiles) -> None:
    both = shapes_of(read_header(model_files.path("checkpoint/sd15_full", "head"))) | shapes(model_files, "sd15_ldm")

    assert identify(made_header(both)).category == "controlnet"


@pytest.mark.parametrize(
    ("case", "entry", "width"),
    [
        ("flux_instantx", "controlnet_x_embedder.weight", 68),
        ("qwen_instantx", "controlnet_x_embedder.weight", 68),
        ("sd3_diffusers", "pos_embed_input.proj.weight", 17),
    ],
)
def test_a_mask_among_the_inputs_means_inpainting(model_files: ModelFiles, case: str, entry: str, width: int) -> None:
    tensors = shapes(model_files, case)
    first, _, *rest = tensors[entry]

    found = identify(made_header(tensors | {entry: (first, width, *rest)}))

    assert found.facts["mask"] is True
    assert found.conditioning == ("inpaint", "inpaintdepth")
    assert identify(made_header(tensors)).conditioning == ()


def test_unions_serve_every_conditioning(model_files: ModelFiles) -> None:
    sdxl = identify(read_header(model_files.path("controlnet/sdxl_union_diffusers", "head")))
    flux = identify(read_header(model_files.path("controlnet/flux_instantx_union", "head")))

    assert sdxl.facts["union"] is True
    assert flux.facts["modes"] == 10


@pytest.mark.parametrize(
    ("channels", "family", "hint"),
    [(64, "sd1", 1), (192, "sd1", 3), (256, "sdxl", 1), (768, "sdxl", 3), (12, "controlnet_other", 0)],
)
@pytest.mark.parametrize("names", ["{}body.0.block1.weight", "adapter.{}body.0.resnets.0.block1.weight"])
def test_the_first_convolution_of_a_t2i_adapter_tells_its_family(
    channels: int, family: str, hint: int, names: str
) -> None:
    prefix = names.partition("{")[0]
    body = names.format("").removeprefix(prefix)
    tensors = {prefix + "conv_in.weight": (320, channels, 3, 3)} | {
        prefix + body.replace("body.0", f"body.{block}"): (320, 320, 3, 3) for block in range(8)
    }

    found = identify(made_header(tensors))

    assert (found.category, found.family, found.facts["hint_channels"]) == ("controlnet", family, hint)


@pytest.mark.parametrize(
    ("case", "lost"),
    [
        ("sd15_ldm", "control_model.zero_convs.5."),
        ("sd15_ldm", "control_model.middle_block_out."),
        ("sdxl_diffusers", "controlnet_down_blocks.3."),
        ("sdxl_diffusers", "controlnet_mid_block."),
        ("flux_instantx", "controlnet_blocks.1."),
        ("qwen_instantx", "controlnet_blocks.0."),
        ("sdxl_t2i_adapter", "body.2."),
    ],
)
def test_a_control_network_that_lacks_an_output_is_incomplete(model_files: ModelFiles, case: str, lost: str) -> None:
    tensors = {name: shape for name, shape in shapes(model_files, case).items() if not name.startswith(lost)}

    found = identify(made_header(tensors))

    assert found.category == "controlnet"
    assert found.missing


def test_a_control_network_of_kolors_is_none_of_sdxl(model_files: ModelFiles) -> None:
    tensors = shapes(model_files, "sdxl_diffusers")

    found = identify(made_header(tensors | {"add_embedding.linear_1.weight": (1280, 5632)}))

    assert found.family == "controlnet_other"


def test_a_difference_from_a_base_model_is_named_as_such(model_files: ModelFiles) -> None:
    found = identify(made_header(shapes(model_files, "sd15_ldm") | {"control_model.difference": ()}))

    assert found.family == "controlnet_difference"


def test_mixed_widths_contradict_each_other(model_files: ModelFiles) -> None:
    key = "down_blocks.1.attentions.1.transformer_blocks.0.attn2.to_k.weight"

    found = identify(made_header(shapes(model_files, "sdxl_diffusers") | {key: (640, 768)}))

    assert found.contradiction is not None


def test_the_marker_of_control_lora_goes_before_its_factors() -> None:
    tensors: dict[str, tuple[int, ...]] = {}
    for block in range(4):
        layer = f"input_blocks.4.1.transformer_blocks.{block}.attn2.to_k"
        tensors |= {f"{layer}.lora_down.weight": (128, 2048), f"{layer}.lora_up.weight": (640, 128)}

    found = identify(made_header(tensors | {"lora_controlnet": (0,), "label_emb.0.0.weight": (1280, 2816)}))

    assert (found.category, found.family, found.layout) == ("controlnet", "sdxl", "control-lora")
