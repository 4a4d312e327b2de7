"""What a dialect that speaks WebSockets may ask of the listener beside ASGI: it stands in `scope["state"]["line"]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

TOO_SLOW = 1008
TOO_LARGE = 1009
TOO_MUCH = 1013
"""Codes of messages that the listener itself does not take; after all but one that is too large, it ends there."""


class Line(Protocol):
    """The connection below a WebSocket."""

    @property
    def receiving(self) -> bool:
        """Whether a message has begun to arrive and is not there as a whole."""
        ...

    def allow(self, size: int, *, owner: str) -> None:
        """Take messages of up to so many bytes from now on; strangers may send little. They count as the owner's."""
        ...

    def say_last(self, words: Callable[[int, str], str]) -> None:
        """What is sent of a message that is not taken: made of the code, its beginning, and its end if that came."""
        ...

    def abort(self) -> None:
        """End the connection at once, whatever has not been sent yet."""
        ...
