"""AIR identifiers: `source:number@version` names one version of one model.

Uploads take numbers only. References are read more widely, for they also come as Civitai's URNs
(`urn:air:{ecosystem}:{type}:{source}:{id}@{version}+{file}.{format}`, where everything before the source, and the file
and the format, may be left out). A source is the same in whatever case and kept in lower case; digits stay as they
were given, so that `@01` and `@1` are two versions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.domain.errors import InvalidField
from penstock.domain.weights import Category

MAX_AIR = 128
_SOURCE = re.compile(r"[a-z0-9][a-z0-9-]{1,31}")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_VERSION = re.compile(r"[0-9]{1,9}")
_NAMED_SOURCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# Hugging Face's ids have a slash in them; a client may write so, and finds no registered model then.
_NAMED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9._-]+)*")
_NAMED_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_MOST_HINTS = 2
_FORMATS = ("safetensors", "safetensor", "ckpt", "pt", "pth", "bin", "gguf", "onnx", "diffusers", "zip", "other")
"""Endings that Civitai gives for the format of a file. Its own client takes them for a part of the version."""

_ECOSYSTEMS = {
    **dict.fromkeys(("sd1x", "sd1xlcm", "sdhyper"), "sd1"),
    **dict.fromkeys(("sdxl", "sdxllcm", "sdxlhyper", "sdxllightning", "sdxlturbo", "pony", "illustrious"), "sdxl"),
    "sdxldistilled": "sdxldistilled",
    **dict.fromkeys(("flux1s", "flux1d"), "flux1"),
    "fluxkontextdev": "flux1kontext",
    "sd3": "sd3",
    **dict.fromkeys(("hidreamdev", "hidreamfull"), "hidream"),
    "qwen_image": "qwen",
}
"""Civitai's word for each architecture."""
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Air:
    """One version of one model."""

    source: str
    number: str
    version: str

    def __str__(self) -> str:
        return f"{self.source}:{self.number}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a text says that names a model. Ecosystem and type are hints of whoever wrote it, and bind nobody."""

    source: str
    id: str
    version: str | None
    ecosystem: str | None = None
    type: str | None = None
    file: str | None = None
    format: str | None = None

    @property
    def air(self) -> str | None:
        """What a registered model of that name has; None without a version, which names no single model."""
        return None if self.version is None else f"{self.source}:{self.id}@{self.version}"


def parse_air(text: str) -> Air:
    """The AIR to register under (RU-96). Raises `InvalidField` at `air`."""
    source, _, rest = text.partition(":")
    number, at, version = rest.partition("@")
    if len(text) > MAX_AIR:
        raise _wrong(f"at most {MAX_AIR} characters")
    if not at:
        raise _wrong("must be `source:number@version`")
    if not _SOURCE.fullmatch(source.lower()) or not source.isascii():
        raise _wrong("its source must have 2 to 32 letters, digits or '-', and begin with a letter or digit")
    if not _NUMBER.fullmatch(number):
        raise _wrong("its id must be a number of 1 to 18 digits that does not begin with 0")
    if not _VERSION.fullmatch(version):
        raise _wrong("its version must be a number of 1 to 9 digits")
    return Air(source=source.lower(), number=number, version=version)


def parse_source(text: str) -> str:
    """The name of a source, in lower case. Raises `InvalidField` at `name`."""
    name = text.lower()
    if not text.isascii() or not _SOURCE.fullmatch(name):
        raise InvalidField(("name",), "2 to 32 letters, digits or '-', beginning with a letter or digit")
    return name


def parse_reference(text: str) -> Reference | None:
    """What a text names, or None when it cannot be an AIR. Source and id are its last two parts."""
    if len(text) > MAX_AIR or not text.isascii():
        return None
    parts = text.split(":")
    for prefix in ("urn", "air"):
        if len(parts) > _MOST_HINTS and parts[0].lower() == prefix:
            parts = parts[1:]
    if not 2 <= len(parts) <= 2 + _MOST_HINTS:  # noqa: PLR2004 - a source and an id, and the hints before them
        return None
    *hints, source, rest = parts
    found = _last_part(rest)
    if found is None or not _NAMED_SOURCE.fullmatch(source) or not all(_WORD.fullmatch(hint) for hint in hints):
        return None
    identifier, version, file, file_format = found
    return Reference(
        source=source.lower(),
        id=identifier,
        version=version,
        ecosystem=hints[0] if hints else None,
        type=hints[1] if len(hints) == _MOST_HINTS else None,
        file=file,
        format=file_format,
    )


def format_urn(air: Air, *, architecture: str, category: Category) -> str:
    """The model's name as Civitai would write it: `urn:air:sdxl:checkpoint:acme:100@1`."""
    kind = "embedding" if category is Category.EMBEDDINGS else category.value
    return f"urn:air:{_ECOSYSTEMS.get(architecture, _UNKNOWN)}:{kind}:{air}"


def _last_part(text: str) -> tuple[str, str | None, str | None, str | None] | None:
    """Id, version, file and format of `id[@version][+file][.format]`."""
    named, plus, file = text.partition("+")
    tail = file if plus else named
    head, dot, ending = tail.rpartition(".")
    # Of an id alone the ending is a part, as in `FLUX.1-dev` or a file's name.
    file_format = ending if dot and ending.lower() in _FORMATS and ("@" in text or plus) else None
    if file_format is not None:
        named, file = (named, head) if plus else (head, file)
    identifier, at, version = named.partition("@")
    if not _NAMED_ID.fullmatch(identifier) or (plus and not _WORD.fullmatch(file)):
        return None
    if at and not _NAMED_VERSION.fullmatch(version):
        return None
    return identifier, version if at else None, file if plus else None, file_format


def _wrong(message: str) -> InvalidField:
    return InvalidField(("air",), message, rule="air")
