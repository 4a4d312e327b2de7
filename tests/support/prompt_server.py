"""uvicorn without its naps: its own server looks ten times a second whether to end, and as seldom whether it may."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket

_LOOK_SECONDS = 0.005


class PromptServer(uvicorn.Server):
    """Ends as soon as it is told to and its connections have ended: hundreds of tests wait for that."""

    async def main_loop(self) -> None:
        """Serve until `should_exit`."""
        for turn in itertools.count():
            if await self.on_tick(turn):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and let those that there are come to their end."""
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        state = self.server_state
        while (state.connections or state.tasks) and not self.force_exit:  # noqa: ASYNC110 - nobody is told of their end
            await asyncio.sleep(_LOOK_SECONDS)
        for server in self.servers:
            await server.wait_closed()
        await self.lifespan.shutdown()
