"""The tensors that a denoiser of a family must have, by name. A file that lacks one was cut or converted badly.

Counts and names: diffusers 0.42.1 and ComfyUI 0.3.64, instantiated without weights. Norms inside attention are left
out where tools spell them in two ways (`scale`, `weight`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BOTH = ("weight", "bias")
SD3_BLOCKS = (24, 38)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unet:
    """A UNet: transformer blocks at each level and in the middle, input width of the texts and of the pooled vector."""

    family: str
    context: int
    pooled: int | None
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    middle: int

    @property
    def pattern(self) -> tuple[int, ...]:
        """Transformer blocks of each attention on the way down."""
        return tuple(depth for depth in self.depths for _ in range(2) if depth)


UNETS = (
    Unet(family="sd1", context=768, pooled=None, widths=(1, 2, 4, 4), depths=(1, 1, 1, 0), middle=1),
    Unet(family="sd2", context=1024, pooled=None, widths=(1, 2, 4, 4), depths=(1, 1, 1, 0), middle=1),
    Unet(family="sdxl", context=2048, pooled=2816, widths=(1, 2, 4), depths=(0, 2, 10), middle=10),
    Unet(family="sdxl_refiner", context=1280, pooled=2560, widths=(1, 2, 4, 4), depths=(0, 4, 4, 0), middle=4),
)


def _both(*stems: str) -> Iterator[str]:
    return (f"{stem}.{kind}" for stem, kind in product(stems, BOTH))


def _attention(at: str, depth: int) -> Iterator[str]:
    yield from _both(f"{at}.norm", f"{at}.proj_in", f"{at}.proj_out")
    for index in range(depth):
        block = f"{at}.transformer_blocks.{index}"
        for part, kind in product(("attn1", "attn2"), "qkv"):
            yield f"{block}.{part}.to_{kind}.weight"
        names = ("attn1.to_out.0", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3")
        yield from _both(*(f"{block}.{name}" for name in names))


@cache
def ldm_unet(unet: Unet) -> tuple[str, ...]:
    """Names of the original code (`input_blocks.4.1.…`)."""
    names = [*_both("time_embed.0", "time_embed.2", "input_blocks.0.0", "out.0", "out.2")]
    if unet.pooled:
        names += _both("label_emb.0.0", "label_emb.0.2")
    at, width = 1, 1
    for level, (wide, depth) in enumerate(zip(unet.widths, unet.depths, strict=True)):
        for _ in range(2):
            names += _ldm_block(f"input_blocks.{at}", depth, skips=wide != width)
            width, at = wide, at + 1
        if level < len(unet.widths) - 1:
            names += _both(f"input_blocks.{at}.0.op")
            at += 1
    names += [*_ldm_block("middle_block", 0, skips=False), *_attention("middle_block.1", unet.middle)]
    names += _ldm_residual("middle_block.2", skips=False)
    for level, index in product(range(len(unet.widths)), range(3)):
        depth = unet.depths[-1 - level]
        block = f"output_blocks.{level * 3 + index}"
        names += _ldm_block(block, depth, skips=True)
        if index == 2 and level < len(unet.widths) - 1:  # noqa: PLR2004 - the last of three
            names += _both(f"{block}.{2 if depth else 1}.conv")
    return tuple(names)


def _ldm_block(block: str, depth: int, *, skips: bool) -> list[str]:
    attention = _attention(f"{block}.1", depth) if depth else ()
    return [*_ldm_residual(f"{block}.0", skips=skips), *attention]


def _ldm_residual(at: str, *, skips: bool) -> list[str]:
    names = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3")
    skip = ("skip_connection",) if skips else ()
    return [*_both(*(f"{at}.{name}" for name in names + skip))]


@cache
def diffusers_unet(unet: Unet) -> tuple[str, ...]:
    """Names of diffusers (`down_blocks.1.attentions.0.…`)."""
    names = [*_both("time_embedding.linear_1", "time_embedding.linear_2", "conv_in", "conv_norm_out", "conv_out")]
    if unet.pooled:
        names += _both("add_embedding.linear_1", "add_embedding.linear_2")
    last, width = len(unet.widths) - 1, 1
    for level, (wide, depth) in enumerate(zip(unet.widths, unet.depths, strict=True)):
        for index in range(2):
            names += _diffusers_block(f"down_blocks.{level}", index, depth, skips=wide != width)
            width = wide
        if level < last:
            names += _both(f"down_blocks.{level}.downsamplers.0.conv")
    names += [*_diffusers_block("mid_block", 0, unet.middle, skips=False)]
    names += _diffusers_block("mid_block", 1, 0, skips=False)
    for level, index in product(range(last + 1), range(3)):
        names += _diffusers_block(f"up_blocks.{level}", index, unet.depths[-1 - level], skips=True)
    for level in range(last):
        names += _both(f"up_blocks.{level}.upsamplers.0.conv")
    return tuple(names)


def _diffusers_block(at: str, index: int, depth: int, *, skips: bool) -> list[str]:
    parts = ("norm1", "conv1", "time_emb_proj", "norm2", "conv2") + (("conv_shortcut",) if skips else ())
    attention = _attention(f"{at}.attentions.{index}", depth) if depth else ()
    return [*_both(*(f"{at}.resnets.{index}.{part}" for part in parts)), *attention]


def _stack(stem: str, count: int, names: Iterable[str]) -> Iterator[str]:
    return (f"{stem}.{index}.{name}" for index, name in product(range(count), tuple(names)))


@cache
def bfl_flux() -> tuple[str, ...]:
    """Names of the original code (`double_blocks.0.…`), without the guidance, which is a variant."""
    parts = ("attn.qkv", "attn.proj", "mlp.0", "mlp.2", "mod.lin")
    heads = ("img_in", "txt_in", "time_in.in_layer", "time_in.out_layer", "vector_in.in_layer", "vector_in.out_layer")
    return (
        *_both(*heads, "final_layer.linear", "final_layer.adaLN_modulation.1"),
        *_stack("double_blocks", 19, _both(*(f"{side}_{part}" for side, part in product(("img", "txt"), parts)))),
        *_stack("single_blocks", 38, _both("linear1", "linear2", "modulation.lin")),
    )


QKV = ("to_q", "to_k", "to_v")
JOINT = (*QKV, "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


@cache
def diffusers_flux() -> tuple[str, ...]:
    """Names of diffusers (`single_transformer_blocks.0.…`), without the guidance."""
    embedders = [f"time_text_embed.{which}_embedder.linear_{n}" for which in ("timestep", "text") for n in (1, 2)]
    ways = ("ff.net.0.proj", "ff.net.2", "ff_context.net.0.proj", "ff_context.net.2")
    double = (*(f"attn.{part}" for part in JOINT), *ways, "norm1.linear", "norm1_context.linear")
    single = (*(f"attn.{part}" for part in QKV), "norm.linear", "proj_mlp", "proj_out")
    return (
        *_both(*embedders, "x_embedder", "context_embedder", "norm_out.linear", "proj_out"),
        *_stack("transformer_blocks", 19, _both(*double)),
        *_stack("single_transformer_blocks", 38, _both(*single)),
    )


@cache
def ldm_sd3(depth: int) -> tuple[str, ...]:
    """Names of the original code (`joint_blocks.0.…`). The last block of the texts has no way out."""
    heads = ("x_embedder.proj", "context_embedder", "final_layer.linear", "final_layer.adaLN_modulation.1")
    embedders = [f"{which}_embedder.mlp.{index}" for which, index in product("ty", (0, 2))]
    inner, outer = ("attn.qkv", "adaLN_modulation.1"), ("attn.proj", "mlp.fc1", "mlp.fc2")
    return (
        "pos_embed",
        *_both(*heads, *embedders),
        *_stack("joint_blocks", depth, _both(*(f"{side}_block.{part}" for side in ("context", "x") for part in inner))),
        *_stack("joint_blocks", depth, _both(*(f"x_block.{part}" for part in outer))),
        *_stack("joint_blocks", depth - 1, _both(*(f"context_block.{part}" for part in outer))),
    )


@cache
def diffusers_sd3(depth: int) -> tuple[str, ...]:
    """Names of diffusers. The last block of the texts has no way out."""
    embedders = [f"time_text_embed.{which}_embedder.linear_{n}" for which in ("timestep", "text") for n in (1, 2)]
    block = (*(f"attn.{part}" for part in JOINT[:-1]), "ff.net.0.proj", "ff.net.2", "norm1.linear")
    way_out = ("attn.to_add_out", "ff_context.net.0.proj", "ff_context.net.2")
    return (
        *_both(*embedders, "pos_embed.proj", "context_embedder", "norm_out.linear", "proj_out"),
        *_stack("transformer_blocks", depth, _both(*block, "norm1_context.linear")),
        *_stack("transformer_blocks", depth - 1, _both(*way_out)),
    )


@cache
def hidream() -> tuple[str, ...]:
    """Names shared by the original code and diffusers."""
    experts = [f"ff_i.experts.{index}" for index in range(4)] + ["ff_i.shared_experts"]
    ways = [f"{way}.w{n}.weight" for way, n in product(experts, (1, 2, 3))] + ["ff_i.gate.weight"]
    image = ("adaLN_modulation.1", *(f"attn1.{part}" for part in (*QKV, "to_out")))
    text = [f"attn1.{part}_t" for part in (*QKV, "to_out")]
    single = [*_both(*image), *ways]
    double = [*single, *_both(*text), *(f"ff_t.w{n}.weight" for n in (1, 2, 3))]
    kinds = ("t_embedder.timestep", "p_embedder.pooled")
    embedders = [f"{kind}_embedder.linear_{n}" for kind, n in product(kinds, (1, 2))]
    return (
        *_both(*embedders, "x_embedder.proj", "final_layer.linear", "final_layer.adaLN_modulation.1"),
        *(f"caption_projection.{index}.linear.weight" for index in range(49)),
        *_stack("double_stream_blocks", 16, (f"block.{name}" for name in double)),
        *_stack("single_stream_blocks", 32, (f"block.{name}" for name in single)),
    )


@cache
def qwen() -> tuple[str, ...]:
    """Names shared by diffusers and ComfyUI."""
    sides = [f"{side}_{part}" for side, part in product(("img", "txt"), ("mod.1", "mlp.net.0.proj", "mlp.net.2"))]
    embedders = [f"time_text_embed.timestep_embedder.linear_{n}" for n in (1, 2)]
    return (
        "txt_norm.weight",
        *_both(*embedders, "img_in", "txt_in", "norm_out.linear", "proj_out"),
        *_stack("transformer_blocks", 60, _both(*sides, *(f"attn.{part}" for part in JOINT))),
    )
