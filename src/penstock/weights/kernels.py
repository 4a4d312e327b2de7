"""Arithmetic on blocks of numbers: what they span, their narrower selves, and how far those are from them.

Every function takes a contiguous block of whole elements and needs a few times its size. Sums are numpy's pairwise ones
in blocks of a fixed size, never BLAS's: the same bytes give the same on every machine, and nothing starts threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping

Floats = npt.NDArray[np.floating[Any]]
Words = npt.NDArray[np.uint16]

BLOCK = 512 << 10
"""Bytes of a block: few enough that what is computed with them stays in a core's second cache."""


@dataclass(frozen=True, slots=True)
class Float:
    """A type of floating numbers: its bits as integers, the least magnitude that is not finite, how to read it."""

    bits: np.dtype[Any]
    signed: np.dtype[Any]
    infinity: int
    values: np.dtype[Any]


FLOATS: Mapping[str, Float] = {
    "F64": Float(np.dtype("<u8"), np.dtype("<i8"), 0x7FF0_0000_0000_0000, np.dtype("<f8")),
    "F32": Float(np.dtype("<u4"), np.dtype("<i4"), 0x7F80_0000, np.dtype("<f4")),
    "F16": Float(np.dtype("<u2"), np.dtype("<i2"), 0x7C00, np.dtype("<f2")),
    "BF16": Float(np.dtype("<u2"), np.dtype("<i2"), 0x7F80, np.dtype(ml_dtypes.bfloat16)),
    "F8_E5M2": Float(np.dtype("u1"), np.dtype("i1"), 0x7C, np.dtype(ml_dtypes.float8_e5m2)),
    "F8_E4M3": Float(np.dtype("u1"), np.dtype("i1"), 0x7F, np.dtype(ml_dtypes.float8_e4m3fn)),
}
WHOLE: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that a narrower number may differ from x: `relative` · |x| + `absolute`; `least`: SQNR of a tensor."""

    relative: float
    absolute: float
    least: float


BOUNDS: Mapping[str, Bound] = {
    "BF16": Bound(2.0**-8, 2.0**-134, 50.0),
    "F16": Bound(2.0**-11, 2.0**-25, 65.0),
}
"""Half a unit in the last place, for numbers in the normal range and below it."""


@dataclass(frozen=True, slots=True)
class Span:
    """Least and greatest finite number, None where there is none, and how many are not finite."""

    least: float | int | None = None
    greatest: float | int | None = None
    nonfinite: int = 0

    def __or__(self, other: Span) -> Span:
        return Span(
            _least(self.least, other.least),
            _greatest(self.greatest, other.greatest),
            self.nonfinite + other.nonfinite,
        )


@dataclass(frozen=True, slots=True)
class Distance:
    """How far narrower numbers are from the ones they stand for: sums of squares, and the worst of them.

    `broken` counts those outside their bound: too large for the narrower type, or no number where there was one.
    """

    signal: float = 0.0
    noise: float = 0.0
    worst: float = 0.0
    broken: int = 0

    def __or__(self, other: Distance) -> Distance:
        return Distance(
            self.signal + other.signal,
            self.noise + other.noise,
            max(self.worst, other.worst),
            self.broken + other.broken,
        )

    @property
    def sqnr(self) -> float | None:
        """Signal to quantisation noise in decibels, two places, at least 0; None where there is no noise."""
        if not self.noise:
            return None
        ratio = self.signal / self.noise
        return round(10 * math.log10(ratio), 2) if 1 < ratio < math.inf else 0.0


def span(block: memoryview, dtype: str) -> Span:
    """What the numbers span. A BOOL that is neither 0 nor 1 shows as its byte. Types of less than a byte span nothing.

    Bits of floats are ordered like their magnitudes, so two scans of integers find extremes and NaN alike.
    """
    if dtype in WHOLE:
        numbers = _array(block, WHOLE[dtype])
        return Span(int(numbers.min()), int(numbers.max())) if numbers.size else Span()
    if dtype not in FLOATS or not block.nbytes:
        return Span()
    kind = FLOATS[dtype]
    bits = _array(block, kind.bits)
    sign = 1 << (8 * kind.bits.itemsize - 1)
    lowest, highest = int(bits.max()), int(bits.view(kind.signed).max())
    if highest >= kind.infinity or lowest >= kind.infinity | sign:
        magnitudes = bits & kind.bits.type(sign - 1)
        finite = bits[magnitudes < kind.infinity]
        rest = span(finite.data.cast("B"), dtype) if finite.size else Span()
        return Span(rest.least, rest.greatest, bits.size - finite.size)
    if highest < 0:
        highest = int(bits.min())
    if lowest < sign:
        lowest = int(bits.min())
    return Span(_value(lowest, kind), _value(highest, kind))


class Narrower:
    """Rounds F32 and F64 to BF16 or F16. It keeps room for one block, so it belongs to one thread."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._rooms = [np.empty(BLOCK // 4, np.float32) for _ in range(2)]

    def __call__(self, block: memoryview, dtype: str) -> tuple[memoryview, Distance]:
        """At most `BLOCK` bytes, rounded to the nearest, ties to even; each NaN becomes the quiet one of its sign.

        What was rounded is read back from its bits and compared with what it was.
        """
        numbers = _array(block, FLOATS[dtype].values)
        first, second = (room[: numbers.size] for room in self._rooms)
        if self._target == "BF16":
            words = _bfloat16(numbers)
            narrower = _from_bfloat16(words, first)
        else:
            words = _float16(numbers, first, second)
            narrower = _from_float16(words, first)
        is_plain = numbers.dtype == np.float32 and _is_finite(words, self._target)
        distance = _distance if is_plain else _distance_at_length
        return words.data.cast("B"), distance(numbers, narrower, self._target, second)


