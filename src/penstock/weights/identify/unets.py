"""Denoisers with a UNet: Stable Diffusion 1, 2 and XL, in the names of the original code and of diffusers.

ComfyUI `model_detection.py` and `supported_models.py`; InvokeAI `configs/main.py`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.weights.identify import skeletons
from penstock.weights.identify.found import Found, axis, evidence, gaps, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.domain.weights import Evidence
    from penstock.weights.identify.found import Fact, Names
    from penstock.weights.identify.skeletons import Unet

PRUNED = {
    (2, 2, 4, 4): "SSD-1B",
    (1, 1, 2, 2): "Segmind Vega",
    (2, 5): "KOALA-700M",
    (2, 6): "KOALA-1B",
}
"""Transformer blocks of each attention on the way down of known pruned SDXL UNets (ComfyUI `supported_models.py`)."""

TYPES = {4: "base", 9: "inpainting", 8: "pix2pix", 5: "depth"}
"""What the input channels of the first convolution mean: latents, and a mask or a picture beside them."""

VIDEO = ("time_stack", "time_mixer", "time_mix_blocks", "temporal_transformer_blocks", "temporal_res_block")
KOLORS_POOLED = 5632
TO_KEYS = "attn2.to_k.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """How one code base calls the same things."""

    layout: str
    first: str
    pooled: str
    down: str
    step: str
    skeleton: Callable[[Unet], tuple[str, ...]]


LDM = Naming(
    layout="ldm",
    first="input_blocks.0.0.weight",
    pooled="label_emb.0.0.weight",
    down="input_blocks",
    step="time_embed",
    skeleton=skeletons.ldm_unet,
)
DIFFUSERS = Naming(
    layout="diffusers",
    first="conv_in.weight",
    pooled="add_embedding.linear_1.weight",
    down="down_blocks",
    step="time_embedding",
    skeleton=skeletons.diffusers_unet,
)


def ldm(names: Names) -> Found | None:
    """A UNet in the names of the original code, or None."""
    if "time_embed.0.weight" not in names and LDM.first not in names:
        return None
    return _unet(names, LDM) if any(name.startswith("input_blocks.") for name in names) else None


def diffusers(names: Names) -> Found | None:
    """A UNet in the names of diffusers, or None."""
    if "time_embedding.linear_1.weight" not in names and DIFFUSERS.first not in names:
        return None
    return _unet(names, DIFFUSERS) if any(name.startswith("up_blocks.") for name in names) else None


def _unet(names: Names, naming: Naming) -> Found | None:
    contexts, depths = _attentions(names)
    shown = evidence(names, [*(f"{at}.{TO_KEYS}" for at in sorted(contexts)[:2]), naming.pooled, naming.first])
    every = "\n".join(names)
    if any(part in every for part in VIDEO):
        return Found(category="checkpoint", family="svd", layout=naming.layout, evidence=shown)
    widths = set(contexts.values())
    if len(widths) > 1:
        wide = ", ".join(map(str, sorted(widths)))
        mixed = f"its attention reads texts of different widths ({wide}): blocks of different families are mixed"
        return Found(category="checkpoint", layout=naming.layout, evidence=shown, contradiction=mixed)
    pooled = axis(names, naming.pooled, 1)
    unet = next((one for one in skeletons.UNETS if widths == {one.context} and pooled in {one.pooled, None}), None)
    if unet is None:
        return Found(category="checkpoint", family=_other(names, pooled), layout=naming.layout, evidence=shown)
    return _of_family(names, naming, unet, depths, shown=shown)


def _of_family(
    names: Names,
    naming: Naming,
    unet: Unet,
    depths: dict[str, set[int]],
    *,
    shown: tuple[Evidence, ...],
) -> Found:
    channels = axis(names, naming.first, 1)
    pattern = tuple(len(depths[at]) for at in sorted(depths, key=_position) if at.startswith(naming.down))
    pruned = PRUNED.get(pattern) if unet.family == "sdxl" else None
    facts: dict[str, Fact] = {"input_channels": channels or 0}
    if f"{naming.step}.cond_proj.weight" in names:
        facts["cond_proj"] = True
    if pruned:
        facts["pruned"] = pruned
        missing = [gap for at in depths for gap in gaps(f"{at}.transformer_blocks", depths[at])]
    else:
        missing = [name for name in naming.skeleton(unet) if name not in names]
    return Found(
        category="checkpoint",
        family="sdxl_pruned" if pruned else unet.family,
        layout=naming.layout,
        type="refiner" if unet.family == "sdxl_refiner" else TYPES.get(channels or 0),
        facts=facts,
        evidence=shown,
        missing=tuple(missing),
    )


def _other(names: Names, pooled: int | None) -> str:
    """A UNet of another family; Kolors is one of SDXL that reads another text encoder."""
    return "kolors" if pooled == KOLORS_POOLED or "encoder_hid_proj.weight" in names else "unet"


def _attentions(names: Names) -> tuple[dict[str, int], dict[str, set[int]]]:
    """Width of the texts by block, and indices of the blocks by attention."""
    contexts: dict[str, int] = {}
    depths: defaultdict[str, set[int]] = defaultdict(set)
    for name, tensor in names.items():
        if not name.endswith(TO_KEYS):
            continue
        block = name[: -len(TO_KEYS) - 1]
        at, _, index = block.rpartition(".")
        depth = number(index)
        if at.endswith(".transformer_blocks") and depth is not None and tensor.shape:
            contexts[block] = tensor.shape[-1]
            depths[at.removesuffix(".transformer_blocks")].add(depth)
    return contexts, depths


def _position(at: str) -> tuple[int, ...]:
    return tuple(index for part in at.split(".") if (index := number(part)) is not None)
