"""Checkpoints: files with a denoiser, whatever rides along."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from penstock.weights.identify import prefixes, transformers, unets
from penstock.weights.identify.found import gaps, number
from penstock.weights.identify.others import PACKED
from penstock.weights.saying import brief

if TYPE_CHECKING:
    from penstock.weights.identify.found import Fact, Found, Names

READERS = (
    transformers.other,
    unets.ldm,
    unets.diffusers,
    transformers.flux,
    transformers.sd3,
    transformers.hidream,
    transformers.qwen,
)

MARKERS = {"v_pred": "v_prediction", "ztsnr": "zero_terminal_snr", "edm_mean": "edm", "edm_vpred.sigma_max": "edm"}
"""Tensors without meaning of their own that tell a sampler how the model was trained (ComfyUI `SDXL.model_type`)."""

QUANTISED = {
    "scaled_fp8": "scaled fp8",
    ".comfy_quant": "ComfyUI",
    ".quant_state.bitsandbytes__nf4": "bitsandbytes nf4",
    ".quant_state.bitsandbytes__fp4": "bitsandbytes fp4",
    PACKED: "packed",
}
MARKS = tuple(QUANTISED)

ALTERNATIVE = "cond_stage_model.roberta.embeddings.word_embeddings.weight"
"""AltDiffusion has the UNet of Stable Diffusion and another text encoder."""

MOST_GAPS = 100
LAYERS = (".encoder.layers.", ".transformer.resblocks.", ".encoder.block.")
"""Numbered blocks of text encoders."""


def read(names: Names) -> Found | None:
    """The denoiser of a file with all that is known of it, or None."""
    for inside in prefixes.views(names, prefixes.DENOISERS):
        found = next((found for reader in READERS if (found := reader(inside))), None)
        if found:
            return _whole(names, inside, found)
    return None


def _whole(names: Names, denoiser: Names, found: Found) -> Found:
    if ALTERNATIVE in names:
        return replace(found, family="alt_diffusion", missing=())
    facts: dict[str, Fact] = dict(found.facts)
    facts |= {fact: True for marker, fact in MARKERS.items() if marker in names or marker in denoiser}
    riders = prefixes.riders(names)
    bundled = prefixes.bundled(riders)
    if bundled:
        facts["bundled"] = bundled
    marked = next((name for name in names if name.endswith(MARKS)), None)
    if marked:
        facts["quantised"] = next(how for mark, how in QUANTISED.items() if marked.endswith(mark))
        if marked.endswith(PACKED):
            return replace(found, family="packed", facts=facts, missing=())
    return replace(found, facts=facts, missing=found.missing + _encoder_gaps(riders))


def _encoder_gaps(riders: list[str]) -> tuple[str, ...]:
    """Blocks that a text encoder lacks before its last one."""
    blocks: defaultdict[str, set[int]] = defaultdict(set)
    for name in riders:
        if name.startswith(prefixes.TEXTS):
            for layer in LAYERS:
                before, at, after = name.partition(layer)
                index = number(after.partition(".")[0]) if at else None
                if index is not None:
                    blocks[before + at].add(index)
    lost = (gap for stem in sorted(blocks) for gap in gaps(brief(stem.rstrip(".")), blocks[stem]))
    return tuple(islice(lost, MOST_GAPS))
