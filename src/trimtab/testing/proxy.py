"""A TCP proxy that goes wrong when told, to put between a store and its server."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable
from enum import StrEnum
from threading import Thread
from typing import Self

_BEGINNING = 8


class Fault(StrEnum):
    """What happens to the server's replies.

    ``slow``: each waits as long as the proxy's ``delay`` says. ``reset``: the beginning of one
    arrives, then the connection is reset. ``garbage``: other bytes arrive. ``silent``: none arrive.
    """

    NONE = "none"
    SLOW = "slow"
    RESET = "reset"
    GARBAGE = "garbage"
    SILENT = "silent"


class FaultyProxy:
    """Listens on a loopback port of its own, in a thread of its own.

    Args:
        port: Of the server on 127.0.0.1.
        delay: Seconds that a slow reply waits; drawn anew for each.
        seed: For the garbage.
    """

    def __init__(self, port: int, delay: Callable[[], float] = lambda: 0.05, seed: int = 0) -> None:
        self.fault = Fault.NONE
        self.requests = 0  # pieces of data that came from clients
        self._server = port
        self._delay = delay
        self._random = random.Random(seed)  # noqa: S311 - garbage guards nothing
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True, name="faulty-proxy")
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Start listening."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection, and end the thread."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        if serving:
            await asyncio.wait(serving)
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            behind, forward = await asyncio.open_connection("127.0.0.1", self._server)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(forward)
        pumps = [
            asyncio.ensure_future(self._requests(reader, forward)),
            asyncio.ensure_future(self._replies(behind, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for end in (writer, forward):
                self._writers.discard(end)
                end.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self.requests += 1
            writer.write(data)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What is slow holds up what comes behind it on its own connection, as a network does."""
        due = 0.0
        while data := await reader.read(65_536):
            fault, now = self.fault, self._loop.time()
            if fault is Fault.SILENT:
                continue
            if fault is Fault.GARBAGE:
                data = self._random.randbytes(len(data))
            if fault is Fault.RESET:
                writer.write(data[:_BEGINNING])
                await asyncio.sleep(0)
                _reset(writer)
                return
            if fault is Fault.SLOW:
                due = max(due, now + self._delay())
            if due > now:
                self._loop.call_at(due, _write, writer, data)
            else:
                writer.write(data)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write, unless the connection has gone in the meantime."""
    if not writer.is_closing():
        writer.write(data)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of an end."""
    line: socket.socket = writer.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
