"""Headers come from strangers: whatever stands in them, there is a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.weights import Category, Declaration, VerdictKind
from penstock.weights.header import Header, Tensor
from penstock.weights.identify import adapters, identify, modules, skeletons, transformers
from penstock.weights.verdict import judge, propose

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS = (
    *skeletons.ldm_unet(skeletons.UNETS[2])[::40],
    *skeletons.diffusers_unet(skeletons.UNETS[0])[::40],
    *skeletons.bfl_flux()[::20],
    *skeletons.diffusers_flux()[::40],
    *skeletons.ldm_sd3(24)[::20],
    *skeletons.hidream()[::60],
    *skeletons.qwen()[::60],
    *transformers.OTHERS,
    *("lora_controlnet", "controlnet_x_embedder.weight", "controlnet_blocks.3.weight", "zero_convs.0.0.weight"),
    *("decoder.conv_in.weight", "decoder.conv1.weight", "decoder.up.2.x", "clip_l", "clip_g", "emb_params", "t5xxl"),
    *("conv_in.weight", "body.0.block1.weight", "lllite_unet_x", "task_embedding", "txt_norm.weight", ""),
)
LAYERS = [*modules.KINDS, "x.", "img_in", "time_in.", "transformer_blocks.0.attn.to_q", "0.attn2.to_k", "٣.", "²."]
FACTORS = [*adapters.PLAIN, *(f"{part}.weight" for part in adapters.WEIGHTS), "lora_A.name.weight", "lora.down.weight"]

adapted = st.builds(
    lambda prefix, layer, factor: f"{prefix}{layer}.{factor}",
    st.sampled_from([prefix for prefix, _ in modules.PREFIXES]),
    st.sampled_from(LAYERS),
    st.sampled_from(FACTORS),
)
prefixed = st.builds(
    str.__add__, st.sampled_from(["", "model.diffusion_model.", "control_model.", "vae."]), st.sampled_from(KEYS)
)
names = st.one_of(adapted, prefixed, st.text(max_size=40))
shapes = st.lists(st.sampled_from([0, 1, 4, 9, 64, 320, 640, 768, 1280, 2048, 3072, 4096]), max_size=5).map(tuple)
dtypes = st.sampled_from(["F16", "F32", "U8", "F8_E4M3", "I64"])
words = st.dictionaries(
    st.sampled_from(["modelspec.title", "ss_tag_frequency", "modelspec.architecture", "modelspec.tags"]),
    st.one_of(st.text(max_size=60), st.sampled_from(["flux-1-dev", '{"a": {"b": 1}}', '{"a": [1]}', "[]"])),
)


@settings(max_examples=150)
@given(st.dictionaries(names, st.tuples(dtypes, shapes), min_size=1, max_size=30), words)
def test_every_header_has_a_verdict_and_a_proposal(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str]
) -> None:
    rows = (Tensor(name, dtype, shape, 0, 0) for name, (dtype, shape) in tensors.items())

    found = identify(Header(0, tuple(rows), metadata))
    verdicts = [
        judge(found, Declaration(category=category, architecture=architecture))
        for category in Category
        for architecture in (None, "sdxl", "flux1d")
    ]
    proposal = propose(found)

    assert {verdict.kind for verdict in verdicts} <= set(VerdictKind)
    assert all(verdict.message for verdict in verdicts)
    assert (proposal.refused is None) == bool(proposal.architectures)
