"""What a model file is, from its header alone: category, family, variant, algorithm, and the keys that decide.

The order of the tests matters, for some files hold keys of another kind too: adapters before control networks before
denoisers before VAEs before embeddings. What nothing recognises stays unknown; there is no family to fall back to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.weights.identify import adapters, controlnets, denoisers, embeddings, metadata, others, vaes
from penstock.weights.identify.found import Found, Suggestions

if TYPE_CHECKING:
    from penstock.weights.header import Header

__all__ = ["Found", "Suggestions", "identify"]

READERS = (adapters.read, controlnets.read, denoisers.read, vaes.read, embeddings.read, others.read)


def identify(header: Header) -> Found:
    """What the file behind a header is. Never fails: an unknown file has no category."""
    names = header.by_name
    found = next((found for reader in READERS if (found := reader(names))), Found())
    suggestions = metadata.read(header.metadata)
    kind = found.type
    if found.category == "embeddings" and suggestions.negative:
        kind = "negative"
    return replace(found, type=kind, tensors=len(names), suggestions=suggestions)
