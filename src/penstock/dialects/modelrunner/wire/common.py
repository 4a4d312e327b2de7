"""What all of ModelRunner's shapes share: spellings of addresses, times and lifetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from penstock.dialects.base.strict_json import parse_strict
from penstock.domain.errors import InvalidField, MalformedBody
from penstock.domain.ids import MediaKey, parse_media_key
from penstock.domain.references import MediaReference

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.domain.references import Reference

REQUEST_ID_HEADER = "x-modelrunner-request-id"
LIFECYCLE_HEADER = "X-Modelrunner-Object-Lifecycle-Preference"
RESERVED_OWNERS = frozenset({"files", "media", "proxy", "requests", "storage", "tokens", "webhooks"})
"""First segments that no model's owner can have, because four hosts of the product share one prefix here (inferred)."""

_LIFETIME_SECONDS = range(60, 157_680_000 + 1)  # guides/data-retention: one minute to five years


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, serialize_by_alias=True, strict=True)


def timestamp(time: datetime) -> str:
    """ISO 8601, UTC, milliseconds, `Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_lifecycle(header: str | None) -> timedelta | None:
    """The lifetime that a lifecycle header asks for; None for no end (MR-11). Raises `InvalidField`."""
    if header is None:
        return None
    try:
        preference = parse_strict(header.encode("utf-8", "surrogateescape"))
    except MalformedBody:
        _refuse_lifecycle("must be a JSON object")
    if not isinstance(preference, dict):
        _refuse_lifecycle("must be a JSON object")
    if "initial_acl" in preference:
        _refuse_lifecycle("initial_acl is not supported: whoever has a file's URL can read it")
    seconds = preference.get("expiration_duration_seconds")
    if seconds is None:
        return None
    if type(seconds) is not int or seconds not in _LIFETIME_SECONDS:  # a boolean is an int, too
        _refuse_lifecycle("expiration_duration_seconds must be null or an integer from 60 to 157680000")
    return timedelta(seconds=seconds)


def media_url(key: MediaKey, *, base_url: str) -> str:
    """The canonical file URL: a stable public address, the name behind a random prefix (MR-03)."""
    return f"{base_url}/media/{key}"


def reference_parser(base_url: str) -> Callable[[str], Reference | None]:
    """Parses canonical file URLs under `base_url`; parse ∘ format = identity."""
    prefix = media_url(MediaKey(""), base_url=base_url)

    def parse(text: str) -> Reference | None:
        key = parse_media_key(text.removeprefix(prefix)) if text.startswith(prefix) else None
        return MediaReference(media_key=key) if key is not None else None

    return parse


def _refuse_lifecycle(reason: str) -> NoReturn:
    raise InvalidField((LIFECYCLE_HEADER,), reason)
