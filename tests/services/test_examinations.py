"""What the header of a file proposes for the fields of a card."""

from __future__ import annotations

import json

from penstock.services.examinations import proposal_of
from penstock.weights.examine import examine

_LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def proposed(**metadata: str) -> dict[str, object]:
    """What a LoRA of Stable Diffusion 1 with these words proposes."""
    tensors = {
        f"{_LAYER}.lora_down.weight": {"dtype": "F16", "shape": [4, 768], "data_offsets": [0, 6144]},
        f"{_LAYER}.lora_up.weight": {"dtype": "F16", "shape": [320, 4], "data_offsets": [6144, 8704]},
        f"{_LAYER}.alpha": {"dtype": "F16", "shape": [], "data_offsets": [8704, 8706]},
    }
    header = json.dumps({"__metadata__": {f"modelspec.{key}": text for key, text in metadata.items()}, **tensors})
    head = len(header).to_bytes(8, "little") + header.encode("ascii")
    return dict(proposal_of(examine(head, size=None, declared=None)))


def test_the_words_of_a_file_are_proposed() -> None:
    words = {"title": "Ink", "description": "Drawings in ink", "trigger_phrase": "inkstyle, line art"}

    assert proposed(**words) == {
        "category": "lora",
        "name": "Ink",
        "short_description": "Drawings in ink",
        "positive_trigger_words": ["inkstyle", "line art"],
    }


def test_words_that_no_card_takes_are_left_out_and_do_no_harm() -> None:
    assert proposed(title="Ink", description="-") == {"category": "lora", "name": "Ink"}
    assert proposed(trigger_phrase=", ".join(f"word{count}" for count in range(200))).keys() >= {"category"}
