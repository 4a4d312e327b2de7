"""`/proxy`: where the JavaScript client in a browser sends every call, with the hosted URL that it meant in a header.

The product leaves this to servers of its users; that Penstock is its own is inferred. A key is asked for as everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from penstock.domain.errors import InvalidField

if TYPE_CHECKING:
    from starlette.types import Scope

TARGET_HEADER = "x-modelrunner-target-url"
_HOST = "modelrunner.run"


def meant(scope: Scope) -> Scope:
    """The request that a call of the proxy stands for, at this server's own routes. Raises `InvalidField`."""
    values = [value for name, value in scope["headers"] if name.decode("latin-1").lower() == TARGET_HEADER]
    if len(values) != 1:
        raise InvalidField((TARGET_HEADER,), "is required, once")
    try:
        target = urlsplit(values[0].decode("ascii"))
        host = target.hostname or ""
    except ValueError:
        raise InvalidField((TARGET_HEADER,), "must be a URL") from None
    if target.scheme != "https" or not f".{host}".endswith(f".{_HOST}"):
        raise InvalidField((TARGET_HEADER,), f"must be a URL of https://{_HOST} or below")
    raw = scope.get("root_path", "") + target.path
    return {**scope, "path": unquote(raw), "raw_path": raw.encode(), "query_string": target.query.encode()}
