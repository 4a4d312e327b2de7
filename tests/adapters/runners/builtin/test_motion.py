"""A camera over a still picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from penstock.adapters.runners.builtin.camera import MOVES, Move
from penstock.adapters.runners.builtin.motion import film

if TYPE_CHECKING:
    from penstock.adapters.runners.builtin.planes import Plane

SIZE = (64, 36)


def ramp() -> Plane:
    """Blue grows to the right, green downwards; red is full."""
    across, down = np.meshgrid(np.linspace(0, 255, 320), np.linspace(0, 255, 180))
    return np.dstack([across, down, np.full_like(across, 255)]).astype(np.uint8)


def filmed(name: str, picture: Plane | None = None, *, size: tuple[int, int] = SIZE, frames: int = 9) -> list[Plane]:
    move = Move(name=name, strength=1.0, asked=True)
    return list(film(ramp() if picture is None else picture, move, size=size, frames=frames, phase=0.5))


def middle(frame: Plane) -> list[float]:
    return [float(value) for value in frame.reshape(-1, 3).mean(axis=0)]


@pytest.mark.parametrize("name", MOVES)
def test_every_move_shows_nothing_but_the_picture(name: str) -> None:
    frames = filmed(name)

    assert [frame.shape for frame in frames] == [(36, 64, 3)] * 9
    assert all(frame[..., 2].min() > 250 for frame in frames)


def test_a_static_camera_sees_the_whole_picture_all_the_time() -> None:
    frames = filmed("static")

    whole = cv2.resize(ramp(), SIZE, interpolation=cv2.INTER_AREA).astype(np.int16)
    assert np.abs(frames[0] - whole).mean() < 2
    assert all((frame == frames[0]).all() for frame in frames)


def test_a_pan_to_the_right_shows_ever_more_of_the_right() -> None:
    blues = [middle(frame)[0] for frame in filmed("pan-right")]

    assert blues == sorted(blues)
    assert blues[-1] > blues[0] + 20


def test_a_tilt_up_shows_ever_more_of_the_top() -> None:
    greens = [middle(frame)[1] for frame in filmed("tilt-up")]

    assert greens == sorted(greens, reverse=True)


def test_a_push_in_narrows_what_is_seen_around_the_middle() -> None:
    spans = [int(frame[..., 0].max()) - int(frame[..., 0].min()) for frame in filmed("push-in")]

    assert spans == sorted(spans, reverse=True)
    assert spans[-1] < 0.9 * spans[0]


@pytest.mark.parametrize("shape", [(1, 1), (3000, 2), (2, 3000), (500, 100)])
@pytest.mark.parametrize("name", ["roll", "pan-left"])
def test_pictures_of_any_shape_can_be_filmed(shape: tuple[int, int], name: str) -> None:
    frames = filmed(name, np.full((*shape, 3), 77, dtype=np.uint8), frames=3)

    assert all((frame == 77).all() for frame in frames)
