"""Textual embeddings: a few vectors for each text encoder. ComfyUI `sd1_clip.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.weights.identify.found import Found, deciding
from penstock.weights.saying import brief

if TYPE_CHECKING:
    from penstock.weights.identify.found import Names

MOST_TENSORS, MOST_ROWS = 10, 1024
FLOATS = frozenset({"F16", "BF16", "F32", "F64"})
ENCODERS = {
    "clip_l": "clip_l",
    "clip_g": "clip_g",
    "t5xxl": "t5xxl",
    "t5": "t5xxl",
    "text_encoders_0": "clip_l",
    "text_encoders_1": "clip_g",
}
"""Names of tensors, and the text encoder whose vectors they hold."""

WIDTHS = {"clip_l": 768, "clip_g": 1280, "t5xxl": 4096}
SINGLE = {768: "sd1", 1024: "sd2"}
SETS = {
    frozenset({"clip_l", "clip_g"}): "sdxl",
    frozenset({"clip_l", "clip_g", "t5xxl"}): "sd3",
    frozenset({"clip_l", "t5xxl"}): "flux1",
}


def read(names: Names) -> Found | None:
    """An embedding, or None. Few tensors alone prove nothing: their widths and names must be an embedding's."""
    if not 0 < len(names) <= MOST_TENSORS or any(name.endswith((".weight", ".bias")) for name in names):
        return None
    if any(tensor.dtype not in FLOATS or not _small(tensor.shape) for tensor in names.values()):
        return None
    widths = {tensor.shape[-1] for tensor in names.values()}
    if not widths <= {*SINGLE, *WIDTHS.values()}:
        return None
    rows = {name: tensor.shape[0] if len(tensor.shape) > 1 else 1 for name, tensor in sorted(names.items())}
    encoders = {_encoder(name, names[name].shape[-1]) for name in names}
    uneven = ", ".join(f"{brief(name)} has {count}" for name, count in rows.items())
    family = SETS.get(frozenset(encoders)) or (SINGLE.get(min(widths)) if len(widths) == 1 else None)
    together = frozenset(encoders) in SETS
    return Found(
        category="embeddings",
        family=family,
        layout="embedding",
        type="positive",
        facts={"vectors": max(rows.values())},
        evidence=deciding(names[name] for name in rows),
        missing=(f"rows: {uneven}",) if together and len(set(rows.values())) > 1 else (),
        contradiction=None if family else "no family of models has text encoders of these widths",
    )


def _small(shape: tuple[int, ...]) -> bool:
    return 1 <= len(shape) <= 2 and shape[0] * shape[-1] <= MOST_ROWS * WIDTHS["t5xxl"]  # noqa: PLR2004 - rows and columns


def _encoder(name: str, width: int) -> str:
    """The text encoder that a tensor belongs to; its own name where it is a token.

    OneTrainer also stores vectors for an encoder's output (`clip_l_out`).
    """
    encoder = ENCODERS.get(name.removesuffix("_out"), name)
    if encoder == "clip_g" and width == WIDTHS["t5xxl"]:
        encoder = "t5xxl"
    return encoder if WIDTHS.get(encoder, width) == width else f"{name} of {width}"
