"""What a file's metadata suggest: ModelSpec, and what trainers write. Text of users, so it never decides.

ModelSpec 1.0.1 (`modelspec.*`); kohya's sd-scripts (`ss_*`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from penstock.weights.identify.found import Suggestions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TITLE, TEXT, WORD = 200, 2000, 100
"""Most characters of what is suggested."""

WORDS = 10
TAG_FREQUENCY = 1 << 20
"""Most characters of a table of training tags that is read: it can be megabytes."""

SPECS = {
    "stable-diffusion-v1": ("sd1x",),
    "stable-diffusion-xl-turbo": ("sdxlturbo",),
    "stable-diffusion-xl": ("sdxl",),
    "stable-diffusion-v3": ("sd3",),
    "stable-diffusion-3": ("sd3",),
    "flux-1-schnell": ("flux1s",),
    "flux-1-kontext": ("fluxkontextdev",),
    "flux-1": ("flux1d",),
    "hidream": ("hidreamfull", "hidreamdev"),
    "qwen-image": ("qwen_image",),
}
"""Beginnings of `modelspec.architecture`, the longer first."""

BASES = {
    "sdxl": ("sdxl",),
    "sd_v1": ("sd1x",),
    "sd3": ("sd3",),
    "flux1": ("flux1d",),
    "hidream": ("hidreamfull",),
    "qwen": ("qwen_image",),
}
"""Beginnings of `ss_base_model_version`."""

RELATIVES = {"chroma": "chroma", "flux2": "flux2", "flux-2": "flux2", "krea": "krea2"}
"""Beginnings of both for families whose adapters may look like those of Flux.1."""

WORDS_OF_NAMES = {
    "kontext": ("fluxkontextdev",),
    "schnell": ("flux1s",),
    "pony": ("pony",),
    "illustrious": ("illustrious",),
    "noobai": ("illustrious",),
    "lightning": ("sdxllightning",),
    "turbo": ("sdxlturbo",),
    "hyper": ("sdxlhyper", "sdhyper"),
    "lcm": ("sdxllcm", "sd1xlcm"),
    "distill": ("sdxldistilled",),
}
"""Words in titles and names of base models that people use for a variant."""

NAMES = ("modelspec.title", "ss_sd_model_name", "ss_output_name", "modelspec.merged_from", "general.name")

CONDITIONINGS = {
    "canny": "canny",
    "depth": "depth",
    "openpose": "openpose",
    "dwpose": "openpose",
    "lineart": "lineart",
    "softedge": "softedge",
    "hed": "hed",
    "mlsd": "openmlsd",
    "normal": "normal",
    "seg": "seg",
    "shuffle": "shuffle",
    "tile": "tile",
    "inpaint": "inpaint",
    "scribble": "scrible",
    "sketch": "sketch",
    "blur": "blur",
    "gray": "gray",
    "qr": "qrcode",
    "pix2pix": "pix2pix",
}
"""What names of preprocessors contain, and the conditioning that they make."""


def read(metadata: Mapping[str, str]) -> Suggestions:
    """Everything that can be proposed; nothing of it is proved."""
    negative = metadata.get("modelspec.is_negative_embedding", "").strip().lower()
    return Suggestions(
        title=_line(metadata.get("modelspec.title") or metadata.get("ss_output_name"), TITLE),
        author=_line(metadata.get("modelspec.author"), TITLE),
        description=_line(metadata.get("modelspec.description"), TEXT),
        trigger_words=tuple(dict.fromkeys(_trigger_words(metadata))),
        tags=tuple(_split(metadata.get("modelspec.tags", ""))),
        architectures=tuple(dict.fromkeys(_architectures(metadata))),
        conditioning=_conditioning(metadata.get("modelspec.preprocessor", "")),
        negative={"true": True, "false": False}.get(negative),
        network=_line(metadata.get("ss_network_module"), WORD),
        relative=_relative(metadata),
    )


def _architectures(metadata: Mapping[str, str]) -> Iterator[str]:
    spec = metadata.get("modelspec.architecture", "").lower().partition("/")[0]
    base = metadata.get("ss_base_model_version", "").lower()
    special = next((found for start, found in SPECS.items() if spec.startswith(start)), ())
    refined = [name for name in special if name in {"sdxlturbo", "flux1s", "fluxkontextdev"}]
    yield from refined
    told = " ".join(metadata.get(key, "") for key in NAMES).lower()
    for word, found in WORDS_OF_NAMES.items():
        if word in told:
            yield from found
    yield from special
    yield from next((found for start, found in BASES.items() if base.startswith(start)), ())


def _relative(metadata: Mapping[str, str]) -> str | None:
    told = (metadata.get("modelspec.architecture", "").lower(), metadata.get("ss_base_model_version", "").lower())
    return next((family for start, family in RELATIVES.items() if any(text.startswith(start) for text in told)), None)


def _conditioning(preprocessor: str) -> str | None:
    told = preprocessor.lower()
    return next((found for word, found in CONDITIONINGS.items() if word in told), None)


def _trigger_words(metadata: Mapping[str, str]) -> Iterator[str]:
    """The phrase that the author names; else the words with which most of the training pictures were tagged."""
    phrase = metadata.get("modelspec.trigger_phrase", "")
    if phrase:
        yield from _split(phrase)
        return
    table = metadata.get("ss_tag_frequency", "")
    if not table or len(table) > TAG_FREQUENCY:
        return
    try:
        read = json.loads(table)
    except (ValueError, RecursionError):
        return
    counts: dict[str, int] = {}
    for tags in read.values() if isinstance(read, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if type(count) is int:
                counts[tag] = counts.get(tag, 0) + count
    often = sorted(counts, key=lambda tag: (-counts[tag], tag))[:1]
    yield from (word for tag in often if (word := _line(tag, WORD)))


def _split(words: str) -> Iterator[str]:
    found = (_line(word, WORD) for word in words[:TEXT].split(","))
    return (word for word, _ in zip((word for word in found if word), range(WORDS), strict=False))


def _line(text: str | None, most: int) -> str | None:
    """One line of printable characters, cut; None where nothing is left."""
    if not text:
        return None
    printable = "".join(char if char.isprintable() else " " for char in text[: most * 4])
    return " ".join(printable.split())[:most] or None
