from __future__ import annotations

import math
import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from penstock.weights import kernels
from penstock.weights.kernels import BLOCK, BOUNDS, Narrower, span

TYPES = {"BF16": np.dtype(ml_dtypes.bfloat16), "F16": np.dtype(np.float16)}


def block_of(numbers: np.ndarray) -> memoryview:
    return memoryview(numbers.tobytes())


def words_of(block: memoryview) -> list[int]:
    return list(np.frombuffer(block, np.uint16))


@given(bits=arrays.arrays(np.uint32, st.integers(1, 60)), target=st.sampled_from(["BF16", "F16"]))
def test_any_f32_is_rounded_as_the_libraries_round_it_and_a_nan_becomes_the_quiet_one(
    bits: np.ndarray, target: str
) -> None:
    numbers = bits.view(np.float32)
    with np.errstate(all="ignore"):
        expected = numbers.astype(TYPES[target])

    narrowed, _ = Narrower(target)(block_of(numbers), "F32")

    got = np.frombuffer(narrowed, np.uint16)
    number = ~np.isnan(numbers)
    assert (got[number] == expected.view(np.uint16)[number]).all()
    quiet = 0x7FC0 if target == "BF16" else 0x7E00
    assert (got[~number] & 0x7FFF == quiet).all()
    assert (got[~number] >> 15 == bits[~number] >> 31).all()


def test_every_f16_and_every_middle_between_two_is_rounded_like_numpy_does() -> None:
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float64)
    middles = ((halves[1:] + halves[:-1]) / 2).astype(np.float32)
    beside = [np.nextafter(middles, np.float32(to)) for to in (0, np.inf)]
    numbers = np.concatenate([halves.astype(np.float32), middles, *beside, -middles])
    narrower = Narrower("F16")
    step = BLOCK // 4

    for begin in range(0, numbers.size, step):
        part = numbers[begin : begin + step]
        narrowed, distance = narrower(block_of(part), "F32")
        assert bytes(narrowed) == part.astype(np.float16).tobytes()
        assert distance.broken == 0


@given(numbers=arrays.arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e300, 1e300)))
def test_f64_is_rounded_to_bf16_once_and_not_twice(numbers: np.ndarray) -> None:
    narrowed, _ = Narrower("BF16")(block_of(numbers), "F64")

    assert words_of(narrowed) == [nearest_bf16(float(number)) for number in numbers]


def nearest_bf16(number: float) -> int:
    """By exact comparison with the BF16 around it, the even one where both are as near."""
    size = min(abs(number), 2.0**128)
    low = min(struct.unpack("<I", struct.pack("<f", min(size, float(np.finfo(np.float32).max))))[0] >> 16, 0x7F7F)
    around = [word for word in (low - 1, low, low + 1) if word >= 0]
    values = {
        word: 2.0**128 if word == 0x7F80 else struct.unpack("<f", struct.pack("<I", word << 16))[0] for word in around
    }
    best: int = min(around, key=lambda word: (abs(values[word] - size), word & 1))
    return best | (0x8000 if math.copysign(1, number) < 0 else 0)


def test_a_tie_that_f32_would_hide_is_broken_by_what_f64_knows() -> None:
    above_the_tie = 1 + 2.0**-8 + 2.0**-40

    narrowed, _ = Narrower("BF16")(block_of(np.array([above_the_tie])), "F64")

    assert words_of(narrowed) == [0x3F81]


@pytest.mark.parametrize(
    ("target", "numbers", "broken"),
    [
        ("F16", [65504, 65519.99, 65520, 1e30, -7e4, 6e-8, 2.9e-8, -1e-42], 3),
        ("BF16", [3.396e38, 3.3962e38, -3.4e38, 65520, -1e-42], 2),
        ("BF16", [math.nan, math.inf, -math.inf, 1.5], 0),
        ("F16", [math.nan, math.inf, -math.inf, 1.5], 0),
    ],
)
def test_numbers_that_become_infinite_are_counted_and_those_that_were_are_not(
    target: str, numbers: list[float], broken: int
) -> None:
    _, distance = Narrower(target)(block_of(np.array(numbers, np.float32)), "F32")

    assert distance.broken == broken


