"""Making ids and secrets from the entropy port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.domain.ids import uuid4_text

if TYPE_CHECKING:
    from penstock.domain.ids import UploadId
    from penstock.ports.clock import Entropy

_ID_BYTES = 16
_MEDIA_KEY_BYTES = 16
_FINAL_KEY_BYTES = 4


def new_id(entropy: Entropy) -> str:
    """A fresh id: UUID version 4 text."""
    return uuid4_text(entropy.random_bytes(_ID_BYTES))


def new_media_key(entropy: Entropy, slug: str) -> str:
    """A public handle that alone grants reading: 128 random bits, then the name (S23, MR-03)."""
    return f"{entropy.random_bytes(_MEDIA_KEY_BYTES).hex()}-{slug}"


def new_final_key(entropy: Entropy, upload_id: UploadId) -> str:
    """A key of its own for sealed bytes, never presigned for writing (P7)."""
    return f"assets/{upload_id}-{entropy.random_bytes(_FINAL_KEY_BYTES).hex()}"
