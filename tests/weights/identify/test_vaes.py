from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.weights.identify import identify
from tests.support.headers import made_header, read_header, shapes_of

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles


def shapes(model_files: ModelFiles, case: str) -> dict[str, tuple[int, ...]]:
    return shapes_of(read_header(model_files.path(f"vae/{case}", "head")))


@pytest.mark.parametrize(
    ("family", "first"),
    [
        ("vae4", (512, 4, 3, 3)),
        ("vae16", (512, 16, 3, 3)),
        ("vae_other", (512, 32, 3, 3)),
        ("vae_other", (512, 64, 3, 3)),
        ("vae_other", (512, 4, 3, 3, 3)),
    ],
)
def test_latent_channels_tell_the_family(model_files: ModelFiles, family: str, first: tuple[int, ...]) -> None:
    tensors = shapes(model_files, "sd_4ch_ldm")

    assert identify(made_header(tensors | {"decoder.conv_in.weight": first})).family == family


@pytest.mark.parametrize(
    ("family", "marker"),
    [
        ("vae_flux2", "bn.running_mean"),
        ("vae_svd", "decoder.time_conv_out.weight"),
        ("vae_svd", "decoder.mid.block_1.time_stack.in_layers.0.weight"),
    ],
)
def test_one_tensor_makes_it_another_vae(model_files: ModelFiles, family: str, marker: str) -> None:
    assert identify(made_header(shapes(model_files, "sd_4ch_ldm") | {marker: (32,)})).family == family


def test_a_wan_vae_of_48_channels_is_the_newer_one(model_files: ModelFiles) -> None:
    tensors = shapes(model_files, "qwen_3d")

    assert identify(made_header(tensors | {"decoder.conv1.weight": (1024, 48, 3, 3, 3)})).family == "vae_wan22"


@pytest.mark.parametrize(
    ("case", "lost"),
    [
        ("sd_4ch_ldm", "encoder."),
        ("sd_4ch_ldm", "decoder.up.1."),
        ("sdxl_4ch_diffusers", "decoder.conv_out."),
        ("qwen_3d", "decoder.head."),
        ("qwen_3d", "encoder.downsamples.4."),
    ],
)
def test_a_vae_that_lacks_a_part_is_incomplete(model_files: ModelFiles, case: str, lost: str) -> None:
    tensors = {name: shape for name, shape in shapes(model_files, case).items() if not name.startswith(lost)}

    found = identify(made_header(tensors))

    assert found.category == "vae"
    assert found.missing


def test_a_text_encoder_with_a_vae_is_no_vae(model_files: ModelFiles) -> None:
    whole = shapes_of(read_header(model_files.path("checkpoint/sdxl_full", "head")))
    rest = {name: shape for name, shape in whole.items() if not name.startswith("model.")}

    assert identify(made_header(rest)).category is None


def test_a_decoder_of_previews_is_named() -> None:
    tensors: dict[str, tuple[int, ...]] = {f"taesd_decoder.{layer}.weight": (64, 64, 3, 3) for layer in (1, 3)}

    assert identify(made_header(tensors)).family == "taesd"


def test_a_causal_vae_of_films_is_of_another_family() -> None:
    assert identify(made_header({"decoder.conv_in.conv.weight": (512, 16, 3, 3, 3)})).family == "vae_other"
