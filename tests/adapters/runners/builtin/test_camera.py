"""Camera moves: read from a prompt, and followed."""

from __future__ import annotations

import itertools

import pytest

from penstock.adapters.runners.builtin.camera import DEFAULT_MOVE, MOVES, Move, frame_at, read_move


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Zoom in on her face", "push-in"),
        ("the camera slowly pushes in", "push-in"),
        ("a dolly in shot", "push-in"),
        ("zoom", "push-in"),
        ("pull back to reveal the room", "pull-out"),
        ("zooming out", "pull-out"),
        ("pan left", "pan-left"),
        ("panning slowly to the right", "pan-right"),
        ("a panning shot", "pan-right"),
        ("truck left", "pan-left"),
        ("tilt up to the sky", "tilt-up"),
        ("the camera rises up", "tilt-up"),
        ("tilting downwards", "tilt-down"),
        ("orbit around the cup", "roll"),
        ("handheld documentary", "handheld"),
        ("crash zoom!", "crash-zoom"),
        ("static shot, locked off", "static"),
        ("pan left, then zoom in", "pan-left"),
    ],
)
def test_a_prompt_names_a_move_in_many_words(prompt: str, name: str) -> None:
    move = read_move(prompt)

    assert (move.name, move.asked) == (name, True)


@pytest.mark.parametrize("prompt", ["", "The scene comes to life", "Animate this image", "a frying pancake", "动起来"])
def test_a_prompt_without_a_move_gets_the_default_one(prompt: str) -> None:
    assert read_move(prompt) == Move(name=DEFAULT_MOVE, strength=1.0, asked=False)


def test_slow_moves_go_less_far_and_fast_ones_farther() -> None:
    ends = [frame_at(read_move(f"zoom in {pace}"), 1.0).zoom for pace in ("slowly", "", "fast")]

    assert ends == sorted(set(ends))


@pytest.mark.parametrize("name", MOVES)
def test_a_move_is_smooth_and_stays_where_there_is_picture(name: str) -> None:
    move = Move(name=name, strength=1.6, asked=True)

    path = [frame_at(move, index / 119, phase=2.0) for index in range(120)]

    assert all(-1 <= frame.right <= 1 and -1 <= frame.down <= 1 and frame.zoom >= 1 for frame in path)
    assert all(abs(one.zoom - other.zoom) < 0.06 for one, other in itertools.pairwise(path))
    assert all(abs(one.right - other.right) < 0.2 for one, other in itertools.pairwise(path))


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("push-in", lambda first, last: last.zoom > first.zoom == 1),
        ("pull-out", lambda first, last: first.zoom > last.zoom == 1),
        ("pan-left", lambda first, last: last.right < first.right),
        ("pan-right", lambda first, last: last.right > first.right),
        ("tilt-up", lambda first, last: last.down < first.down),
        ("tilt-down", lambda first, last: last.down > first.down),
        ("roll", lambda first, last: last.roll > first.roll),
        ("static", lambda first, last: first == last),
    ],
)
def test_a_move_goes_where_its_name_says(name: str, moves: object) -> None:
    move = Move(name=name, strength=1.0, asked=True)

    assert callable(moves)
    assert moves(frame_at(move, 0.0), frame_at(move, 1.0))
