"""Camera moves over a still picture: what a prompt asks for, and where the frame is at each moment.

A move is a path of the frame over the picture, eased at both ends. English words only.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

DEFAULT_MOVE = "push-in"
"""Taken when the prompt names no move: a slow one towards the middle."""

_SIDEWAYS = r"(?:pan|truck|slide|track)(?:s|n?ing)?(?: slowly| gently| quickly)?(?: to the)?"
_UPRIGHT = r"(?:tilt|pedestal|crane|boom|jib|pan)(?:s|n?ing)?(?: slowly| gently| quickly)?"
_WORDS = {
    "static": r"static|still camera|locked[ -]off|no camera (?:move|movement|motion)|fixed camera|tripod",
    "crash-zoom": r"crash[ -]zoom|snap zoom|fast zoom|quick zoom",
    "push-in": (
        r"zoom(?:s|ing)?[ -]in|push(?:es|ing)?[ -]in|doll(?:y|ies|ying)[ -]in|close[ -]?in|track(?:s|ing)? in|"
        r"mov(?:e|es|ing) (?:closer|forwards?|in)"
    ),
    "pull-out": (
        r"zoom(?:s|ing)?[ -](?:out|back)|pull(?:s|ing)?[ -](?:out|back|away)|doll(?:y|ies|ying)[ -](?:out|back)|"
        r"reveal(?:s|ing)?|mov(?:e|es|ing) (?:away|back|backwards?)"
    ),
    "pan-left": rf"{_SIDEWAYS} left(?:wards?)?",
    "pan-right": rf"{_SIDEWAYS} right(?:wards?)?",
    "tilt-up": rf"{_UPRIGHT} up(?:wards?)?|ris(?:e|es|ing)(?: slowly)? up(?:wards?)?",
    "tilt-down": rf"{_UPRIGHT} down(?:wards?)?|descend(?:s|ing)?",
    "roll": r"roll(?:s|ing)?|spin(?:s|ning)?|rotat(?:e|es|ing|ion)|orbit(?:s|ing)?|twist(?:s|ing)?|swirl(?:s|ing)?",
    "handheld": r"hand[ -]?held|shak(?:y|ing|e)|documentary|wobbl(?:y|ing|e)|vlog",
    "pan-any": r"pan(?:s|ning)?|sweep(?:s|ing)?|track(?:s|ing)? shot|side to side",
    "zoom-any": r"zoom(?:s|ing)?|doll(?:y|ies|ying)",
}
_MEANT = {"pan-any": "pan-right", "zoom-any": "push-in"}
MOVES = tuple(name for name in _WORDS if name not in _MEANT)
TRAVELLING = frozenset({"pan-left", "pan-right", "tilt-up", "tilt-down"})
"""Moves that go over as much of a picture as there is."""

_STRONG = re.compile(r"\b(?:fast|quick(?:ly)?|dramatic(?:ally)?|rapid(?:ly)?|strong(?:ly)?|extreme)\b")
_WEAK = re.compile(r"\b(?:slow(?:ly)?|gentl[ey]|subtl[ey]|slight(?:ly)?|calm(?:ly)?|soft(?:ly)?)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """`name` is one of `MOVES`; `strength` is 1 for the usual extent; `asked`: the prompt named it."""

    name: str
    strength: float
    asked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Where the camera looks: middle as fractions of the room there is (-1..1), zoom ≥ 1, roll in radians."""

    right: float
    down: float
    zoom: float
    roll: float


def read_move(prompt: str) -> Move:
    """The first move that the prompt names, else the default one."""
    text = " ".join(prompt.casefold().split())
    places = {name: match.start() for name, words in _WORDS.items() if (match := re.search(rf"\b(?:{words})\b", text))}
    found = min(places, key=places.__getitem__, default=None)
    strength = 1.6 if _STRONG.search(text) else 0.6 if _WEAK.search(text) else 1.0
    if found is None:
        return Move(name=DEFAULT_MOVE, strength=strength, asked=False)
    return Move(name=_MEANT.get(found, found), strength=strength, asked=True)


def frame_at(move: Move, moment: float, *, phase: float = 0.0) -> Frame:
    """The frame at `moment` (0..1 through the film). `phase` (radians) makes handheld moves differ."""
    far = 1 + 0.22 * move.strength
    eased = _eased(moment)
    match move.name:
        case "push-in":
            return Frame(right=0, down=0, zoom=1 + (far - 1) * eased, roll=0)
        case "pull-out":
            return Frame(right=0, down=0, zoom=far - (far - 1) * eased, roll=0)
        case "crash-zoom":
            return Frame(right=0, down=0, zoom=1 + 0.9 * _eased(min(1.0, max(0.0, (moment - 0.35) / 0.3))), roll=0)
        case "pan-left" | "pan-right":
            way = 1 if move.name == "pan-right" else -1
            return Frame(right=way * (2 * eased - 1), down=0, zoom=far, roll=0)
        case "tilt-up" | "tilt-down":
            way = 1 if move.name == "tilt-down" else -1
            return Frame(right=0, down=way * (2 * eased - 1), zoom=far, roll=0)
        case "roll":
            turn = math.radians(9) * move.strength * (2 * eased - 1)
            return Frame(right=0, down=0, zoom=1.0 + 0.05 * eased, roll=turn)
        case "handheld":
            return _shaken(moment, move.strength, phase)
        case _:
            return Frame(right=0, down=0, zoom=1.0, roll=0)


def _shaken(moment: float, strength: float, phase: float) -> Frame:
    """A few slow waves that never fall together: what a hand does."""
    turn = 2 * math.pi * moment

    def wave(*beats: float) -> float:
        return sum(math.sin(beat * turn + phase * beat) for beat in beats) / len(beats)

    return Frame(
        right=0.55 * wave(1.3, 3.1, 5.7),
        down=0.55 * wave(1.7, 2.3, 6.1),
        zoom=1 + 0.07 * strength,
        roll=math.radians(0.8) * strength * wave(1.1, 2.9),
    )


def _eased(moment: float) -> float:
    """From 0 to 1, beginning and ending slowly."""
    return moment * moment * (3 - 2 * moment)
