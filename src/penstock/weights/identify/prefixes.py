"""The parts of a file: a denoiser, a VAE, text encoders, under the prefixes by which tools keep them apart.

Prefixes: ComfyUI `supported_models.py`, diffusers `single_file_utils.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.weights.identify.found import Names

DENOISERS = ("model.diffusion_model.", "diffusion_model.", "transformer.", "unet.", "model.", "net.", "module.")
VAES = ("first_stage_model.", "vae.")
CONTROLS = ("control_model.", "controlnet.", "adapter.")
ENCODERS = {
    "cond_stage_model.model.": "open_clip",
    "cond_stage_model.": "clip_l",
    "conditioner.embedders.0.transformer.": "clip_l",
    "conditioner.embedders.0.model.": "clip_g",
    "conditioner.embedders.1.": "clip_g",
    "text_encoders.clip_l.": "clip_l",
    "text_encoders.clip_g.": "clip_g",
    "text_encoders.t5xxl.": "t5xxl",
    "text_encoders.llama": "llama",
    "text_encoders.qwen": "qwen",
    "text_encoder.": "clip_l",
    "text_encoder_2.": "text_encoder_2",
}
"""Prefix of a text encoder and its name; the longer prefix stands first."""

TEXTS = ("cond_stage_model.", "conditioner.", "text_encoders.", "text_encoder.", "text_encoder_2.")
"""What the keys of text encoders begin with."""

ENOUGH = 5
"""A prefix with fewer keys is no part: it may be the beginning of any name."""


def views(names: Names, prefixes: tuple[str, ...]) -> Iterator[Names]:
    """The tensors under each prefix that is used, without it; and last all of them under their own names."""
    heads = {name.partition(".")[0] for name in names}
    for prefix in prefixes:
        if prefix.partition(".")[0] not in heads:
            continue
        inside = below(names, prefix)
        if len(inside) > ENOUGH:
            yield inside
    yield names


def below(names: Names, prefix: str) -> Names:
    """The tensors under one prefix, without it."""
    start = len(prefix)
    return {name[start:]: tensor for name, tensor in names.items() if name.startswith(prefix)}


def bundled(names: Names) -> tuple[str, ...]:
    """What rides along with a denoiser: `vae`, text encoders, `ema`."""
    heads = {name.partition(".")[0] for name in names}
    parts: dict[str, None] = {}
    if heads & {"first_stage_model", "vae"}:
        parts["vae"] = None
    if any(f"{head}." in TEXTS for head in heads):
        for prefix, part in ENCODERS.items():
            if any(name.startswith(prefix) for name in names):
                parts[part] = None
                if prefix == "cond_stage_model.model.":
                    break
    if "model_ema" in heads:
        parts["ema"] = None
    return tuple(parts)
