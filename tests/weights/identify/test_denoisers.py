from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.weights.identify import identify, skeletons
from tests.support.headers import made_header, read_header, shapes_of

if TYPE_CHECKING:
    from tests.support.model_files import ModelFiles

PREFIX = "model.diffusion_model."
LDM = "checkpoint/sdxl_full"
DIFFUSERS = "checkpoint/sdxl_unet_diffusers"


def shapes(model_files: ModelFiles, case: str) -> dict[str, tuple[int, ...]]:
    return shapes_of(read_header(model_files.path(case, "head")))


def test_skeletons_have_as_many_tensors_as_the_models(model_files: ModelFiles) -> None:
    sd1, sd2, sdxl, refiner = skeletons.UNETS

    counts = [len(skeletons.ldm_unet(unet)) for unet in (sd1, sd2, sdxl, refiner)]

    assert counts == [686, 686, 1680, 1220]
    assert len(skeletons.diffusers_unet(sd1)) == 686
    assert len(skeletons.diffusers_unet(sdxl)) == 1680
    assert set(skeletons.diffusers_unet(sdxl)) == set(shapes(model_files, DIFFUSERS))
    assert len(skeletons.hidream()) == 1615 - (16 * 4 + 32 * 2)  # without the norms inside attention
    assert len(skeletons.qwen()) == 1933 - 60 * 4
    assert len(skeletons.bfl_flux()) == 780 - 4 - (19 * 4 + 38 * 2)  # … and without the guidance
    assert len(skeletons.diffusers_flux()) == 1160 - 4 - (19 * 4 + 38 * 2)
    assert len(skeletons.ldm_sd3(24)) == 491


def test_left_over_lora_pairs_do_not_make_a_checkpoint_an_adapter(model_files: ModelFiles) -> None:
    tensors = shapes(model_files, LDM)
    for layer in range(30):
        name = f"lora_unet_input_blocks_4_1_transformer_blocks_{layer}_attn2_to_k"
        tensors |= {f"{name}.lora_down.weight": (4, 2048), f"{name}.lora_up.weight": (640, 4), f"{name}.alpha": ()}

    found = identify(made_header(tensors))

    assert (found.category, found.family, found.missing) == ("checkpoint", "sdxl", ())


@pytest.mark.parametrize(
    ("case", "lost"),
    [
        (LDM, PREFIX + "input_blocks.4.1.transformer_blocks.0."),
        (LDM, PREFIX + "output_blocks.8."),
        (LDM, PREFIX + "label_emb.0.0.weight"),
        (LDM, PREFIX + "input_blocks.0.0.weight"),
        (LDM, "conditioner.embedders.1.model.transformer.resblocks.11."),
        (DIFFUSERS, "mid_block.attentions.0.transformer_blocks.9.norm3.bias"),
        ("checkpoint/sd15_full", PREFIX + "middle_block.1.proj_out.weight"),
        ("checkpoint/sdxl_refiner", PREFIX + "input_blocks.5."),
        ("checkpoint/flux_dev_bfl", "double_blocks.7."),
        ("checkpoint/flux_dev_bfl", "double_blocks.18."),
        ("checkpoint/flux_dev_bfl", "vector_in.in_layer.weight"),
        ("checkpoint/flux_dev_diffusers", "single_transformer_blocks.37."),
        ("checkpoint/flux_dev_allinone", "text_encoders.t5xxl.transformer.encoder.block.3."),
        ("checkpoint/sd3_medium", PREFIX + "joint_blocks.0."),
        ("checkpoint/sd35_large", PREFIX + "joint_blocks.37."),
        ("checkpoint/hidream", "single_stream_blocks.31.block.ff_i.experts.3.w3.weight"),
        ("checkpoint/hidream", "caption_projection.0."),
        ("checkpoint/qwen_image", "transformer_blocks.0."),
        ("checkpoint/qwen_image", "transformer_blocks.59."),
    ],
)
def test_a_checkpoint_that_lacks_a_part_keeps_its_family_and_is_incomplete(
    model_files: ModelFiles, case: str, lost: str
) -> None:
    whole = shapes(model_files, case)
    cut = {name: shape for name, shape in whole.items() if not name.startswith(lost)}

    found = identify(made_header(cut))

    assert len(cut) < len(whole)
    assert (found.category, found.family) == ("checkpoint", model_files.cases[case]["family"])
    assert found.missing


def test_blocks_of_two_families_contradict_each_other(model_files: ModelFiles) -> None:
    tensors = shapes(model_files, LDM)
    key = PREFIX + "input_blocks.5.1.transformer_blocks.0.attn2.to_k.weight"

    found = identify(made_header(tensors | {key: (640, 768)}))

    assert (found.category, found.family) == ("checkpoint", None)
    assert found.contradiction is not None
    assert "768, 2048" in found.contradiction


