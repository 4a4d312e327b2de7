"""The web server's protocols with the bounds and the strictness that they lack: HTTP, and WebSockets on it."""

from __future__ import annotations

from penstock.adapters.listener.http import Bounds, guarded_protocol
from penstock.adapters.listener.sockets import PING_SECONDS, PONG_SECONDS, guarded_socket

__all__ = ["PING_SECONDS", "PONG_SECONDS", "Bounds", "guarded_protocol", "guarded_socket"]
