"""Model files of other kinds, named so that their uploader learns what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.weights.identify.found import Found, evidence

if TYPE_CHECKING:
    from penstock.weights.identify.found import Names

STARTS = {
    "image_proj.": "ip_adapter",
    "ip_adapter.": "ip_adapter",
    "image_proj_model.": "ip_adapter",
    "ip_adapter_proj_model.": "ip_adapter",
    "redux_": "flux_redux",
    "vision_model.": "clip_vision",
    "text_model.encoder.": "text_encoder",
    "encoder.block.": "text_encoder",
    "transformer.resblocks.": "text_encoder",
    "control_layers.": "z_image_controlnet",
    "control_all_x_embedder.": "z_image_controlnet",
    "control_noise_refiner.": "z_image_controlnet",
    "control_img_in.": "qwen_fun_controlnet",
    "conv_first.": "upscaler",
    "RRDB_trunk.": "upscaler",
    "body.0.rdb1.": "upscaler",
    "taesd_decoder.": "taesd",
}
"""Beginnings of keys, and the kind of file that has them."""

BEGINNINGS = tuple(STARTS)
PACKED = ".qweight"
"""Weights rearranged for the kernels of one engine: nothing else can load them."""


def read(names: Names) -> Found | None:
    """A file that is recognised, and of no category; or None."""
    for name in names:
        if "motion_modules." in name:
            return Found(family="animatediff", evidence=evidence(names, [name]))
        if name.endswith(PACKED):
            return Found(family="packed", evidence=evidence(names, [name]))
        if name.startswith(BEGINNINGS):
            kind = next(kind for start, kind in STARTS.items() if name.startswith(start))
            return Found(family=kind, evidence=evidence(names, [name]))
    return None
