"""What a dialect that speaks WebSockets may ask of the listener beside ASGI: it stands in `scope["state"]["line"]`."""

from __future__ import annotations

from typing import Protocol


class Line(Protocol):
    """The connection below a WebSocket."""

    @property
    def receiving(self) -> bool:
        """Whether a message has begun to arrive and is not there as a whole."""
        ...

    def allow(self, size: int) -> None:
        """Take messages of up to so many bytes from now on; strangers may send little."""
        ...

    def abort(self) -> None:
        """End the connection at once, whatever has not been sent yet."""
        ...
