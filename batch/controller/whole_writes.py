"""Answers in one piece: head and body by one system call, in one segment.

uvicorn writes them one after the other, and uvloop makes a system call for each: that costs us the second one, and
wakes whoever waits for the answer twice.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class WholeWrites:
    """A transport that sends together what is written in one turn of the event loop; all else is `transport`'s."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send `data` when the turn ends."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        """Send what was written, and close."""
        self._send()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send(self) -> None:
        written, self._written = self._written, []
        if written and not self._transport.is_closing():  # else whoever asked has gone meanwhile
            self._transport.write(b"".join(written))


class Protocol(HttpToolsProtocol):
    """uvicorn's, which writes through WholeWrites."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to serve a connection."""
        super().connection_made(WholeWrites(transport, self.loop))  # type: ignore[arg-type]  # it has all that is used
