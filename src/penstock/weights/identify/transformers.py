"""Denoisers that are transformers: Flux, Stable Diffusion 3, HiDream, Qwen-Image, and others, which none may declare.

ComfyUI `model_detection.py`; diffusers `single_file_utils.py`; InvokeAI `configs/main.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.weights.identify import skeletons
from penstock.weights.identify.found import Found, axis, evidence, indices

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.weights.identify.found import Fact, Names

FLUX_TYPES = {64: "base", 384: "inpainting", 128: "control"}
"""What the width of the picture's input means: latents; with mask and masked picture (Fill); with a control map."""

FLUX_TEXT, FLUX_POOLED = 4096, 768
FLUX_BLOCKS = (19, 38)
FLUX_PRUNED = {(8, 38): "Flux.1 Lite", (5, 10): "Flux mini"}
"""Double and single blocks of known pruned Flux models."""

SD3_TEXT, SD3_POOLED, SD3_CHANNELS = 4096, 2048, 16
SD3_DEPTHS = (24, 38)
HIDREAM_TEXT = 4096
QWEN_TEXT, QWEN_IMAGE = 3584, 64

OTHERS = {
    "single_stream_modulation.lin.weight": "flux2",
    "single_stream_modulation.linear.weight": "flux2",
    "double_stream_modulation_img.lin.weight": "flux2",
    "double_stream_modulation_img.linear.weight": "flux2",
    "early_stream_modulations.image.lin.weight": "flux3",
    "distilled_guidance_layer.in_proj.bias": "chroma",
    "distilled_guidance_layer.in_proj.weight": "chroma",
    "distilled_guidance_layer.norms.0.scale": "chroma",
    "distilled_guidance_layer.norms.0.weight": "chroma",
    "txt_in.text_norm.weight": "qwen_image_2",
    "time_text_embed.addition_t_embedding.weight": "qwen_image_layered",
    "txt_in.individual_token_refiner.blocks.0.norm1.weight": "hunyuan_video",
    "cap_embedder.1.weight": "lumina2",
    "cap_embedder.0.weight": "lumina2",
    "time_caption_embed.caption_embedder.0.weight": "lumina2",
    "head.modulation": "wan",
    "condition_embedder.text_embedder.linear_1.weight": "wan",
    "double_layers.0.attn.w1q.weight": "aura_flow",
    "joint_transformer_blocks.0.attn.to_q.weight": "aura_flow",
    "clip_txt_mapper.weight": "cascade",
    "clip_mapper.weight": "cascade",
    "txtfusion.projector.weight": "krea2",
    "attention_y_norm.weight": "sana",
    "mlp_t5.0.weight": "hunyuan_dit",
    "t_block.1.weight": "pixart",
    "adaln_single.emb.timestep_embedder.linear_1.bias": "pixart_or_ltx",
    "t5_yproj.weight": "mochi",
    "genre_embedder.weight": "ace_step",
    "transformer.rotary_pos_emb.inv_freq": "stable_audio",
    "blocks.block0.blocks.0.block.attn.to_q.0.weight": "cosmos",
    "blocks.0.mlp.layer1.weight": "cosmos2",
    "t_embedder1.mlp.0.weight": "hidream_o1",
    "patch_embed.text_proj.weight": "cogvideox",
    "latent_in.weight": "hunyuan_3d",
}
"""Keys of denoisers that no declared architecture covers."""

STEMS = {"txtfusion.": "krea2"}
"""… and beginnings of keys, where no single key is sure to be there."""


def other(names: Names) -> Found | None:
    """A denoiser of a family that no architecture covers, or None. Asked first: some of them look like ours."""
    for key, family in OTHERS.items():
        if key in names:
            return Found(category="checkpoint", family=family, evidence=evidence(names, [key]))
    for stem, family in STEMS.items():
        begins = [name for name in names if name.startswith(stem)]
        if begins:
            return Found(category="checkpoint", family=family, evidence=evidence(names, begins[:1]))
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flux:
    """How one code base calls the parts of Flux."""

    layout: str
    double: str
    single: str
    image: str
    text: str
    pooled: str
    guidance: str
    skeleton: Callable[[], tuple[str, ...]]


FLUXES = (
    Flux(
        layout="bfl",
        double="double_blocks",
        single="single_blocks",
        image="img_in.weight",
        text="txt_in.weight",
        pooled="vector_in.in_layer.weight",
        guidance="guidance_in.in_layer.weight",
        skeleton=skeletons.bfl_flux,
    ),
    Flux(
        layout="diffusers",
        double="transformer_blocks",
        single="single_transformer_blocks",
        image="x_embedder.weight",
        text="context_embedder.weight",
        pooled="time_text_embed.text_embedder.linear_1.weight",
        guidance="time_text_embed.guidance_embedder.linear_1.weight",
        skeleton=skeletons.diffusers_flux,
    ),
)


def flux(names: Names) -> Found | None:
    """Flux in the names of the original code or of diffusers, or None."""
    for naming in FLUXES:
        if naming.image not in names:
            continue
        blocks = (indices(names, naming.double), indices(names, naming.single))
        if any(blocks) and (naming.pooled in names or blocks[1]):
            return _flux(names, naming, blocks)
    return None