@pytest.mark.parametrize(
    ("pattern", "name"),
    [((0, 2, 4), "SSD-1B"), ((0, 1, 2), "Segmind Vega")],
)
def test_pruned_sdxl_is_told_from_a_broken_one(pattern: tuple[int, ...], name: str) -> None:
    unet = skeletons.Unet(family="", context=2048, pooled=2816, widths=(1, 2, 4), depths=pattern, middle=pattern[-1])
    tensors = dict.fromkeys(skeletons.diffusers_unet(unet), (1,)) | sdxl_widths(unet)

    found = identify(made_header(tensors))

    assert (found.family, found.facts["pruned"], found.missing) == ("sdxl_pruned", name, ())


def sdxl_widths(unet: skeletons.Unet) -> dict[str, tuple[int, ...]]:
    reads = [name for name in skeletons.diffusers_unet(unet) if name.endswith("attn2.to_k.weight")]
    return dict.fromkeys(reads, (640, 2048)) | {
        "add_embedding.linear_1.weight": (1280, 2816),
        "conv_in.weight": (320, 4, 3, 3),
    }


@pytest.mark.parametrize(
    ("channels", "kind"), [(4, "base"), (9, "inpainting"), (8, "pix2pix"), (5, "depth"), (7, None)]
)
def test_the_first_convolution_tells_the_type(model_files: ModelFiles, channels: int, kind: str | None) -> None:
    tensors = shapes(model_files, "checkpoint/sd15_full")

    found = identify(made_header(tensors | {PREFIX + "input_blocks.0.0.weight": (320, channels, 3, 3)}))

    assert (found.family, found.type) == ("sd1", kind)


@pytest.mark.parametrize(
    ("family", "tensors"),
    [
        ("aura_flow", {f"model.double_layers.{layer}.attn.w1q.weight": (3072, 3072) for layer in range(8)}),
        ("aura_flow", {"joint_transformer_blocks.0.attn.to_q.weight": (3072, 3072)}),
        ("lumina2", {"cap_embedder.1.weight": (3840, 2560), "noise_refiner.0.attention.k_norm.weight": (128,)}),
        ("wan", {"head.modulation": (1, 2, 5120), "blocks.0.self_attn.q.weight": (5120, 5120)}),
        ("cascade", {"clip_txt_mapper.weight": (2048, 1280), "clf.1.weight": (16, 2048)}),
        ("pixart", {"t_block.1.weight": (6912, 1152), "y_embedder.y_embedding": (120, 4096)}),
        ("hunyuan_video", {"txt_in.individual_token_refiner.blocks.0.norm1.weight": (3072,)}),
    ],
)
def test_families_without_an_architecture_are_named(family: str, tensors: dict[str, tuple[int, ...]]) -> None:
    found = identify(made_header(tensors))

    assert (found.category, found.family) == ("checkpoint", family)
    assert found.evidence


@pytest.mark.parametrize(
    ("family", "case", "marker"),
    [
        ("chroma", "checkpoint/flux_schnell_bfl", "distilled_guidance_layer.norms.0.scale"),
        ("chroma", "checkpoint/flux_schnell_bfl", "distilled_guidance_layer.in_proj.bias"),
        ("flux2", "checkpoint/flux_dev_bfl", "single_stream_modulation.lin.weight"),
        ("flux3", "checkpoint/flux_dev_bfl", "early_stream_modulations.image.lin.weight"),
        ("qwen_image_2", "checkpoint/qwen_image", "txt_in.text_norm.weight"),
        ("qwen_image_layered", "checkpoint/qwen_image", "time_text_embed.addition_t_embedding.weight"),
    ],
)
def test_one_tensor_makes_a_look_alike_another_family(
    model_files: ModelFiles, family: str, case: str, marker: str
) -> None:
    assert identify(made_header(shapes(model_files, case) | {marker: (8,)})).family == family


def test_a_video_model_is_no_picture_model(model_files: ModelFiles) -> None:
    stack = PREFIX + "input_blocks.1.1.time_stack.0.attn1.to_q.weight"

    found = identify(made_header(shapes(model_files, "checkpoint/sd21_full") | {stack: (320, 320)}))

    assert found.family == "svd"


def test_flux_that_reads_another_text_encoder_is_only_a_relative(model_files: ModelFiles) -> None:
    tensors = shapes(model_files, "checkpoint/flux_dev_bfl")

    assert identify(made_header(tensors | {"txt_in.weight": (3072, 3584)})).family == "flux_like"


def test_known_pruned_flux_is_named_and_unknown_is_incomplete(model_files: ModelFiles) -> None:
    tensors = shapes(model_files, "checkpoint/flux_dev_bfl")
    lite = {name: shape for name, shape in tensors.items() if not dropped(name, 8)}
    cut = {name: shape for name, shape in tensors.items() if not dropped(name, 11)}

    assert identify(made_header(lite)).facts["pruned"] == "Flux.1 Lite"
    assert identify(made_header(cut)).missing


def dropped(name: str, kept: int) -> bool:
    return name.startswith("double_blocks.") and int(name.split(".")[1]) >= kept