def _bfloat16(numbers: Floats) -> Words:
    singles = _odd(numbers) if numbers.dtype == np.float64 else numbers
    with np.errstate(over="ignore", invalid="ignore"):
        words: Words = singles.astype(ml_dtypes.bfloat16).view(np.uint16)
    return words if _is_finite(words, "BF16") else _quiet(words, "BF16")


def _float16(numbers: Floats, rounded: Floats, powers: Floats) -> Words:
    """F16 by single-precision addition: bit for bit what numpy's own conversion gives, twice as fast.

    With m the power of two whose last place is the last place of the F16 next to x, (|x| + m) is |x| rounded to it by
    the processor, and the difference of the bits of (|x| + m) and m is the F16's mantissa. 0.5 is the m of subnormals.
    """
    exponents = powers.view(np.uint32)
    if numbers.dtype == np.float64 or int(_magnitudes(numbers, exponents).max(initial=0)) >= _OVER_F16:
        with np.errstate(over="ignore", invalid="ignore"):
            return _quiet(numbers.astype("<f2").view(np.uint16), "F16")
    exponents &= np.uint32(0x7F80_0000)
    exponents += np.uint32(13 << 23)
    np.maximum(exponents, np.uint32(0x3F00_0000), out=exponents)
    np.absolute(numbers, out=rounded)
    rounded += powers
    bits = rounded.view(np.uint32)
    bits -= exponents
    exponents >>= np.uint32(13)
    bits += exponents
    words = bits.astype(np.uint16)
    words -= np.uint16(0xF800)  # the bias of the exponents, modulo 2 ** 16
    words |= numbers.view(np.uint16)[1::2] & np.uint16(0x8000)
    return words


