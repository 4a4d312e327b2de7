"""Looks into a bucket without any of the clients, by requests that Penstock's own signer signs."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from penstock.sigv4 import Request
from tests.support.exchange import Answer, exchange
from tests.support.stores import WallClock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.adapters.objects.s3 import Bucket

_SHOW_CHECKSUMS = ("x-amz-checksum-mode", "ENABLED")
_NO_CHECKSUMS = frozenset({"sha256", "type"})  # the first is always there


class Stored:
    """The objects of one bucket."""

    def __init__(self, place: Bucket) -> None:
        self._place = place

    def head(self, key: str) -> Answer:
        """Its facts, as HEAD tells them."""
        target, headers = self._signed("HEAD", key, _SHOW_CHECKSUMS)
        return exchange("HEAD", self._place.origin + target, headers=headers)

    def read(self, key: str) -> bytes:
        """Its bytes; the key must exist."""
        target, headers = self._signed("GET", key)
        answer = exchange("GET", self._place.origin + target, headers=headers)
        assert answer.status == 200, answer.body
        return answer.body

    def checksums(self, key: str) -> list[str]:
        """The algorithms of the checksums that a client sent along with it."""
        head = "x-amz-checksum-"
        names = [name.lower().removeprefix(head) for name in self.head(key).headers if name.lower().startswith(head)]
        return sorted(set(names) - _NO_CHECKSUMS)

    def fill(self, keys: Iterable[str]) -> None:
        """Put a byte under each key, on one connection."""
        connection = HTTPConnection(urlsplit(self._place.origin).netloc)
        try:
            for key in keys:
                target, headers = self._signed("PUT", key, ("content-length", "1"))
                connection.request("PUT", target, b"x", headers)
                answer = connection.getresponse()
                assert answer.status == 200, answer.read()
                answer.read()
        finally:
            connection.close()

    def _signed(self, method: str, key: str, *headers: tuple[str, str]) -> tuple[str, dict[str, str]]:
        path = f"/{self._place.name}/{key}"
        request = Request(method=method, origin=self._place.origin, path=path, headers=headers)
        target, signed = self._place.signer.sign_headers(request, now=WallClock().now())
        return target, {**dict(headers), **signed}
