"""A raw client of the Runware dialect over both transports: what it sends is what the test says."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from websockets.sync.client import connect

from tests.support.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from websockets.sync.client import ClientConnection

    from tests.support.exchange import Answer

SECONDS = 60


def uuid() -> str:
    """The UUID of a new task."""
    return str(uuid4())


def task(kind: str, **members: object) -> dict[str, object]:
    """A task with a UUID of its own; a member that is None is left out."""
    said = {"taskType": kind, "taskUUID": uuid(), **members}
    return {name: value for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Runware:
    """What one key can do. `base` ends in `/v1`; `source` is the account's own, for AIRs."""

    base: str
    key: str
    source: str = ""

    def post(self, *tasks: object, key: str | None = "", headers: Mapping[str, str] | None = None) -> Answer:
        """One REST request of these tasks."""
        return self.post_raw(json.dumps(tasks).encode(), key=key, headers=headers)

    def post_raw(self, body: bytes, *, key: str | None = "", headers: Mapping[str, str] | None = None) -> Answer:
        """One REST request; `key` None: without an Authorization header."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.key}"
        return exchange("POST", self.base, body, headers=sent)

    @contextmanager
    def stranger(self, query: str = "", **options: Any) -> Iterator[Wire]:  # noqa: ANN401 - of the library
        """A connection that has not authenticated."""
        url = "ws" + self.base.removeprefix("http") + query
        with connect(url, open_timeout=SECONDS, close_timeout=1, **options) as socket:
            yield Wire(socket)

    @contextmanager
    def socket(self, query: str = "", session: str | None = None) -> Iterator[Wire]:
        """A connection that has authenticated."""
        with self.stranger(query) as wire:
            wire.authenticate(self.key, session)
            yield wire


class Wire:
    """One WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.session = ""

    def authenticate(self, key: str, session: str | None = None) -> str:
        """Show a key, and be told the session."""
        resumed = {} if session is None else {"connectionSessionUUID": session}
        said = self.ask({"taskType": "authentication", "apiKey": key, **resumed})
        (item,) = said["data"]
        self.session = str(item["connectionSessionUUID"])
        return self.session

    def say(self, *tasks: object) -> None:
        """Send one frame of these tasks."""
        self.socket.send(json.dumps(tasks))

    def hear(self) -> Any:  # noqa: ANN401 - JSON
        """The next frame."""
        return json.loads(self.socket.recv(timeout=SECONDS))

    def ask(self, *tasks: object) -> Any:  # noqa: ANN401 - JSON
        """Send one frame, hear one."""
        self.say(*tasks)
        return self.hear()

    def quiet(self) -> bool:
        """Whether nothing came before the answer to a ping."""
        return bool(self.ask({"taskType": "ping", "ping": True}) == PONG)


PONG = {"data": [{"taskType": "ping", "pong": True}]}
