"""VAEs on their own. ComfyUI `sd.py` (`VAE`), diffusers `single_file_utils.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.weights.identify import prefixes
from penstock.weights.identify.found import Found, evidence, gaps, indices

if TYPE_CHECKING:
    from penstock.weights.identify.found import Names

IMAGE, FILM = 4, 5
"""Axes of a convolution over pictures, and over films."""

FAMILIES = {(4, IMAGE): "vae4", (16, IMAGE): "vae16", (16, FILM): "vae_wan", (48, FILM): "vae_wan22"}
"""By latent channels and axes of the decoder's first convolution."""

CAUSAL = "decoder.conv_in.conv.weight"
LDM, WAN, TINY = "decoder.conv_in.weight", "decoder.conv1.weight", "taesd_decoder.1.weight"
ENDS = {
    LDM: ("encoder.conv_in.weight", "encoder.conv_out.weight", LDM, "decoder.conv_out.weight"),
    WAN: ("encoder.conv1.weight", "encoder.head.2.weight", WAN, "decoder.head.2.weight"),
}
PARTS = ("down", "down_blocks", "downsamples", "up", "up_blocks", "upsamples")
STACKS = tuple(f"{half}.{part}" for half in ("encoder", "decoder") for part in PARTS)
SHARE = 0.5


def read(names: Names) -> Found | None:
    """A VAE, or None. Most of the file must be one: text encoders with a VAE are something else."""
    if TINY in names:
        return Found(category="vae", family="taesd", layout="taesd", evidence=evidence(names, [TINY]))
    for inside in prefixes.views(names, prefixes.VAES):
        if CAUSAL in inside:
            return Found(category="vae", family="vae_other", evidence=evidence(inside, [CAUSAL]))
        entry = next((key for key in (LDM, WAN) if key in inside), None)
        if entry and len(inside) > SHARE * len(names):
            return _vae(inside, entry)
    return None


def _vae(names: Names, entry: str) -> Found:
    shape = names[entry].shape
    channels = shape[1] if len(shape) > 1 else 0
    family = FAMILIES.get((channels, len(shape)), "vae_other")
    if "bn.running_mean" in names:
        family = "vae_flux2"
    if any("time_stack" in name or "time_conv_out" in name or "temporal_res_block" in name for name in names):
        family = "vae_svd"
    diffusers = any(name.startswith(("decoder.up_blocks.", "decoder.mid_block.")) for name in names)
    lost = [key for key in ENDS[entry] if key not in names]
    holes = [gap for stem in STACKS for gap in gaps(stem, indices(names, stem))]
    return Found(
        category="vae",
        family=family,
        layout="wan" if entry == WAN else "diffusers" if diffusers else "ldm",
        facts={"latent_channels": channels},
        evidence=evidence(names, [entry, "decoder.conv_in.bias", "quant_conv.weight", "bn.running_mean"]),
        missing=tuple(lost + holes),
    )