@pytest.mark.parametrize("target", ["BF16", "F16"])
@pytest.mark.parametrize("scale", [2.0**-100, 2.0**-20, 1.0, 2.0**14])
def test_the_distance_is_that_of_an_exact_computation(target: str, scale: float) -> None:
    numbers = (np.random.default_rng(7).standard_normal(5000) * scale / 8).astype(np.float32)

    narrowed, distance = Narrower(target)(block_of(numbers), "F32")

    exact = numbers.astype(np.float64)
    error = np.abs(exact - np.frombuffer(narrowed, TYPES[target]).astype(np.float64))
    bound = BOUNDS[target]
    assert (error <= np.abs(exact) * bound.relative + bound.absolute).all()
    assert distance.broken == 0
    assert distance.worst == error.max()
    assert distance.signal == pytest.approx((exact**2).sum(), rel=1e-5)
    assert distance.noise == pytest.approx((error**2).sum(), rel=1e-5)


@pytest.mark.parametrize(("target", "rounding"), [("BF16", "_bfloat16"), ("F16", "_float16")])
def test_a_rounding_that_was_wrong_would_be_found_where_its_bits_are_read_back(
    target: str, rounding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.random.default_rng(2).standard_normal(1000, np.float32)
    right = getattr(kernels, rounding)

    def wrong(*arguments: np.ndarray) -> np.ndarray:
        words: np.ndarray = right(*arguments)
        words[[3, 500]] += 2
        return words

    monkeypatch.setattr(kernels, rounding, wrong)

    assert Narrower(target)(block_of(numbers), "F32")[1].broken == 2


def test_the_decibels_of_ordinary_weights_are_the_known_ones() -> None:
    numbers = np.random.default_rng(1).standard_normal(100_000, np.float32) * np.float32(0.02)

    levels = [Narrower(target)(block_of(numbers), "F32")[1].sqnr for target in ("BF16", "F16")]

    assert levels == [pytest.approx(55.6, abs=0.1), pytest.approx(73.7, abs=0.1)]


@pytest.mark.parametrize(
    ("dtype", "numbers"),
    [
        ("F64", np.array([1e300, -2.5, 0.0])),
        ("F32", np.array([-3.5, -1e-42, -7], np.float32)),
        ("F16", np.array([6e-8, 65504], np.float16)),
        ("BF16", np.array([-0.0, 3, -4], ml_dtypes.bfloat16)),
        ("F8_E4M3", np.array([448, -0.5], ml_dtypes.float8_e4m3fn)),
        ("F8_E5M2", np.array([57344, -57344], ml_dtypes.float8_e5m2)),
        ("I64", np.array([-5, 2**60])),
        ("BOOL", np.array([0, 1, 7], np.uint8)),
    ],
)
def test_a_span_is_from_the_least_to_the_greatest_number(dtype: str, numbers: np.ndarray) -> None:
    found = span(block_of(numbers), dtype)

    assert (found.least, found.greatest, found.nonfinite) == (float(numbers.min()), float(numbers.max()), 0)


def test_a_span_leaves_out_what_is_not_finite_and_counts_it() -> None:
    numbers = np.array([np.nan, 2, -np.inf, -3, np.inf], np.float32)

    found = span(block_of(numbers), "F32") | span(block_of(np.array([np.nan], np.float32)), "F32")

    assert (found.least, found.greatest, found.nonfinite) == (-3, 2, 4)


def test_numbers_at_odd_addresses_are_read_right() -> None:
    numbers = np.arange(9, dtype=np.float32)
    shifted = memoryview(b"x" + numbers.tobytes())[1:]

    narrowed, distance = Narrower("BF16")(shifted, "F32")

    assert np.frombuffer(narrowed, TYPES["BF16"]).astype(np.float32).tolist() == numbers.tolist()
    assert (distance.noise, distance.sqnr) == (0, None)
    assert span(shifted, "F32").greatest == 8
