"""LoRA and LyCORIS: small factors that change a base model, in the names of a dozen trainers.

ComfyUI `lora.py`, `weight_adapter/`; diffusers `lora_conversion_utils.py`; InvokeAI `patches/lora_conversions/`;
kohya sd-scripts; LyCORIS 4.1.3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.weights.identify import modules
from penstock.weights.identify.found import Found, deciding
from penstock.weights.saying import brief

if TYPE_CHECKING:
    from penstock.weights.header import Tensor
    from penstock.weights.identify.found import Fact, Names

PLAIN = {
    "alpha": ("", "alpha"),
    "dora_scale": ("", "dora"),
    "lora_magnitude_vector": ("", "dora"),
    "lora_A": ("lora", "down"),
    "lora_B": ("lora", "up"),
    "hada_w1_a": ("loha", "w1_a"),
    "hada_w1_b": ("loha", "w1_b"),
    "hada_w2_a": ("loha", "w2_a"),
    "hada_w2_b": ("loha", "w2_b"),
    "hada_t1": ("loha", "t1"),
    "hada_t2": ("loha", "t2"),
    "lokr_w1": ("lokr", "w1"),
    "lokr_w1_a": ("lokr", "w1_a"),
    "lokr_w1_b": ("lokr", "w1_b"),
    "lokr_w2": ("lokr", "w2"),
    "lokr_w2_a": ("lokr", "w2_a"),
    "lokr_w2_b": ("lokr", "w2_b"),
    "lokr_t2": ("lokr", "t2"),
    "oft_blocks": ("oft", "blocks"),
    "oft_diag": ("oft", "blocks"),
    "rescale": ("oft", "rescale"),
    "on_input": ("ia3", "on_input"),
    "diff": ("full", "diff"),
    "diff_b": ("full", "diff_b"),
    "set_weight": ("full", "set"),
    "reshape_weight": ("", "reshape"),
    "w_norm": ("norm", "w_norm"),
    "b_norm": ("norm", "b_norm"),
    "lambda_layer": ("tlora", "lambda"),
    "p_layer": ("tlora", "p"),
    "q_layer": ("tlora", "q"),
}
"""Last parts of names: the algorithm, and the part that the tensor plays."""

WEIGHTS = {
    "lora_down": ("lora", "down"),
    "lora_up": ("lora", "up"),
    "lora_mid": ("lora", "mid"),
    "lora_A": ("lora", "down"),
    "lora_B": ("lora", "up"),
    "lora_magnitude_vector": ("", "dora"),
    "oft_R": ("oft", "blocks"),
    "a1": ("glora", "a1"),
    "a2": ("glora", "a2"),
    "b1": ("glora", "b1"),
    "b2": ("glora", "b2"),
    "q_layer": ("tlora", "q"),
    "p_layer": ("tlora", "p"),
}
"""… where `.weight` follows, or the name of a PEFT adapter and `.weight`."""

HALVES = {"down": ("lora", "down"), "up": ("lora", "up")}
"""… of the older diffusers and of XLabs (`to_k_lora.down.weight`, `qkv_lora1.up.weight`)."""

NEEDS = {
    "lora": (("down", "up"),),
    "loha": (("w1_a", "w1_b", "w2_a", "w2_b"),),
    "lokr": (("w1", "w2"), ("w1", "w2_a", "w2_b"), ("w1_a", "w1_b", "w2"), ("w1_a", "w1_b", "w2_a", "w2_b")),
    "glora": (("a1", "a2", "b1", "b2"),),
}
"""Parts that a module must have, all of one row."""

RIDERS = frozenset({"full", "norm"})
"""Plain differences and norms: they ride along with every algorithm."""

LYCORIS = frozenset({"loha", "lokr", "oft", "boft", "glora", "ia3", "full", "norm", "tlora"})
OFT_AXES = 3
SHARE = 0.5
"""A file is an adapter where fewer of its keys than this belong to none: checkpoints carry left-over pairs."""

BUNDLED = "bundle_emb."
"""Embeddings that ride along, and do not count."""

NAMED = ("lora_A", "lora_B", "lora_magnitude_vector")
"""Parts behind which PEFT puts the adapter's name (`.lora_A.default.weight`)."""

LYCORIS_PARTS = ("hada_", "lokr_")
"""… and these, without a word for weight (`.lokr_w1.default`)."""


