"""Control networks, and what guides like them: T2I adapters, control-LoRA, LLLite.

ComfyUI `controlnet.py` (`load_controlnet_state_dict`, `load_t2i_adapter`). The order matters: some of these files hold
keys of a denoiser too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.weights.identify import prefixes
from penstock.weights.identify.found import Found, axis, evidence, gaps, indices

if TYPE_CHECKING:
    from penstock.weights.identify.found import Fact, Names

LINES = ("canny", "hed", "lineart", "openmlsd", "scrible", "sketch", "softedge")
"""What a hint of one channel can be."""

MASKED = ("inpaint", "inpaintdepth")
STABILITY = ("blur", "canny", "depth")
"""The three control networks of SD 3.5: which one, a tensor's value tells, and values are not read."""

CONTEXTS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
POOLED_SDXL = 2816
MASK_AND_LATENT = 68
"""Packed latents of 64 channels, and four of a mask."""

SD3_MASKED = 17
HINTS = {64: ("sd1", 1), 192: ("sd1", 3), 256: ("sdxl", 1), 768: ("sdxl", 3)}
"""Input channels of a T2I adapter: its family and the channels of its hint."""


def read(names: Names) -> Found | None:
    """A control network with its family, or None."""
    lllite = [name for name in names if name.startswith("lllite_")]
    if lllite:
        family = "sdxl" if any(name.startswith("lllite_unet_") for name in lllite) else "anima"
        return Found(category="controlnet", family=family, layout="lllite", evidence=evidence(names, lllite))
    for inside in prefixes.views(names, prefixes.CONTROLS):
        found = next((found for reader in (_unet, _transformer, _t2i) if (found := reader(inside))), None)
        if found:
            return found
    return None


def _unet(names: Names) -> Found | None:
    """Stable Diffusion 1 and XL, in the names of the original code and of diffusers; control-LoRA."""
    low_rank = "lora_controlnet" in names
    ldm, diffusers = "input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight"
    hint = diffusers if diffusers in names else ldm
    zeros = "controlnet_down_blocks" if hint == diffusers else "zero_convs"
    if not low_rank and hint not in names and f"{zeros}.0.weight" not in names:
        return None
    if any(name.startswith("double_blocks.") for name in names):
        return None
    reads = ".attn2.to_k.down" if low_rank else ".attn2.to_k.weight"
    contexts = {tensor.shape[-1]: name for name, tensor in names.items() if name.endswith(reads) and tensor.shape}
    pooled = "add_embedding.linear_1.weight" if hint == diffusers else "label_emb.0.0.weight"
    shown = evidence(names, [hint, *contexts.values(), pooled, "lora_controlnet", "task_embedding"])
    layout = "control-lora" if low_rank else "diffusers" if hint == diffusers else "ldm"
    if len(contexts) > 1 and not low_rank:
        wide = ", ".join(map(str, sorted(contexts)))
        mixed = f"its attention reads texts of different widths ({wide}): blocks of different families are mixed"
        return Found(category="controlnet", layout=layout, evidence=shown, contradiction=mixed)
    family = CONTEXTS.get(next(iter(contexts), 0), "controlnet_other" if contexts else None)
    width = axis(names, pooled, 1)
    if width is not None:
        family = "sdxl" if width == POOLED_SDXL else "controlnet_other"
    facts: dict[str, Fact] = {"hint_channels": axis(names, hint, 1) or 0}
    if "task_embedding" in names or "control_add_embedding.linear_1.weight" in names:
        facts["union"] = True
    out = "controlnet_mid_block.weight" if hint == diffusers else "middle_block_out.0.weight"
    lost = () if out in names or low_rank else (out,)
    return Found(
        category="controlnet",
        family="controlnet_difference" if "difference" in names else family,
        layout=layout,
        facts=facts,
        evidence=shown,
        missing=(*gaps(zeros, indices(names, zeros)), *lost),
    )


def _transformer(names: Names) -> Found | None:
    """Flux, Stable Diffusion 3 and Qwen-Image."""
    blocks = indices(names, "controlnet_blocks")
    entry, sd3 = "controlnet_x_embedder.weight", "pos_embed_input.proj.weight"
    if not blocks and entry not in names:
        return None
    lost = tuple(gaps("controlnet_blocks", blocks))
    if any(name.startswith("double_blocks.") for name in names):
        return _flux_original(names, lost)
    if sd3 in names:
        return _sd3(names, sd3, lost)
    qwen = "transformer_blocks.0.img_mlp.net.0.proj.weight"
    mode, guidance = "controlnet_mode_embedder.weight", "time_text_embed.guidance_embedder.linear_1.weight"
    shown = evidence(names, [entry, qwen, mode, guidance, "controlnet_blocks.0.weight"])
    width = axis(names, entry, 1)
    if width is None:
        return Found(category="controlnet", family="controlnet_other", evidence=shown, missing=lost)
    facts: dict[str, Fact] = {"input_channels": width, "mask": width == MASK_AND_LATENT}
    if mode in names:
        facts |= {"union": True, "modes": axis(names, mode, 0) or 0}
    if qwen not in names:
        facts["guidance"] = guidance in names
    return Found(
        category="controlnet",
        family="qwen" if qwen in names else "flux1",
        layout="instantx",
        conditioning=MASKED if width == MASK_AND_LATENT else (),
        facts=facts,
        evidence=shown,
        missing=lost,
    )


def _flux_original(names: Names, lost: tuple[str, ...]) -> Found:
    """Flux in the names of the original code: XLabs, MistoLine."""
    guidance = "guidance_in.in_layer.weight"
    keys = ["controlnet_blocks.0.weight", "controlnet_blocks.0.linear.weight", guidance, "pos_embed_input.weight"]
    return Found(
        category="controlnet",
        family="flux1",
        layout="mistoline" if keys[1] in names else "xlabs",
        facts={"guidance": guidance in names},
        evidence=evidence(names, [*keys, "double_blocks.0.img_attn.norm.key_norm.scale"]),
        missing=lost,
    )


def _sd3(names: Names, entry: str, lost: tuple[str, ...]) -> Found:
    stability = "transformer_blocks.0.adaLN_modulation.1.bias"
    channels = axis(names, entry, 1) or 0
    masked = channels == SD3_MASKED
    return Found(
        category="controlnet",
        family="sd3",
        layout="stability" if stability in names else "diffusers",
        conditioning=MASKED if masked else STABILITY if "control_type" in names else (),
        facts={"input_channels": channels, "mask": masked},
        evidence=evidence(names, [entry, stability, "control_type", "controlnet_blocks.0.weight"]),
        missing=lost,
    )


def _t2i(names: Names) -> Found | None:
    entry = "conv_in.weight"
    bodies = ("body.0.block1.weight", "body.0.resnets.0.block1.weight")
    if entry not in names or not any(body in names for body in bodies):
        return None
    family, channels = HINTS.get(axis(names, entry, 1) or 0, ("controlnet_other", 0))
    return Found(
        category="controlnet",
        family=family,
        layout="t2i-adapter",
        conditioning=LINES if channels == 1 else (),
        facts={"hint_channels": channels},
        evidence=evidence(names, [entry, *bodies]),
        missing=tuple(gaps("body", indices(names, "body"))),
    )
