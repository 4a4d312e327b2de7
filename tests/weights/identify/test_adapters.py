from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.weights.identify import identify
from tests.support.headers import made_header, read_header, shapes_of

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles

Shapes = dict[str, tuple[int, ...]]


def kohya(module: str, inputs: int, outputs: int, rank: int = 4) -> Shapes:
    return {
        f"{module}.lora_down.weight": (rank, inputs),
        f"{module}.lora_up.weight": (outputs, rank),
        f"{module}.alpha": (),
    }


def peft(module: str, inputs: int, outputs: int, rank: int = 4, name: str = "") -> Shapes:
    return {f"{module}.lora_A{name}.weight": (rank, inputs), f"{module}.lora_B{name}.weight": (outputs, rank)}


TO_K = "down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"


@pytest.mark.parametrize(
    ("family", "tensors"),
    [
        # UNets: the width of the texts, or what only one of them has
        ("sd1", kohya(f"lora_unet_{TO_K}", 768, 640)),
        ("sd2", kohya(f"lora_unet_{TO_K}", 1024, 640)),
        ("sdxl", kohya(f"lora_unet_{TO_K}", 2048, 640)),
        ("sdxl", kohya("lora_unet_input_blocks_7_1_transformer_blocks_9_ff_net_2", 5120, 1280)),
        ("sdxl", kohya("lora_unet_down_blocks_2_attentions_0_transformer_blocks_3_attn1_to_q", 1280, 1280)),
        ("sdxl", kohya("lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q", 640, 640)),
        ("sd1", kohya("lora_unet_up_blocks_2_attentions_0_transformer_blocks_0_attn1_to_q", 640, 640)),
        (None, kohya("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q", 1280, 1280)),
        ("sdxl", kohya("lora_te1_text_model_encoder_mlp_fc1", 768, 3072) | kohya("lora_te2_x_fc1", 1280, 5120)),
        ("sd1", kohya("lora_te_text_model_encoder_layers_0_mlp_fc1", 768, 3072)),
        ("sd2", kohya("lora_te_text_model_encoder_layers_0_mlp_fc1", 1024, 4096)),
        ("sd1", kohya("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320, 320)),
        ("sdxl", peft("base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 2048, 640)),
        ("sdxl", peft("unet.base_model.model.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k", 2048, 640)),
        ("animatediff", peft("down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q", 320, 320)),
        # transformers
        ("flux1", kohya("lora_unet_double_blocks_0_img_attn_qkv", 3072, 9216)),
        ("flux1", kohya("lora_unet_single_blocks_0_linear1", 3072, 21504)),
        ("flux1", peft("transformer.single_transformer_blocks.0.attn.to_q", 3072, 3072)),
        ("flux1", peft("transformer.transformer_blocks.0.ff.net.0.proj", 3072, 12288)),
        ("flux2", kohya("lora_unet_double_blocks_0_img_attn_qkv", 6144, 18432)),
        ("flux2", kohya("lora_unet_double_blocks_0_img_mlp_0", 3072, 18432)),
        ("flux2", peft("transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj", 6144, 55296)),
        ("flux_like", kohya("lora_unet_double_blocks_19_img_attn_qkv", 3072, 9216)),
        ("flux_like", kohya("lora_unet_double_blocks_0_img_mlp_fc1", 3072, 12288)),
        ("qwen", peft("transformer_blocks.0.img_mlp.net.2", 12288, 3072)),
        ("qwen", peft("transformer.transformer_blocks.40.attn.to_q", 3072, 3072)),
        ("qwen", kohya("lora_unet_transformer_blocks_0_txt_mod_1", 3072, 18432)),
        ("flux1_or_qwen", peft("transformer.transformer_blocks.3.attn.to_q", 3072, 3072)),
        ("qwen_image_2", peft("transformer_blocks.0.img_mlp.gate_layer", 3072, 12288)),
        ("flux2", peft("transformer.transformer_blocks.0.ff.linear_in", 6144, 36864)),
        ("sd3", peft("transformer.transformer_blocks.3.attn.to_q", 2432, 2432)),
        ("sd3", kohya("lora_unet_joint_blocks_0_x_block_attn_qkv", 1536, 4608)),
        ("hidream", peft("diffusion_model.double_stream_blocks.0.block.attn1.to_q", 2560, 2560)),
        ("other_transformer", peft("transformer.transformer_blocks.0.attn1.to_q", 1152, 1152)),
        ("wan", peft("diffusion_model.blocks.0.self_attn.q", 5120, 5120)),
        ("lumina2", peft("diffusion_model.layers.0.attention.qkv", 3840, 11520)),
        ("aura_flow", peft("diffusion_model.joint_transformer_blocks.0.attn.to_q", 3072, 3072)),
    ],
)  # fmt: skip
def test_an_adapter_belongs_to_the_family_of_its_layers(family: str | None, tensors: Shapes) -> None:
    found = identify(made_header(tensors))

    assert (found.category, found.family, found.missing, found.contradiction) == ("lora", family, (), None)
    assert bool(found.evidence) == (family is not None)


SECOND = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2"


@pytest.mark.parametrize(
    ("down", "up"),
    [
        (f"{SECOND}.processor.to_k_lora.down.weight", f"{SECOND}.processor.to_k_lora.up.weight"),
        (f"{SECOND}.to_k.lora_linear_layer.down.weight", f"{SECOND}.to_k.lora_linear_layer.up.weight"),
        (f"{SECOND}.to_k.lora.down.weight", f"{SECOND}.to_k.lora.up.weight"),
        (f"{SECOND}.to_k.lora_down.weight", f"{SECOND}.to_k.lora_up.weight"),
        (f"{SECOND}.to_k.lora_A.weight", f"{SECOND}.to_k.lora_B.weight"),
        (f"{SECOND}.to_k.lora_A.default.weight", f"{SECOND}.to_k.lora_B.default.weight"),
        (f"{SECOND}.to_k.lora_A.my-style.weight", f"{SECOND}.to_k.lora_B.my-style.weight"),
        (f"lora_unet_{TO_K}.lora_down.weight", f"lora_unet_{TO_K}.lora_up.weight"),
        (f"lycoris_{TO_K}.lora_down.weight", f"lycoris_{TO_K}.lora_up.weight"),
        (f"diffusion_model.{TO_K}.lora_down.weight", f"diffusion_model.{TO_K}.lora_up.weight"),
    ],
)
def test_trainers_spell_the_same_factors_in_many_ways(down: str, up: str) -> None:
    found = identify(made_header({down: (4, 768), up: (640, 4)}))

    assert (found.category, found.family, found.algorithm, found.missing) == ("lora", "sd1", "lora", ())


@pytest.mark.parametrize(
    ("algorithm", "category", "tensors"),
    [
        ("lora", "lora", kohya(f"lora_unet_{TO_K}", 2048, 640)),
        (
            "lora",
            "lora",
            {"lora_unet_x.lora_down.weight": (4, 640, 1, 1), "lora_unet_x.lora_up.weight": (640, 4, 1, 1)},
        ),
        (
            "locon",
            "lora",
            {"lora_unet_x.lora_down.weight": (4, 640, 3, 3), "lora_unet_x.lora_up.weight": (640, 4, 1, 1)},
        ),
        (
            "loha",
            "lycoris",
            dict.fromkeys([f"lora_unet_x.hada_{w}_{side}" for w in ("w1", "w2") for side in "ab"], (4, 4)),
        ),
        ("lokr", "lycoris", {f"lora_unet_{TO_K}.lokr_w1": (8, 8), f"lora_unet_{TO_K}.lokr_w2": (80, 256)}),
        ("oft", "lycoris", {f"lora_unet_{TO_K}.oft_blocks": (40, 16, 16)}),
        ("boft", "lycoris", {f"lora_unet_{TO_K}.oft_blocks": (3, 40, 16, 16)}),
        ("ia3", "lycoris", {"lora_unet_x.on_input": (), "lora_unet_x.weight": (640, 1), "lora_unet_y.on_input": ()}),
        ("full", "lycoris", {f"lora_unet_{TO_K}.diff": (640, 2048)}),
        ("norm", "lycoris", {"lora_unet_mid_block_norm.w_norm": (640,), "lora_unet_mid_block_norm.b_norm": (640,)}),
        (
            "lora",
            "lora",
            kohya("lora_unet_x", 2048, 640) | {"lora_unet_x.diff_b": (640,), "lora_unet_norm.diff": (640,)},
        ),
    ],
)
def test_the_names_of_the_factors_tell_the_algorithm(algorithm: str, category: str, tensors: Shapes) -> None:
    found = identify(made_header(tensors))

    assert (found.category, found.algorithm, found.missing) == (category, algorithm, ())


def test_the_factors_of_loha_and_lokr_tell_the_width_of_the_texts() -> None:
    key = f"lora_unet_{TO_K}"
    loha = {f"{key}.hada_{w}_{side}": (4, 768) if side == "b" else (640, 4) for w in ("w1", "w2") for side in "ab"}
    lokr = {f"{key}.lokr_w1": (8, 8), f"{key}.lokr_w2_a": (80, 4), f"{key}.lokr_w2_b": (4, 96)}

    assert identify(made_header(loha)).family == "sd1"
    assert identify(made_header(lokr)).family == "sd1"


@pytest.mark.parametrize("lost", ["lora_up.weight", "lora_down.weight"])
def test_a_factor_without_its_counterpart_is_missing_something(model_files: ModelFiles, lost: str) -> None:
    tensors = shapes_of(read_header(model_files.path("lora/sdxl_kohya")))
    orphan = next(name for name in tensors if name.endswith(lost))
    del tensors[orphan]

    found = identify(made_header(tensors))

    assert found.family == "sdxl"
    assert [line.partition(":")[0] for line in found.missing] == [orphan.removesuffix(f".{lost}")]


def test_factors_of_different_rank_do_not_fit() -> None:
    key = f"lora_unet_{TO_K}"

    found = identify(made_header({f"{key}.lora_down.weight": (8, 2048), f"{key}.lora_up.weight": (640, 4)}))

    assert found.missing == (f"{key}: ranks differ",)


@pytest.mark.parametrize(
    "tensors",
    [
        kohya(f"lora_unet_{TO_K}", 2048, 640) | kohya("lora_unet_mid_block_attentions_0_attn2_to_v", 768, 640),
        kohya(f"lora_unet_{TO_K}", 768, 640) | kohya("lora_te2_text_model_encoder_layers_0_mlp_fc1", 1280, 5120),
        kohya(f"lora_unet_{TO_K}", 2048, 640) | kohya("lora_unet_double_blocks_0_img_attn_qkv", 3072, 9216),
        peft("transformer.single_transformer_blocks.0.attn.to_q", 3072, 3072)
        | peft("transformer.transformer_blocks.0.img_mlp.net.2", 12288, 3072),
    ],
)
def test_an_adapter_of_two_base_models_contradicts_itself(tensors: Shapes) -> None:
    found = identify(made_header(tensors))

    assert (found.category, found.family) == ("lora", None)
    assert found.contradiction is not None


def test_an_adapter_that_patches_the_guidance_says_so() -> None:
    tensors = kohya("lora_unet_double_blocks_0_img_attn_qkv", 3072, 9216)

    found = identify(made_header(tensors | kohya("lora_unet_guidance_in_in_layer", 256, 3072)))

    assert found.facts["guidance"] is True


def test_a_control_lora_of_flux_takes_a_second_picture(model_files: ModelFiles) -> None:
    found = identify(read_header(model_files.path("lora/flux_control_bfl")))

    assert found.facts["control"] is True
    assert found.conditioning == ("canny", "depth")


def test_dora_is_a_fact_beside_the_algorithm(model_files: ModelFiles) -> None:
    found = identify(read_header(model_files.path("lora/sdxl_dora_kohya")))

    assert (found.algorithm, found.facts["dora"], found.facts["rank"]) == ("lora", True, 4)


def test_embeddings_in_an_adapter_ride_along() -> None:
    tensors = kohya(f"lora_unet_{TO_K}", 2048, 640)
    bundle: Shapes = {f"bundle_emb.word{n}.clip_l": (2, 768) for n in range(8)}

    found = identify(made_header(tensors | bundle))

    assert (found.category, found.facts["bundled"]) == ("lora", ("embeddings",))


@pytest.mark.parametrize(
    ("family", "telling"),
    [
        ("chroma", "diffusion_model.distilled_guidance_layer.in_proj"),
        ("flux2", "diffusion_model.double_stream_modulation_img.lin"),
        ("hunyuan_video", "diffusion_model.txt_in.individual_token_refiner.blocks.0.mlp.0"),
    ],
)
def test_one_layer_outside_of_blocks_tells_a_relative_of_flux(family: str, telling: str) -> None:
    blocks = peft("diffusion_model.double_blocks.0.img_attn.qkv", 3072, 9216)

    assert identify(made_header(blocks)).family == "flux1"
    assert identify(made_header(blocks | peft("diffusion_model.txt_in", 4096, 3072))).family == "flux1"
    assert identify(made_header(blocks | peft("diffusion_model.txt_in", 7680, 3072))).family == "flux2"
    assert identify(made_header(blocks | peft(telling, 3072, 3072))).family == family


@pytest.mark.parametrize(
    ("family", "layer", "inputs"),
    [
        # SimpleTuner with PEFT inside (ComfyUI issue 4347)
        ("flux1", "transformer.base_model.model.transformer_blocks.12.ff.net.0.proj", 3072),
        # OneTrainer with the names of the original code, which are split there (InvokeAI `flux_onetrainer_bfl_…`)
        ("flux1", "transformer.double_blocks.0.img_attn.qkv.0", 3072),
        ("flux2", "transformer.single_blocks.0.linear1.3", 6144),
        # the first factor of three in one layer (ComfyUI `lora.py`)
        ("flux1", "diffusion_model.single_blocks.0.linear1_qkv", 3072),
        # XLabs, in single blocks (diffusers `_convert_xlabs_flux_lora_to_diffusers`)
        ("flux1", "single_blocks.0.processor.qkv_lora", 3072),
        # kohya (InvokeAI `anima_lora_kohya_format.py`, `krea2_lora_kohya_format.py`)
        ("cosmos2", "lora_unet_blocks_0_cross_attn_k_proj", 2048),
        ("krea2", "lora_unet_blocks_0_attn_wk", 6144),
        # Qwen-Image-Lightning (InvokeAI `qwen_image_lora_conversion_utils.py`)
        ("qwen", "transformer_blocks.0.img_mlp.net.2", 12288),
    ],
)
def test_layouts_of_trainers_are_known(family: str, layer: str, inputs: int) -> None:
    tensors: Shapes = {
        f"{layer}.lora_down.weight": (4, inputs),
        f"{layer}.lora_up.weight": (3072, 4),
        f"{layer}.alpha": (),
    }

    found = identify(made_header(tensors))

    assert (found.category, found.family, found.missing) == ("lora", family, ())


def test_factors_without_a_word_for_weight_are_factors() -> None:
    layer = "transformer.transformer_blocks.0.ff.net.0.proj"

    found = identify(made_header({f"{layer}.lora_A": (4, 3072), f"{layer}.lora_B": (12288, 4)}))

    assert (found.family, found.missing) == ("flux1", ())


def test_factors_of_lokr_in_peft_carry_the_adapters_name() -> None:
    layer = "base_model.model.double_blocks.0.img_mlp.0"
    flux1: Shapes = {f"{layer}.lokr_w1.default": (8, 8), f"{layer}.lokr_w2.default": (1536, 384)}
    klein: Shapes = {f"{layer}.lokr_w1.default": (8, 8), f"{layer}.lokr_w2_a.default": (2304, 4)}

    whole = identify(made_header(flux1))
    halved = identify(made_header(klein | {f"{layer}.lokr_w2_b.default": (4, 384)}))

    assert (whole.algorithm, whole.family, whole.missing) == ("lokr", "flux1", ())
    assert (halved.algorithm, halved.family, halved.missing) == ("lokr", "flux2", ())


def test_names_that_somebody_wrote_are_shown_cut_and_printable() -> None:
    layer = "lora_unet_down_blocks_1_attn2_to_k" + "\x1b[31m" + "x" * 100_000
    found = identify(made_header({f"{layer}.lora_down.weight": (8, 2048), f"{layer}.lora_up.weight": (640, 4)}))

    for shown in (*found.missing, *(one.key for one in found.evidence)):
        assert len(shown) < 150
        assert shown.isprintable()
