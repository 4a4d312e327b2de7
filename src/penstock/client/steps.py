"""What the client's flows ask for, one step after another, and how the simplest of them go.

A flow is a generator: it yields an effect and gets its reply. An effect that gets no answer is thrown back as
`ConnectionFailedError`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from penstock.client.calls import Call, Reply, Request, api_error
from penstock.client.errors import ConnectionFailedError

if TYPE_CHECKING:
    from penstock.client.errors import PenstockApiError
    from penstock.client.files import Progress, Sink, Source
    from penstock.client.retries import Retries

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Send `size` bytes of a source, from `offset` on, to a presigned URL with exactly these headers."""

    url: str
    headers: Mapping[str, str]
    source: Source
    offset: int = 0
    size: int
    on_progress: Progress | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Read `size` bytes of a source, from `offset` on; the reply's body is their digest in hexadecimal.

    `algorithm` is a name that `hashlib` knows.
    """

    algorithm: str
    source: Source
    offset: int
    size: int
    on_progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Get a public URL into a sink, following redirects. The reply has a body only when its status is not 200."""

    url: str
    sink: Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Go through all these flows, at most `at_once` at a time. The first failure ends those under way, and is raised.

    The flows are taken one by one, each when there is room for it.
    """

    flows: Iterable[Flow[None]]
    at_once: int


Effect: TypeAlias = Request | Put | Digest | Fetch | Pause | Together
Flow: TypeAlias = Generator[Effect, Reply, T]


def perform(call: Call[T], retries: Retries) -> Flow[T]:
    """One call, repeated while that makes sense."""
    attempt = 0
    while True:
        attempt += 1
        failure: PenstockApiError | ConnectionFailedError
        try:
            reply = yield call.request
        except ConnectionFailedError as error:
            failure = error
        else:
            if reply.status in call.success:
                return call.read(reply)
            failure = api_error(reply)
        yield Pause(seconds=retries.after(failure, attempt))
