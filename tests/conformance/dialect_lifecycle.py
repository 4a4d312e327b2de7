"""What a driver of a dialect can do, so that every dialect is told the same story.

Begin, send bytes, complete, reference in a run, expire, refuse: a driver says it in its product's words, in 80 lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.client import HTTPMessage
from typing import TYPE_CHECKING, Protocol

from tests.support.exchange import Answer, exchange
from tests.support.forms import post_form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from penstock.dialects.base import Dialect


class RefusedError(Exception):
    """The dialect's answer was an error; `status` is its HTTP status."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body[:500]!r}")
        self.status = answer.status
        self.answer = answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An upload that waits for its bytes; `handle` is what the dialect calls it. With `fields` they come in a form."""

    handle: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] | None = None

    def send(self, content: bytes) -> Answer:
        """The PUT of the bytes, or the form; how many there are is what the client counts, not what was announced."""
        if self.fields is not None:
            return post_form(self.url, self.fields, content)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "content-length"}
        return exchange("PUT", self.url, content, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Begun):
    """An upload whose bytes came when it was begun: there is nothing left to send, and what is sent changes nothing."""

    def send(self, content: bytes) -> Answer:
        del content
        return Answer(status=200, headers=HTTPMessage(), body=b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An uploaded file: what names it in a run, and where anybody can read it (empty: nowhere).

    `others` are further names that only its owner may use.
    """

    reference: str
    url: str
    others: tuple[str, ...] = ()


_PICTURE = b"\x89PNG\r\n\x1a\n"


def drawn(value: object) -> bytes:
    """What a model says, as what passes for a picture: some products' runs come to pictures and to nothing else."""
    return _PICTURE + json.dumps(value).encode()


def read(picture: bytes) -> dict[str, object]:
    """What was drawn."""
    said: dict[str, object] = json.loads(picture.removeprefix(_PICTURE))
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that is over; `output` is None when it has none."""

    output: Mapping[str, object] | None


class Driver(Protocol):
    """One key's view of one dialect."""

    def begin(self, content: bytes, *, lifetime_seconds: int | None = None) -> Begun:
        """Begin the upload of a picture, with its size declared. Raises `RefusedError`."""
        ...

    def complete(self, begun: Begun) -> File:
        """What the upload has become; where the dialect confirms, after having confirmed. Raises `RefusedError`."""
        ...

    def submit(self, model: str, inputs: Mapping[str, object]) -> str:
        """Queue a run. Raises `RefusedError`."""
        ...

    def look(self, run: str) -> Ended | None:
        """A run's end; None before it. Raises `RefusedError` when there is no such run."""
        ...

    def cancel(self, run: str) -> None:
        """Ask for a run's end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A dialect and what makes its drivers."""

    dialect: Dialect
    make: Callable[[str, str], Driver]


def bring(driver: Driver, content: bytes, *, lifetime_seconds: int | None = None) -> File:
    """Upload a picture from beginning to end."""
    begun = driver.begin(content, lifetime_seconds=lifetime_seconds)
    answer = begun.send(content)
    assert answer.status in {200, 204}, answer.body
    return driver.complete(begun)
