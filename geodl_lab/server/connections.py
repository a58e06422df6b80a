"""Connections on which nothing is asked are closed: anybody could hold all there are with them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 20.0
"""Seconds after which a connection without a request is closed, one to two times."""


class Connection(H11Protocol):
    """HTTP of uvicorn, which waits without end for the rest of a request's headers."""

    _watch: asyncio.TimerHandle | None = None
    _last: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin to watch, and have each answer leave at once."""
        super().connection_made(transport)
        # asyncio does this only for sockets that name TCP, which those of `create_server` do not:
        # what follows the headers would wait for the client's delayed acknowledgement, 40 ms.
        if (sock := transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watch = self.loop.call_later(PATIENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """End to watch."""
        if self._watch:
            self._watch.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Close the connection if no request came since the last time, and none is answered."""
        cycle: Any = self.cycle  # None before the first request
        if cycle is self._last and (cycle is None or cycle.response_complete):
            self.transport.close()
        else:
            self._last = cycle
            self._watch = self.loop.call_later(PATIENCE, self._look)
