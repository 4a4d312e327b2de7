"""Names of media types: which mean the same, which fit together, and what a name says of an asset.

A declaration is a claim; a type found is what the bytes show. Neither makes anything servable: the object origin has
its own rules (S10).
"""

from __future__ import annotations

import re

from penstock.domain.media_types.table import MEDIA_TYPES, Kind

OCTET_STREAM = "application/octet-stream"

_SYNTAX = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}(?:[ \t]*;[\t\x20-\x7e]*)?\Z")
_SYNONYMS = {synonym: one.name for one in MEDIA_TYPES.values() for synonym in one.synonyms}
_UNDECLARED = frozenset(
    {
        *("", OCTET_STREAM, "binary/octet-stream", "application/x-www-form-urlencoded", "multipart/form-data"),
        *("application/unknown", "unknown/unknown", "application/binary", "application/x-binary"),
        *("application/download", "application/x-download", "application/force-download"),
    }
)


def is_media_type(text: str) -> bool:
    """Whether text is `type/subtype`, perhaps with parameters, that can stand in a header (RFC 9110 §8.3.1)."""
    return bool(_SYNTAX.match(text))


def essence(text: str) -> str:
    """`type/subtype`, lower case, without parameters, synonyms folded (`image/jpg` is `image/jpeg`)."""
    plain = text.partition(";")[0].strip().lower()
    return _SYNONYMS.get(plain, plain)


def says_nothing(declared: str) -> bool:
    """Whether a declared type is one that clients send when they do not know (`application/octet-stream`, say)."""
    return essence(declared) in _UNDECLARED


def kind_of(content_type: str) -> Kind:
    """The kind that a media type makes."""
    plain = essence(content_type)
    known = MEDIA_TYPES.get(plain)
    if known is not None:
        return known.kind
    head, slash, rest = plain.partition("/")
    return Kind(head) if head in {"image", "video", "audio"} and slash and rest else Kind.OTHER


def agree(declared: str, found: str) -> bool:
    """Whether a declared type and a found one are compatible: equal, or files of the one may show the other."""
    left, right = essence(declared), essence(found)
    return left == right or _may_show(left, right)


def contradicts(declared: str, found: str | None) -> bool:
    """Whether the bytes disprove what was declared of them. `found` None: they are of no type that we know."""
    if found is None:
        return _must_show(essence(declared))
    return not says_nothing(declared) and not agree(declared, found)


def contradicts_name(declared: str, filename: str) -> bool:
    """Whether a file name has an extension that only other types have; an unknown one, or none, says nothing."""
    _, dot, extension = filename.rpartition(".")
    known = [one.name for one in MEDIA_TYPES.values() if dot and extension.lower() in one.extensions]
    fits = any(agree(declared, name) or agree(name, declared) for name in known)
    return bool(known) and not says_nothing(declared) and not fits


def type_that_counts(declared: str, found: str | None) -> str:
    """The declared type where the bytes bear it out, or cannot; else what they show.

    Bytes that show nothing disprove a type whose files show themselves. Where both fit together and make different
    kinds (a film's container with sound alone), the bytes decide. Nothing but text leaves the type open.
    """
    if found is None or found == "text/plain":
        if says_nothing(declared):
            return OCTET_STREAM
        if found is None:
            return OCTET_STREAM if contradicts(declared, None) else declared
    borne_out = not says_nothing(declared) and agree(declared, found) and kind_of(declared) is kind_of(found)
    return declared if borne_out else found


def is_shown_inline(content_type: str, found: str | None = None) -> bool:
    """Whether a browser may display the type where it stands (S10): media, and nothing that can act.

    `found` is what the bytes showed: what is something else and only claims to be media is not shown as such. Bytes
    that showed nothing are shown for what they claim to be; no browser makes anything else of them.
    """
    known = MEDIA_TYPES.get(essence(content_type))
    return known is not None and known.inline and (found in {None, OCTET_STREAM} or agree(content_type, str(found)))


def names_shown_inline() -> frozenset[str]:
    """Every name of every type that may be shown in place, synonyms included."""
    return frozenset(name for one in MEDIA_TYPES.values() if one.inline for name in (one.name, *one.synonyms))


def _must_show(plain: str) -> bool:
    known = MEDIA_TYPES.get(plain)
    return known is not None and not known.open_to_doubt


def _may_show(declared: str, found: str) -> bool:
    """Whether files of a declared type may show the found one. A family covers no type that shows itself."""
    known = MEDIA_TYPES.get(found)
    if known is None:
        return False
    if declared in known.related:
        return True
    families = [name for name in known.related if "*" in name]
    return not _must_show(declared) and any(_belongs(declared, family) for family in families)


def _belongs(name: str, family: str) -> bool:
    before, _, after = family.partition("*")
    return name.startswith(before) and name.endswith(after)
