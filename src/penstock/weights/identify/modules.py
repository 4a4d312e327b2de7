"""Which base model the layers of an adapter belong to: by the names of its blocks and the widths of its layers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from penstock.weights.identify.found import number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from penstock.weights.identify.found import Fact

PREFIXES = (
    ("base_model.model.", "peft"),
    ("lora_unet_", "kohya"),
    ("lora_transformer_", "onetrainer"),
    ("lora_te1_", "kohya"),
    ("lora_te2_", "kohya"),
    ("lora_te3_", "kohya"),
    ("lora_te_", "kohya"),
    ("oft_unet_", "kohya"),
    ("lycoris_", "simpletuner"),
    ("model.diffusion_model.", "ldm"),
    ("diffusion_model.", "bfl"),
    ("transformer.", "diffusers"),
    ("unet.", "diffusers"),
    ("text_encoder_3.", "diffusers"),
    ("text_encoder_2.", "diffusers"),
    ("text_encoder.", "diffusers"),
    ("text_encoders.", "comfyui"),
    ("clip_g.", "comfyui"),
    ("clip_l.", "comfyui"),
)
"""What stands before the name of a layer, and who writes it so."""

PREFIXED = 3
"""So many of them may stand one before the other (`transformer.base_model.model.…`)."""

BEGINNINGS = tuple(prefix for prefix, _ in PREFIXES)

TELLING = {
    "distilled_guidance_layer": "chroma",
    "double_stream_modulation": "flux2",
    "single_stream_modulation": "flux2",
    "time_guidance_embed": "flux2",
    "txt_in_individual_token_refiner": "hunyuan_video",
    "context_embedder_token_refiner": "hunyuan_video",
}
"""Layers outside of blocks that only one family has, though its blocks look like those of Flux.1."""

TEXT_ENTRIES, FLUX2_TEXTS = ("txt_in", "context_embedder"), (7680, 12288, 15360)
"""Where texts enter, and how wide those of Flux.2 are."""

LIKE_FLUX = ("flux1", "flux2", "flux_like", "flux1_or_qwen")

TEXT = ("lora_te", "text_encoder", "clip_")

KINDS = {
    "double_stream_blocks_": "hidream",
    "single_stream_blocks_": "hidream",
    "double_blocks_": "bfl",
    "single_blocks_": "bfl",
    "single_transformer_blocks_": "flux_single",
    "transformer_blocks_": "joint",
    "joint_blocks_": "sd3",
    "joint_transformer_blocks_": "aura_flow",
    "single_layers_": "aura_flow",
    "double_layers_": "aura_flow",
    "input_blocks_": "unet",
    "output_blocks_": "unet",
    "middle_block_": "unet",
    "down_blocks_": "unet",
    "up_blocks_": "unet",
    "mid_block_": "unet",
    "layers_": "lumina2",
    "noise_refiner_": "lumina2",
    "context_refiner_": "lumina2",
    "txtfusion_": "krea2",
    "blocks_": "blocks",
}
"""Beginnings of a layer's name, dots taken for underscores."""

STARTS = tuple(KINDS)
CLIP_G = 1280
"""Width of the text encoder that SDXL has and SD 1 and Flux have not."""

CONTEXTS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl_refiner"}
"""Width of the texts that the second attention of a UNet reads."""

SHALLOW = ("down_blocks_0_attentions", "up_blocks_2_attentions", "up_blocks_3_attentions")
ORIGINAL = ("input_blocks_", "output_blocks_", "middle_block_")
FLUX_WIDTH, FLUX_MLP, FLUX_LINEAR, FLUX2_WIDTHS = 3072, 12288, 21504, (4096, 6144)
FLUX_DOUBLES, FLUX_SINGLES = 19, 38
SD3_WIDTHS, HIDREAM_WIDTH = (1536, 2432), 2560
CONTROL_WIDTH = 128
QWEN_PARTS = ("_img_mlp_", "_txt_mlp_", "_img_mod_", "_txt_mod_")
FULL_WIDTH = ("_qkv", "_attn_proj", "_mlp_0", "_linear1", "_mod_lin", "_modulation_lin", "_lora1", "_lora2")
"""Layers of Flux that read the whole width of the model."""

QWEN_PART = "_mlp_net_"
"""… of Qwen-Image, which its successor names otherwise."""

FLUX_PARTS = ("_ff_", "_ff_context_", "_norm1_")
KREA_PARTS = ("_attn_w", "_attn_gate", "_mlp_gate", "_mlp_up", "_mlp_down")
COSMOS_PARTS = ("_proj", "_mlp_layer", "_adaln_modulation_")
HUNYUAN_PARTS = ("_img_mlp_fc", "_txt_mlp_fc", "_img_mod_linear", "_txt_mod_linear")


