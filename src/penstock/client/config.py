"""Where the server is and who asks. The client's one look at the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from penstock.client.errors import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """`url` without `/v1` and without a trailing slash; `timeout` in seconds without a sign of life."""

    url: str
    api_key: str = field(repr=False)
    timeout: float
    retries: int


def configure(*, url: str | None, api_key: str | None, timeout: float, retries: int) -> Config:
    """The arguments, else `PENSTOCK_URL` and `PENSTOCK_API_KEY`. Raises `ConfigurationError`."""
    environment = os.environ  # noqa: TID251 - the client stands alone: it cannot ask `settings`
    address = (url or environment.get("PENSTOCK_URL") or DEFAULT_URL).strip().rstrip("/").removesuffix("/v1")
    key = (api_key or environment.get("PENSTOCK_API_KEY") or "").strip()
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"not the address of a server: {address!r} (expected http://HOST:PORT)")
    if not key:
        raise ConfigurationError("no API key: set PENSTOCK_API_KEY, or hand one over")
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError("the API key has characters that no key has")
    return Config(url=address, api_key=key, timeout=timeout, retries=retries)