def _flux(names: Names, naming: Flux, blocks: tuple[set[int], set[int]]) -> Found:
    shown = evidence(names, [naming.image, naming.text, naming.pooled, naming.guidance])
    counts = tuple(len(found) for found in blocks)
    more = any(found and max(found) >= usual for found, usual in zip(blocks, FLUX_BLOCKS, strict=True))
    fits = inputs(names, naming.text) in {FLUX_TEXT, None} and inputs(names, naming.pooled) in {FLUX_POOLED, None}
    if more or not fits or counts in FLUX_PRUNED:
        facts: dict[str, Fact] = {"pruned": FLUX_PRUNED[counts]} if counts in FLUX_PRUNED else {}
        family = "flux1_pruned" if facts else "flux_like"
        return Found(category="checkpoint", family=family, layout=naming.layout, facts=facts, evidence=shown)
    channels = inputs(names, naming.image) or 0
    absent = [name for name in naming.skeleton() if name not in names]
    return Found(
        category="checkpoint",
        family="flux1",
        layout=naming.layout,
        type=FLUX_TYPES.get(channels),
        facts={"guidance": naming.guidance in names, "input_channels": channels},
        evidence=shown,
        missing=tuple(absent),
    )


def sd3(names: Names) -> Found | None:
    """Stable Diffusion 3 and 3.5 of every size, or None."""
    if "x_embedder.proj.weight" in names and any(name.startswith("joint_blocks.") for name in names):
        return _sd3(names, "ldm", "joint_blocks", "x_embedder.proj.weight")
    adds = "transformer_blocks.0.attn.add_q_proj.weight"
    if "pos_embed.proj.weight" in names and (adds in names or "transformer_blocks.1" + adds[20:] in names):
        return _sd3(names, "diffusers", "transformer_blocks", "pos_embed.proj.weight")
    return None


def _sd3(names: Names, layout: str, stem: str, image: str) -> Found:
    blocks = indices(names, stem)
    shown = evidence(names, [image, "context_embedder.weight", f"{stem}.0.context_block.adaLN_modulation.1.bias"])
    channels = axis(names, image, 1) or 0
    fits = axis(names, "context_embedder.weight", 1) in {SD3_TEXT, None} and channels == SD3_CHANNELS
    depth = next((depth for depth in SD3_DEPTHS if max(blocks) < depth), None)
    if not fits or depth is None:
        return Found(category="checkpoint", family="sd3_like", layout=layout, evidence=shown)
    skeleton = skeletons.ldm_sd3(depth) if layout == "ldm" else skeletons.diffusers_sd3(depth)
    return Found(
        category="checkpoint",
        family="sd3",
        layout=layout,
        type="base",
        facts={"input_channels": channels, "blocks": len(blocks)},
        evidence=shown,
        missing=tuple(name for name in skeleton if name not in names),
    )


def hidream(names: Names) -> Found | None:
    """HiDream-I1, or None. Its two variants differ in nothing."""
    caption = "caption_projection.0.linear.weight"
    gate = "double_stream_blocks.0.block.ff_i.gate.weight"
    if caption not in names and gate not in names:
        return None
    if not any(name.startswith(("double_stream_blocks.", "single_stream_blocks.")) for name in names):
        return None
    shown = evidence(names, [caption, "double_stream_blocks.0.block.adaLN_modulation.1.bias", gate])
    if axis(names, caption, 1) not in {HIDREAM_TEXT, None}:
        return Found(category="checkpoint", family="hidream_like", evidence=shown)
    return Found(
        category="checkpoint",
        family="hidream",
        layout="hidream",
        type="base",
        evidence=shown,
        missing=tuple(name for name in skeletons.hidream() if name not in names),
    )


def qwen(names: Names) -> Found | None:
    """Qwen-Image, or None. Its Edit variant shows itself only in the newest files."""
    norm, image = "txt_norm.weight", "img_in.weight"
    if norm not in names or image not in names or not any(name.startswith("transformer_blocks.") for name in names):
        return None
    shown = evidence(names, [norm, image, "txt_in.weight", "transformer_blocks.0.img_mlp.net.0.proj.weight"])
    if axis(names, norm, 0) != QWEN_TEXT or inputs(names, image) != QWEN_IMAGE:
        return Found(category="checkpoint", family="qwen_like", evidence=shown)
    facts: dict[str, Fact] = {"input_channels": QWEN_IMAGE}
    if "__index_timestep_zero__" in names:
        facts["edit"] = True
    return Found(
        category="checkpoint",
        family="qwen",
        layout="diffusers",
        type="base",
        facts=facts,
        evidence=shown,
        missing=tuple(name for name in skeletons.qwen() if name not in names),
    )


def inputs(names: Names, key: str) -> int | None:
    """Input width of a linear layer; of one in 4 bits (NF4 is a column of bytes) it follows from the bias."""
    tensor = names.get(key)
    if tensor is None or len(tensor.shape) < 2:  # noqa: PLR2004 - rows and columns
        return None
    rows, columns = tensor.shape[:2]
    outputs = axis(names, key.removesuffix("weight") + "bias", 0)
    if tensor.dtype == "U8" and columns == 1 and outputs:
        return rows * 2 // outputs
    return columns
