from __future__ import annotations

import pytest

from penstock.weights.identify import identify
from tests.support.headers import made_header

Shapes = dict[str, tuple[int, ...]]


@pytest.mark.parametrize(
    ("family", "tensors"),
    [
        ("sd1", {"emb_params": (8, 768)}),
        ("sd1", {"<token>": (768,)}),
        ("sd1", {"<one>": (1, 768), "<two>": (2, 768)}),
        ("sd2", {"emb_params": (8, 1024)}),
        ("sdxl", {"clip_l": (2, 768), "clip_g": (2, 1280)}),
        ("sdxl", {"text_encoders_0": (2, 768), "text_encoders_1": (2, 1280)}),
        ("sdxl", {"clip_l_out": (2, 768), "clip_g_out": (2, 1280)}),
        ("sd3", {"clip_l": (2, 768), "clip_g": (2, 1280), "t5xxl": (2, 4096)}),
        ("flux1", {"clip_l": (2, 768), "t5": (2, 4096)}),
        ("flux1", {"clip_l": (2, 768), "text_encoders_1": (2, 4096)}),
    ],
)
def test_the_widths_of_the_vectors_tell_the_family(family: str, tensors: Shapes) -> None:
    found = identify(made_header(tensors))

    assert (found.category, found.family, found.missing) == ("embeddings", family, ())


def test_parts_with_different_numbers_of_vectors_do_not_fit() -> None:
    found = identify(made_header({"clip_l": (2, 768), "clip_g": (3, 1280)}))

    assert found.missing == ("rows: clip_g has 3, clip_l has 2",)


@pytest.mark.parametrize(
    "tensors",
    [
        {"clip_g": (2, 1280)},
        {"t5xxl": (2, 4096)},
        {"clip_l": (2, 1280), "x": (2, 768)},
        {"clip_l": (2, 1280), "clip_g": (2, 768)},
    ],
)
def test_vectors_that_no_family_has_alone_are_an_embedding_of_none(tensors: Shapes) -> None:
    found = identify(made_header(tensors))

    assert (found.category, found.family) == ("embeddings", None)
    assert found.contradiction is not None


@pytest.mark.parametrize(
    ("tensors", "dtype"),
    [
        ({"emb_params": (8, 3584)}, "F32"),
        ({"emb_params": (8, 768)}, "I64"),
        ({"a": (8, 8, 768)}, "F32"),
        ({"norm.weight": (768,), "norm.bias": (768,)}, "F32"),
        ({f"token{n}": (1, 768) for n in range(11)}, "F32"),
        ({"table": (49408, 1280)}, "F16"),
    ],
)
def test_few_tensors_alone_make_no_embedding(tensors: Shapes, dtype: str) -> None:
    assert identify(made_header(tensors, dtype=dtype)).category is None


def test_only_metadata_tell_that_an_embedding_is_negative() -> None:
    tensors: Shapes = {"emb_params": (8, 768)}
    told = {"modelspec.is_negative_embedding": "true"}

    assert identify(made_header(tensors)).type == "positive"
    assert identify(made_header(tensors, told)).type == "negative"
