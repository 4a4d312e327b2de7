"""What becomes of each tensor when a file is optimised, told from names, types and shapes alone."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from penstock.weights.header import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.weights.header import Header, Tensor

NARROWING: Mapping[str, str] = {
    "sd1": "F16",
    "sd2": "F16",
    "sdxl": "F16",
    "sdxl_pruned": "F16",
    "sdxl_refiner": "F16",
    "flux1": "BF16",
    "flux1_pruned": "BF16",
    "sd3": "BF16",
    "hidream": "BF16",
    "qwen": "BF16",
}
"""By family. UNets are published as F16, which has three more bits of mantissa; transformers need BF16's range."""
_NARROWED_CATEGORIES = frozenset({"checkpoint", "controlnet"})
_VAE = ("first_stage_model.", "vae.")
_LEFTOVERS = re.compile(r"(model_ema|optimizer\w*|lr_schedulers?|callbacks|loops)(\.|$)")
_BYTE, _WORD = 8, 16
_SMALL_FLOATS = frozenset(dtype for dtype, bits in DTYPE_BITS.items() if dtype.startswith("F") and bits <= _BYTE)
_QUANTISED = re.compile(
    r"(^|\.)scaled_fp8$|\.(scale_weight|scale_input|weight_scale(_2)?|input_scale|comfy_quant|absmax|qweight|qzeros"
    r"|quant_map|nested_absmax|nested_quant_map)$|\.quant_state\."
)
_EXACT = re.compile(
    r"(^|\.)(alpha|logit_scale|scaled_fp8|betas|alphas_cumprod(_prev)?|sqrt_(one_minus_)?alphas_cumprod"
    r"|log_one_minus_alphas_cumprod|sqrt_recipm?1?_alphas_cumprod|posterior_\w+|logvar|(log_)?sigmas|lvlb_weights"
    r"|v_pred|ztsnr|edm_mean|edm_std|edm_vpred\.sigma_max|__index_timestep_zero__|control_type)$"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator may choose.

    `narrow`: by family, not at all, or to one type. `vae`: part of a checkpoint, which F16 would spoil. `ema`: the
    averages of training, dropped, kept, or put in place of the weights. `training_notes`: metadata `ss_*`.
    """

    narrow: Literal["auto", "off", "BF16", "F16"] = "auto"
    vae: Literal["keep", "BF16"] = "keep"
    ema: Literal["drop", "keep", "promote"] = "drop"
    training_notes: Literal["keep", "drop"] = "keep"

    def words(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What becomes of one tensor: dropped, or called `name` and of type `dtype`; and why."""

    name: str
    dtype: str
    reason: str
    dropped: bool = False


def treatments(header: Header, *, category: str | None, family: str | None, options: Options) -> tuple[Treatment, ...]:
    """In the order of `header.tensors`."""
    averages = _averages(header) if options.ema == "promote" else {}
    replaced = set(averages.values())
    target = _target(header, category, family, options)
    decided = []
    for tensor in header.tensors:
        name = averages.get(tensor.name, tensor.name)
        if tensor.name in replaced:
            decided.append(_drop(tensor, "replaced by its average"))
        elif name == tensor.name and options.ema != "keep" and _LEFTOVERS.match(name):
            decided.append(_drop(tensor, "left over from training"))
        else:
            decided.append(_kept_or_narrowed(tensor, name, target, options))
    if all(treatment.dropped for treatment in decided):
        return tuple(
            Treatment(name=tensor.name, dtype=tensor.dtype, reason="all there is") for tensor in header.tensors
        )
    return tuple(decided)


def is_quantised(header: Header) -> bool:
    """Whether numbers stand for others through scales or tables: such a file is only laid out anew."""
    return "_quantization_metadata" in header.metadata or any(
        tensor.dtype in _SMALL_FLOATS or _QUANTISED.search(tensor.name) for tensor in header.tensors
    )


def _target(header: Header, category: str | None, family: str | None, options: Options) -> str | None:
    """The type that the file's numbers are narrowed to, before any exception."""
    if options.narrow == "off" or category not in _NARROWED_CATEGORIES or is_quantised(header):
        return None
    return NARROWING.get(family or "") if options.narrow == "auto" else options.narrow


def _kept_or_narrowed(tensor: Tensor, name: str, target: str | None, options: Options) -> Treatment:
    def keep(reason: str) -> Treatment:
        return Treatment(name=name, dtype=tensor.dtype, reason=reason)

    if tensor.dtype not in {"F32", "F64"}:
        return keep("16 bits or fewer" if DTYPE_BITS[tensor.dtype] <= _WORD else "not what is narrowed")
    if target is None:
        return keep("nothing is narrowed in this file")
    if math.prod(tensor.shape) <= 1 or _EXACT.search(name):
        return keep("must stay exact")
    if name.startswith(_VAE):
        target = options.vae
        if target == "keep":
            return keep("part of the VAE")
    return Treatment(name=name, dtype=target, reason=f"{tensor.dtype} to {target}")


def _averages(header: Header) -> Mapping[str, str]:
    """Averages by name, and the weights that they stand for: `model_ema.` + a name less its first part and its dots."""
    found = {}
    for tensor in header.tensors:
        average = header.by_name.get("model_ema." + tensor.name.partition(".")[2].replace(".", ""))
        if average is not None and tensor.name.startswith("model.") and average.shape == tensor.shape:
            found[average.name] = tensor.name
    return found


def _drop(tensor: Tensor, reason: str) -> Treatment:
    return Treatment(name=tensor.name, dtype=tensor.dtype, reason=reason, dropped=True)
