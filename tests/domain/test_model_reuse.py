"""What two models share, tensor by tensor."""

from __future__ import annotations

import pytest

from penstock.domain.model_reuse import Overlap, overlap


def manifest(*tensors: tuple[str, str, int]) -> dict[str, object]:
    """Name, hash and bytes of each."""
    entries, begin = [], 0
    for name, digest, size in tensors:
        entries.append(
            {"name": name, "dtype": "F16", "shape": [size // 2], "blake3": digest, "offsets": [begin, begin + size]}
        )
        begin += size
    return {"tensors": entries}


def test_tensors_are_the_same_whatever_they_are_called() -> None:
    one = manifest(("unet", "a", 100), ("text", "b", 10), ("vae", "c", 4))
    other = manifest(("encoder", "b", 10), ("vae", "c", 4), ("unet", "d", 100))

    assert overlap(one, other) == Overlap(tensors=3, bytes=114, shared_tensors=2, shared_bytes=14)


def test_equal_bytes_of_another_shape_are_another_tensor() -> None:
    one, other = manifest(("a", "x", 8)), manifest(("a", "x", 8))
    other["tensors"][0]["shape"] = [2, 2]  # type: ignore[index]  # made above

    assert overlap(one, other).shared_tensors == 0


@pytest.mark.parametrize("wrong", [{}, {"tensors": 5}, {"tensors": [5]}, {"tensors": [{"dtype": "F16"}]}])
def test_what_is_no_manifest_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="manifest"):
        overlap(manifest(), wrong)
