"""The words of httpx2 in ours; shared by both clients."""

from __future__ import annotations

import httpx2

from penstock.client.calls import Reply
from penstock.client.errors import ConnectionFailedError

NO_ANSWER = (httpx2.RequestError, httpx2.InvalidURL)
"""What httpx2 raises when a request gets no usable answer."""
_PASSING = (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError)
_CONNECT_SECONDS = 10.0
DOWNLOAD_HEADERS = {"Accept-Encoding": "identity"}
"""Sizes and hashes are those of the bytes as stored."""


def failed(error: Exception) -> ConnectionFailedError:
    """Our error for one of `NO_ANSWER`. The URL's query stays out: it may be a signature."""
    request = getattr(error, "_request", None)
    where = f"{request.url.scheme}://{request.url.netloc.decode()}" if request is not None else "the server"
    what = str(error) or type(error).__name__
    return ConnectionFailedError(f"no answer from {where}: {what}", passing=isinstance(error, _PASSING))


def reply_of(response: httpx2.Response) -> Reply:
    """An answer that has been read."""
    return Reply(status=response.status_code, headers=dict(response.headers), body=response.content)


def patience(seconds: float) -> httpx2.Timeout:
    """Limits for one request: quick to connect, `seconds` without a sign of life after that."""
    return httpx2.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))
