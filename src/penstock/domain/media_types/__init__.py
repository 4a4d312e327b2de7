"""Media types: what is known of each, which names mean the same, and which kind of asset that makes. Pure."""

from penstock.domain.media_types.names import (
    OCTET_STREAM,
    agree,
    contradicts,
    contradicts_name,
    essence,
    is_media_type,
    is_shown_inline,
    kind_of,
    names_shown_inline,
    says_nothing,
    type_that_counts,
)
from penstock.domain.media_types.table import MEDIA_TYPES, Kind, MediaType, types_of

__all__ = [
    "MEDIA_TYPES",
    "OCTET_STREAM",
    "Kind",
    "MediaType",
    "agree",
    "contradicts",
    "contradicts_name",
    "essence",
    "is_media_type",
    "is_shown_inline",
    "kind_of",
    "names_shown_inline",
    "says_nothing",
    "type_that_counts",
    "types_of",
]