class Adapted(Protocol):
    """What is asked of the factors of one layer."""

    @property
    def inputs(self) -> int | None:
        """Input width of the layer; None where the factors do not tell."""

    @property
    def outputs(self) -> int | None:
        """Output width of the layer; None where the factors do not tell."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One adapted layer: its name in the file, its name in the model with underscores, and its factors."""

    stem: str
    name: str
    factors: Adapted

    @property
    def index(self) -> int:
        """The number of its block, or -1."""
        return next((index for part in self.name.split("_") if (index := number(part)) is not None), -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The family that the layers belong to, and the layers that decided."""

    family: str | None = None
    layout: str | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)
    deciding: tuple[str, ...] = ()
    contradiction: str | None = None


Votes = dict[str, str]
"""Families, each with the layer that speaks for it."""


def origin(found: Mapping[str, Adapted]) -> Origin:
    """The family of all layers, where they agree on one."""
    layout, groups = _grouped(found)
    texts = {width for layer in groups["text"] if (width := layer.factors.inputs)}
    votes: Votes = {}
    for kind, layers in groups.items():
        vote = VOTERS.get(kind)
        if vote:
            votes |= vote(layers, groups, texts)
    telling = {family: layer.stem for layer in groups["entry"] if (family := _telling(layer))}
    if telling:
        votes = {family: stem for family, stem in votes.items() if family not in LIKE_FLUX} | telling
    if not votes:
        votes = _by_texts(groups["text"], texts)
    facts: dict[str, Fact] = {}
    for layer in groups["entry"]:
        if layer.name in {"img_in", "x_embedder"} and layer.factors.inputs == CONTROL_WIDTH:
            facts["control"] = True
        if layer.name.startswith(("guidance_in", "time_text_embed_guidance")):
            facts["guidance"] = True
    deciding = tuple(votes.values())
    if len(votes) > 1:
        mixed = f"its layers belong to different base models: {', '.join(sorted(votes))}"
        return Origin(layout=layout, facts=facts, deciding=deciding, contradiction=mixed)
    return Origin(family=next(iter(votes), None), layout=layout, facts=facts, deciding=deciding)


def _telling(layer: Layer) -> str | None:
    if layer.name in TEXT_ENTRIES and layer.factors.inputs in FLUX2_TEXTS:
        return "flux2"
    return next((family for start, family in TELLING.items() if layer.name.startswith(start)), None)


def _grouped(found: Mapping[str, Adapted]) -> tuple[str | None, defaultdict[str, list[Layer]]]:
    groups: defaultdict[str, list[Layer]] = defaultdict(list)
    layouts: dict[str, None] = {}
    for stem, factors in found.items():
        name, text = stem, False
        for _ in range(PREFIXED):
            if not name.startswith(BEGINNINGS):
                break
            prefix, layout = next((at, who) for at, who in PREFIXES if name.startswith(at))
            layouts[layout] = None
            text = text or prefix.startswith(TEXT)
            name = name[len(prefix) :]
        flat = name.replace(".", "_").replace("_processor_", "_").removesuffix("_lora")
        groups["text" if text else _kind(flat)].append(Layer(stem, flat, factors))
    return next(iter(layouts), None), groups


def _kind(flat: str) -> str:
    if not flat.startswith(STARTS):
        return "entry"
    return next(kind for start, kind in KINDS.items() if flat.startswith(start))


def _unet(layers: list[Layer], _groups: Mapping[str, list[Layer]], texts: set[int]) -> Votes:
    votes: Votes = {}
    for layer in layers:
        if "_motion_modules_" in layer.name:
            votes.setdefault("animatediff", layer.stem)
        elif layer.name.endswith(("attn2_to_k", "attn2_to_v")) and (width := layer.factors.inputs):
            votes.setdefault(CONTEXTS.get(width, "unet"), layer.stem)
    if votes:
        sdxl_texts = CLIP_G in texts and "sd1" in votes
        return votes | {"sdxl": layers[0].stem} if sdxl_texts else votes
    deep = next((layer for layer in layers if _depth(layer.name)), None)
    original = next((layer for layer in layers if layer.name.startswith(ORIGINAL)), None)
    wide = layers[0] if CLIP_G in texts else None
    decides = deep or original or wide
    if decides:
        return {"sdxl": decides.stem}
    return {"sd1": layers[0].stem} if texts == {768} or any(_shallow(layer.name) for layer in layers) else {}


def _depth(name: str) -> int:
    """Index of the transformer block inside an attention: SD 1 and 2 have the first alone, SDXL up to ten."""
    index = name.partition("_transformer_blocks_")[2].partition("_")[0]
    return number(index) or 0


def _shallow(name: str) -> bool:
    """Attention at the first level, or in a fourth one: SDXL has neither."""
    return name.startswith(SHALLOW)


def _bfl(layers: list[Layer], _groups: Mapping[str, list[Layer]], _texts: set[int]) -> Votes:
    votes: Votes = {}
    for layer in layers:
        votes.setdefault(_bfl_family(layer), layer.stem)
    if len(votes) > 1:  # layers of unknown width speak only where no other does
        votes.pop("", None)
    return {name or "flux1": stem for name, stem in votes.items()}


def _bfl_family(layer: Layer) -> str:
    """The family of one layer; empty where its width does not tell."""
    double = layer.name.startswith("double_blocks_")
    if layer.index >= (FLUX_DOUBLES if double else FLUX_SINGLES) or any(part in layer.name for part in HUNYUAN_PARTS):
        return "flux_like"
    outputs = layer.factors.outputs
    if layer.name.endswith(("_mlp_0", "_linear1")) and outputs not in {None, FLUX_MLP, FLUX_LINEAR}:
        return "flux2"
    if not any(part in layer.name for part in FULL_WIDTH):
        return ""
    width = layer.factors.inputs
    if width is None:
        return ""
    return "flux1" if width == FLUX_WIDTH else "flux2" if width in FLUX2_WIDTHS else "flux_like"


def _flux_single(layers: list[Layer], _groups: Mapping[str, list[Layer]], _texts: set[int]) -> Votes:
    votes: Votes = {}
    for layer in layers:
        width = layer.factors.inputs if layer.name.endswith(("_to_q", "_to_k", "_to_v", "_proj_mlp")) else None
        if "_to_qkv_mlp_proj" in layer.name or width in FLUX2_WIDTHS:
            votes.setdefault("flux2", layer.stem)
        elif layer.index >= FLUX_SINGLES or width not in {None, FLUX_WIDTH}:
            votes.setdefault("flux_like", layer.stem)
        elif width:
            votes.setdefault("flux1", layer.stem)
    return votes or {"flux1": layers[0].stem}


def _joint(layers: list[Layer], groups: Mapping[str, list[Layer]], _texts: set[int]) -> Votes:
    """Blocks that Flux, SD3 and Qwen name alike in diffusers."""
    attention = [layer for layer in layers if layer.name.endswith(("_to_q", "_to_k", "_to_v", "_add_q_proj"))]
    first = next((layer for layer in attention if layer.factors.inputs), layers[0])
    width = first.factors.inputs if attention else None
    qwen = [layer for layer in layers if any(part in layer.name for part in QWEN_PARTS)]
    if qwen:
        gated = next((layer for layer in qwen if "_mlp_" in layer.name and QWEN_PART not in layer.name), None)
        return {"qwen_image_2": gated.stem} if gated else {"qwen": qwen[0].stem}
    if any("_ff_linear_" in layer.name for layer in layers):
        return {"flux2": layers[0].stem}
    if width in SD3_WIDTHS:
        return {"sd3": first.stem}
    if width not in {None, FLUX_WIDTH}:
        return {"flux2" if width in FLUX2_WIDTHS else "other_transformer": first.stem}
    if groups.get("flux_single"):
        return {}
    last = max(layers, key=lambda layer: layer.index)
    if last.index >= FLUX_DOUBLES:
        return {"qwen": last.stem}
    flux = any(part in layer.name for layer in layers for part in FLUX_PARTS)
    return {"flux1" if flux else "flux1_or_qwen": first.stem}


def _sd3(layers: list[Layer], _groups: Mapping[str, list[Layer]], _texts: set[int]) -> Votes:
    return {"sd3": layers[0].stem}


def _hidream(layers: list[Layer], _groups: Mapping[str, list[Layer]], _texts: set[int]) -> Votes:
    queries = (layer for layer in layers if layer.name.endswith("_to_q"))
    width = next((layer.factors.inputs for layer in queries if layer.factors.inputs), HIDREAM_WIDTH)
    return {"hidream" if width == HIDREAM_WIDTH else "hidream_like": layers[0].stem}


def _blocks(layers: list[Layer], _groups: Mapping[str, list[Layer]], _texts: set[int]) -> Votes:
    """Families that call their blocks just so."""
    name = layers[0].name
    if any(part in name for part in KREA_PARTS):
        return {"krea2": layers[0].stem}
    return {"cosmos2" if any(part in name for part in COSMOS_PARTS) else "wan": layers[0].stem}


def _by_texts(layers: Iterable[Layer], texts: set[int]) -> Votes:
    """An adapter of text encoders alone: its width tells where only one family has it."""
    first = next(iter(layers), None)
    if first is None:
        return {}
    if CLIP_G in texts:
        return {"sdxl": first.stem}
    single = first.stem.startswith("lora_te_")
    family = {frozenset({768}): "sd1", frozenset({1024}): "sd2"}.get(frozenset(texts)) if single else None
    return {family: first.stem} if family else {}


def _only(family: str) -> Callable[[list[Layer], Mapping[str, list[Layer]], set[int]], Votes]:
    return lambda layers, _groups, _texts: {family: layers[0].stem}


VOTERS = {
    "unet": _unet,
    "bfl": _bfl,
    "flux_single": _flux_single,
    "joint": _joint,
    "sd3": _sd3,
    "hidream": _hidream,
    "aura_flow": _only("aura_flow"),
    "lumina2": _only("lumina2"),
    "krea2": _only("krea2"),
    "blocks": _blocks,
}