@dataclass(slots=True)
class Module:
    """The tensors of one adapted layer, by the part that they play."""

    algorithm: str = ""
    parts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def inputs(self) -> int | None:
        """Input width of the layer that is adapted; None where the factors do not tell."""
        if self.algorithm == "lokr":
            return self._size("w1", "b", 1) * self._size("w2", "b", 1) or None
        parts = (self.parts.get(part) for part in ("down", "w1_b", "a1", "diff"))
        return next((tensor.shape[1] for tensor in parts if tensor and len(tensor.shape) > 1), None)

    @property
    def outputs(self) -> int | None:
        """Output width of the layer that is adapted; None where the factors do not tell."""
        if self.algorithm == "lokr":
            return self._size("w1", "a", 0) * self._size("w2", "a", 0) or None
        tensor = self.parts.get("up") or self.parts.get("w1_a") or self.parts.get("diff")
        return tensor.shape[0] if tensor and tensor.shape else None

    @property
    def convolution(self) -> bool:
        """Whether it adapts a convolution wider than a point, as LoCon does and LoRA does not."""
        down = self.parts.get("down")
        return "mid" in self.parts or (down is not None and len(down.shape) > 2 and max(down.shape[2:]) > 1)  # noqa: PLR2004 - beyond rows and columns

    @property
    def stacked(self) -> bool:
        """Whether its rotations are applied one after the other, as BOFT does and OFT does not."""
        blocks = self.parts.get("blocks")
        return blocks is not None and len(blocks.shape) > OFT_AXES

    @property
    def complete(self) -> bool:
        """Whether every factor has its counterpart."""
        needs = NEEDS.get(self.algorithm)
        return needs is None or any(all(part in self.parts for part in row) for row in needs)

    @property
    def fits(self) -> bool:
        """Whether the ranks of both factors agree."""
        down, up = self.parts.get("down"), self.parts.get("up")
        if down is None or up is None or not down.shape or len(up.shape) < 2:  # noqa: PLR2004 - rows and columns
            return True
        return down.shape[0] == up.shape[1]

    def _size(self, factor: str, half: str, axis: int) -> int:
        """Of one Kronecker factor, stored whole or in two halves; 0 where it does not tell."""
        tensor = self.parts.get(factor) or self.parts.get(f"{factor}_{half}")
        return tensor.shape[axis] if tensor and len(tensor.shape) > axis else 0


def read(names: Names) -> Found | None:
    """An adapter with its family and algorithm, or None."""
    found = None if "lora_controlnet" in names else _modules(names)
    if not found or not any(module.algorithm for module in found.values()):
        return None
    return _adapter(names, found)


def role(name: str) -> tuple[str, str, str] | None:
    """The module, the algorithm and the part of a key such as `lora_unet_….lora_down.weight`; None for other keys."""
    stem, _, last = name.rpartition(".")
    if last in PLAIN:
        return (stem, *PLAIN[last])
    if last not in {"weight", "bias"}:
        module, _, part = stem.rpartition(".")
        return (module, *PLAIN[part]) if part.startswith(LYCORIS_PARTS) and part in PLAIN else None
    module, _, part = stem.rpartition(".")
    if part not in WEIGHTS:
        outer, _, factor = module.rpartition(".")
        if factor in NAMED:
            module, part = outer, factor
    if part in WEIGHTS:
        return (module, *((WEIGHTS[part]) if last == "weight" else ("lora", "bias")))
    if part in HALVES and module.rstrip("12").endswith(("lora", "lora_linear_layer")):
        return (module.removesuffix(".lora").removesuffix(".lora_linear_layer"), *HALVES[part])
    return None


def _modules(names: Names) -> dict[str, Module] | None:
    """The layers that are adapted; None as soon as half of the keys belong to none, as in every checkpoint."""
    found: dict[str, Module] = {}
    allowed = len(names) * SHARE
    for name, tensor in names.items():
        known = role(name)
        if known is None:
            allowed -= not name.startswith(BUNDLED)
            if allowed <= 0:
                return None
            continue
        stem, algorithm, part = known
        module = found.get(stem) or found.setdefault(stem, Module())
        if algorithm and (not module.algorithm or module.algorithm in RIDERS):
            module.algorithm = algorithm
        module.parts[part] = tensor
    return found


def _adapter(names: Names, found: dict[str, Module]) -> Found:
    algorithm = _algorithm(found)
    origin = modules.origin(found)
    facts: dict[str, Fact] = {}
    if any("dora" in module.parts for module in found.values()):
        facts["dora"] = True
    rank = next((down.shape[0] for module in found.values() if (down := module.parts.get("down")) and down.shape), None)
    if rank is not None:
        facts["rank"] = rank
    if any(name.startswith(BUNDLED) for name in names):
        facts["bundled"] = ("embeddings",)
    facts |= origin.facts
    orphans = [_orphan(stem, module) for stem, module in found.items() if not module.complete]
    torn = [f"{brief(stem)}: ranks differ" for stem, module in found.items() if not module.fits]
    return Found(
        category="lycoris" if algorithm in LYCORIS else "lora",
        family=origin.family,
        layout=origin.layout,
        algorithm=algorithm,
        conditioning=("canny", "depth") if origin.facts.get("control") else (),
        facts=facts,
        evidence=deciding(part for stem in origin.deciding for part in found[stem].parts.values() if part.shape),
        missing=tuple(orphans + torn),
        contradiction=origin.contradiction,
    )


def _algorithm(found: dict[str, Module]) -> str:
    """What most modules use. Plain differences and norms ride along with any; alone they count."""
    counts = Counter(module.algorithm for module in found.values() if module.algorithm)
    main = Counter({name: count for name, count in counts.items() if name not in RIDERS}) or counts
    algorithm = max(main, key=lambda name: (main[name], name))
    if algorithm == "lora" and any(module.convolution for module in found.values()):
        return "locon"
    if algorithm == "oft" and any(module.stacked for module in found.values()):
        return "boft"
    return algorithm


def _orphan(stem: str, module: Module) -> str:
    return f"{brief(stem)}: only {', '.join(sorted(set(module.parts) - {'alpha', 'dora', 'bias'})) or 'an alpha'}"
