"""The parts of a file: a denoiser, a VAE, text encoders, under the prefixes by which tools keep them apart.

Prefixes: ComfyUI `supported_models.py`, diffusers `single_file_utils.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.weights.identify.found import Names

DENOISERS = (
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "unet.",
    "model.model.",
    "model.",
    "net.",
    "module.",
)
VAES = ("first_stage_model.", "vae.")
CONTROLS = ("control_model.", "controlnet.", "adapter.")
PARTS = {
    "first_stage_model.": "vae",
    "vae.": "vae",
    "cond_stage_model.transformer.": "clip_l",
    "cond_stage_model.model.": "open_clip",
    "conditioner.embedders.0.transformer.": "clip_l",
    "conditioner.embedders.0.model.": "clip_g",
    "conditioner.embedders.1.": "clip_g",
    "text_encoders.clip_l.": "clip_l",
    "text_encoders.clip_g.": "clip_g",
    "text_encoders.t5xxl.": "t5xxl",
    "text_encoders.llama": "llama",
    "text_encoders.qwen": "qwen",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "model_ema.": "ema",
}
"""Prefixes of what rides along with a denoiser, and its name."""

TEXTS = ("cond_stage_model.", "conditioner.", "text_encoders.", "text_encoder.", "text_encoder_2.")
"""What the keys of text encoders begin with."""

RIDERS = (*TEXTS, *VAES, "model_ema.")
LONGEST = max(map(len, PARTS))

ENOUGH = 5
"""A prefix with fewer keys is no part: it may be the beginning of any name."""


def views(names: Names, prefixes: tuple[str, ...]) -> Iterator[Names]:
    """The tensors under each prefix that is used, without it; and last all of them under their own names."""
    every = "\n".join(["", *names])
    for prefix in prefixes:
        if f"\n{prefix}" not in every:
            continue
        inside = below(names, prefix)
        if len(inside) > ENOUGH:
            yield inside
    yield names


def below(names: Names, prefix: str) -> Names:
    """The tensors under one prefix, without it."""
    start = len(prefix)
    return {name[start:]: tensor for name, tensor in names.items() if name.startswith(prefix)}


def riders(names: Names) -> list[str]:
    """The keys of what rides along with a denoiser."""
    return [name for name in names if name.startswith(RIDERS)]


def bundled(riding: list[str]) -> tuple[str, ...]:
    """What rides along: `vae`, text encoders, `ema`."""
    heads = {name[:LONGEST] for name in riding}
    found = {part for head in heads for start, part in PARTS.items() if head.startswith(start)}
    return tuple(part for part in dict.fromkeys(PARTS.values()) if part in found)