def test_an_edit_variant_shows_itself_by_its_marker(model_files: ModelFiles) -> None:
    tensors = shapes(model_files, "checkpoint/qwen_image")

    found = identify(made_header(tensors | {"__index_timestep_zero__": ()}))

    assert (found.family, found.facts["edit"], found.missing) == ("qwen", True, ())


def test_marks_of_training_and_what_rides_along_are_facts(model_files: ModelFiles) -> None:
    vpred = identify(read_header(model_files.path("checkpoint/sdxl_vpred_full", "head")))
    fp8 = identify(read_header(model_files.path("checkpoint/flux_dev_fp8_scaled", "head")))
    ema = identify(read_header(model_files.path("checkpoint/sd15_ema_fp32", "head")))
    all_in_one = identify(read_header(model_files.path("checkpoint/flux_dev_allinone", "head")))

    assert vpred.facts["v_prediction"] is True
    assert vpred.facts["bundled"] == ("vae", "clip_l", "clip_g")
    assert fp8.facts["quantised"] == "scaled fp8"
    assert ema.facts["bundled"] == ("vae", "clip_l", "ema")
    assert all_in_one.facts["bundled"] == ("vae", "clip_l", "t5xxl")


def test_a_flux_in_four_bits_shows_its_widths_by_its_biases(model_files: ModelFiles) -> None:
    tensors = shapes(model_files, "checkpoint/flux_dev_bfl")
    packed = {"img_in.weight": (3072 * 64 // 2, 1), "txt_in.weight": (3072 * 4096 // 2, 1)}

    found = identify(made_header(tensors | packed, dtype="U8"))

    assert (found.family, found.type) == ("flux1", "base")


def test_deciding_tensors_are_named_as_in_the_file(model_files: ModelFiles) -> None:
    header = read_header(model_files.path(LDM, "head"))

    found = identify(header)

    assert {(one.key, one.shape) for one in found.evidence} <= set(shapes_of(header).items())
    assert (PREFIX + "label_emb.0.0.weight", (1280, 2816)) in {(one.key, one.shape) for one in found.evidence}


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "transformer.", "module."])
def test_any_prefix_of_a_tool_is_read_through(model_files: ModelFiles, prefix: str) -> None:
    tensors = shapes(model_files, "checkpoint/qwen_image")

    found = identify(made_header({prefix + name: shape for name, shape in tensors.items()}))

    assert (found.family, found.missing) == ("qwen", ())


def test_stable_diffusion_3_is_known_by_the_names_of_diffusers() -> None:
    tensors = dict.fromkeys(skeletons.diffusers_sd3(24), (1536,)) | {
        "pos_embed.proj.weight": (1536, 16, 2, 2),
        "context_embedder.weight": (1536, 4096),
    }

    found = identify(made_header(tensors))

    assert (found.family, found.layout, found.missing) == ("sd3", "diffusers", ())


@pytest.mark.parametrize(
    "tensors",
    [
        {"weight": (4, 4), "bias": (4,)},
        {"model.layers.0.self_attn.q_proj.weight": (4096, 4096), "model.embed_tokens.weight": (32000, 4096)},
        {f"features.{layer}.weight": (64, 3, 3, 3) for layer in range(30)},
    ],
)
def test_what_nothing_recognises_has_no_category(tensors: dict[str, tuple[int, ...]]) -> None:
    found = identify(made_header(tensors))

    assert (found.category, found.family) == (None, None)


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("ip_adapter", "image_proj.latents"),
        ("clip_vision", "vision_model.embeddings.class_embedding"),
        ("text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight"),
        ("z_image_controlnet", "control_all_x_embedder.2-1.weight"),
        ("qwen_fun_controlnet", "control_img_in.weight"),
        ("packed", "transformer_blocks.0.qkv_proj.qweight"),
        ("ip_adapter", "ip_adapter_proj_model.proj.weight"),
        ("flux_redux", "redux_up.weight"),
        ("upscaler", "conv_first.weight"),
        ("animatediff", "down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"),
    ],
)
def test_files_of_other_kinds_are_named(kind: str, key: str) -> None:
    found = identify(made_header({key: (8, 8), "x.weight": (8, 8)}))

    assert (found.category, found.family) == (None, kind)


def test_weights_packed_for_one_engine_are_named(model_files: ModelFiles) -> None:
    whole = shapes(model_files, "checkpoint/flux_dev_diffusers")
    packed = {name.replace("to_q.weight", "to_q.qweight"): shape for name, shape in whole.items()}

    found = identify(made_header(packed))

    assert (found.category, found.family, found.missing) == ("checkpoint", "packed", ())


def test_another_text_encoder_beside_the_unet_of_stable_diffusion_is_another_model(model_files: ModelFiles) -> None:
    roberta = {"cond_stage_model.roberta.embeddings.word_embeddings.weight": (250002, 1024)}

    found = identify(made_header(shapes(model_files, "checkpoint/sd15_full") | roberta))

    assert found.family == "alt_diffusion"
