"""What a prompt asks for, as far as a filter can give it: style, tones, things for a landscape. English words only."""

from __future__ import annotations

import re
from dataclasses import dataclass

STYLES = ("oil", "watercolour", "pencil", "ink", "cartoon", "pop-art", "mosaic", "pointillism")
DEFAULT_STYLE = "oil"
"""Taken when the prompt names no style."""

_STYLE_WORDS = {
    "oil": r"oils?|impasto|impressionis[tm]|van gogh|painterly|palette knife|brush ?strokes?",
    "watercolour": r"water[ -]?colou?rs?|aquarelles?|gouache|ink wash",
    "pencil": r"pencils?|sketch(?:es|ed|y)?|graphite|charcoal|hand[ -]drawn|drawings?",
    "ink": r"inks?|line[ -]?art|etching|engraving|woodcut|linocut|pen and ink",
    "cartoon": r"cartoons?|comics?|anime|toon|cel[ -]shad(?:ed|ing)|flat design|vector art",
    "pop-art": r"pop[ -]?art|warhol|lichtenstein|screen ?print|silk ?screen|halftone|risograph",
    "mosaic": r"mosaics?|stained[ -]glass|tiles|tiled|tesserae",
    "pointillism": r"pointillis[tm]|seurat|stippl(?:ed|ing)|dots",
}
_TONE_WORDS = {
    "black-and-white": r"black[ -]and[ -]white|black ?& ?white|b ?& ?w|monochrom(?:e|atic)|gr[ae]y ?scale|noir",
    "sepia": r"sepia|vintage|antique|old photo(?:graph)?|daguerreotype",
    "warm": r"warm(?:er|th)?|golden|amber|autumn(?:al)?|sunset|sunrise|fiery|cosy|cozy",
    "cool": r"cool(?:er)?|cold|icy|frosty|winter(?:y)?|blue hour|moonlit|chilly",
    "vivid": r"vivid|vibrant|saturated|colou?rful|neon|bright colou?rs",
    "muted": r"muted|pastels?|faded|desaturated|soft colou?rs|pale",
}
_SCENE_WORDS = {
    "night": r"night|midnight|stars?|starry|moon(?:lit|light)?|galaxy|space|cosmos",
    "sunset": r"sunset|sunrise|dusk|dawn|golden hour|evening",
    "sea": r"sea|ocean|beach|coast|waves?|lake|river|water|island|harbou?r|bay",
    "mountains": r"mountains?|alps?|peaks?|hills?|valley|cliffs?|volcano",
    "forest": r"forests?|woods?|trees?|jungle|pines?",
    "meadow": r"meadows?|flowers?|fields?|grass|garden|spring",
    "city": r"city|cities|skyline|town|buildings?|street|skyscrapers?|cyberpunk|new york|tokyo",
    "desert": r"desert|dunes?|sand|sahara|mars",
    "winter": r"winter(?:y)?|snow(?:y)?|ice|icy|frost(?:y)?|arctic",
    "autumn": r"autumn(?:al)?|fall leaves|october",
}
_COLOUR_WORDS = {
    "red": r"reds?|crimson|scarlet|ruby",
    "orange": r"oranges?|amber|copper",
    "yellow": r"yellows?|gold(?:en)?|lemon",
    "green": r"greens?|emerald|olive|jade",
    "teal": r"teal|turquoise|cyan|aqua",
    "blue": r"blues?|azure|navy|indigo|cobalt",
    "purple": r"purples?|violet|lavender|lilac",
    "pink": r"pinks?|rose|magenta|fuchsia",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """`style` is None where the prompt names none; the rest in the order of the prompt."""

    style: str | None
    tones: tuple[str, ...]
    scene: tuple[str, ...]
    colours: tuple[str, ...]


def read_prompt(prompt: str) -> Wishes:
    """The known words of a prompt. The first style named wins; tones add up."""
    text = " ".join(prompt.casefold().split())
    styles = _found(_STYLE_WORDS, text)
    return Wishes(
        style=styles[0] if styles else None,
        tones=_found(_TONE_WORDS, text),
        scene=_found(_SCENE_WORDS, text),
        colours=_found(_COLOUR_WORDS, text),
    )


def _found(table: dict[str, str], text: str) -> tuple[str, ...]:
    places = {name: match.start() for name, words in table.items() if (match := re.search(rf"\b(?:{words})\b", text))}
    return tuple(sorted(places, key=places.__getitem__))