def _magnitudes(singles: Floats, out: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    return np.bitwise_and(singles.view(np.uint32), np.uint32(0x7FFF_FFFF), out=out)


_OVER_F16 = 0x477F_F000
"""The bits of 65520, the least F32 that F16 rounds to infinity."""


def _odd(doubles: Floats) -> Floats:
    """F64 to F32, rounded to odd: rounding once more, to 16 bits, then gives what rounding once would have given."""
    with np.errstate(over="ignore", invalid="ignore"):
        singles = doubles.astype(np.float32)
        bits = singles.view(np.uint32)
        finite = np.isfinite(doubles)
        inexact = finite & (singles != doubles)
        bits -= (finite & (np.absolute(singles) > np.absolute(doubles))).astype(np.uint32)
        bits |= inexact.astype(np.uint32)
    return singles


def _is_finite(words: Words, target: str) -> bool:
    """Extremes of the bits as in `span`: neither infinity nor NaN."""
    infinity = FLOATS[target].infinity
    return int(words.view(np.int16).max(initial=0)) < infinity and int(words.max(initial=0)) < infinity | 0x8000


def _quiet(words: Words, target: str) -> Words:
    """Libraries keep different bits of a NaN; we keep its sign."""
    nan = (words & np.uint16(0x7FFF)) > np.uint16(FLOATS[target].infinity)
    words[nan] = (words[nan] & np.uint16(0x8000)) | np.uint16(0x7FC0 if target == "BF16" else 0x7E00)
    return words


def _from_bfloat16(words: Words, out: Floats) -> Floats:
    np.copyto(out, words.view(ml_dtypes.bfloat16))
    return out


def _from_float16(words: Words, out: Floats) -> Floats:
    """Multiplying by a power of two is exact, for subnormals too."""
    if not _is_finite(words, "F16"):
        np.copyto(out, words.view(np.float16))
        return out
    spread = out.view(np.int32)
    np.left_shift(words.view(np.int16), 13, out=spread, dtype=np.int32)
    spread &= np.int32(-0x7000_2000)  # 0x8fffe000: sign, exponent and mantissa at their places
    out *= np.float32(2.0**112)
    return out


def _distance(numbers: Floats, narrower: Floats, target: str, room: Floats) -> Distance:
    """Of finite F32; `narrower` and `room` are written over."""
    broken = _places_outside(numbers, narrower, room) if target == "BF16" else 0
    error = np.subtract(numbers, narrower, out=narrower)
    if target == "F16":
        broken = _outside(numbers, error, BOUNDS[target], room)
    worst = max(float(error.max(initial=0)), -float(error.min(initial=0)))
    with np.errstate(over="ignore"):
        signal = float(np.add.reduce(np.multiply(numbers, numbers, out=room)))
    if _SMALL < signal < _LARGE:
        return Distance(signal, _squares(error), worst, broken)
    return Distance(_squares(numbers.astype(np.float64)), _squares(error.astype(np.float64)), worst, broken)


_SMALL, _LARGE = 2.0**-80, 2.0**100
"""Sums of squares out of this range may hold squares that single precision cannot."""


def _places_outside(numbers: Floats, narrower: Floats, room: Floats) -> int:
    """How many are further away than half of a BF16's last place, counted in places of F32, which their bits number."""
    places = np.subtract(numbers.view(np.uint32), narrower.view(np.uint32), out=room.view(np.uint32))
    places += np.uint32(_HALF_PLACE)
    return 0 if int(places.max(initial=0)) <= 2 * _HALF_PLACE else int(np.count_nonzero(places > 2 * _HALF_PLACE))


_HALF_PLACE = 0x8000


def _outside(numbers: Floats, error: Floats, bound: Bound, room: Floats) -> int:
    """How many errors are larger than their bound."""
    np.absolute(error, out=error)
    np.absolute(numbers, out=room)
    room *= np.float32(bound.relative)
    room += np.float32(bound.absolute)
    room -= error
    return 0 if float(room.min(initial=0)) >= 0 else int(np.count_nonzero(room < 0))


def _distance_at_length(numbers: Floats, narrower: Floats, target: str, _room: Floats) -> Distance:
    """The same of F64, and with infinities and NaN among them, which have to stay what they are."""
    bound = BOUNDS[target]
    finite = np.isfinite(numbers) & np.isfinite(narrower)
    with np.errstate(invalid="ignore"):
        kept = finite | (np.isnan(numbers) & np.isnan(narrower)) | (numbers == narrower)
    size = np.absolute(numbers[finite].astype(np.float64))
    error = np.absolute(numbers[finite].astype(np.float64) - narrower[finite])
    outside = np.count_nonzero(error > size * bound.relative + bound.absolute)
    broken = int(outside) + int(np.count_nonzero(~kept))
    return Distance(_squares(size), _squares(error), float(error.max(initial=0)), broken)


def _squares(numbers: Floats) -> float:
    """Their sum; they are written over."""
    with np.errstate(over="ignore"):
        return float(np.add.reduce(np.multiply(numbers, numbers, out=numbers)))


def _array(block: memoryview, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    array = np.frombuffer(block, dtype)
    return array if array.flags.aligned else array.copy()


def _value(bits: int, kind: Float) -> float:
    return float(np.array([bits], kind.bits).view(kind.values)[0]) + 0.0  # no negative zero


def _least(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else min(one, other)


def _greatest(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)
