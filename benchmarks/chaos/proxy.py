"""A TCP proxy that misbehaves on request: between the processes and their database or broker.

Modes: pass; refuse (nobody listens); blackhole (accepted, and nothing is ever passed on); delay (each
piece waits); cut (each connection is reset after so many bytes, in the middle of a message). `reset`
drops what is open at once. `faults` sets the modes; the thread and its event loop are started here.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

PIECE = 65_536
T = TypeVar("T")


class Mode(StrEnum):
    PASS = "pass"
    REFUSE = "refuse"
    BLACKHOLE = "blackhole"
    DELAY = "delay"
    CUT = "cut"


@dataclass(eq=False)
class Link:
    """One connection through the proxy, both sides of it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    passed: int = 0

    def reset(self) -> None:
        """RST, not FIN: what a crashed host or an impatient firewall sends."""
        for writer in filter(None, (self.client, self.server)):
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            writer.transport.abort()


class Loop:
    """An event loop in a thread of its own, shared by the proxies of one run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def close(self) -> None:
        self.call(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Proxy:
    """Passes connections to 127.0.0.1:`target` on, as its mode says. Safe to use from any thread."""

    def __init__(self, loop: Loop, target: int) -> None:
        self._loop, self.target = loop, target
        self.mode = Mode.PASS
        self.delay = 0.0
        self.cut_after = 0
        self._links: set[Link] = set()
        self._passing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.port = loop.call(self._open(0))

    def set(self, mode: Mode, *, delay: float = 0.0, cut_after: int = 0) -> None:
        """`delay` in seconds for each piece; `cut_after` in bytes of both directions together."""
        self._loop.call(self._set(mode, delay, cut_after))

    def reset(self) -> int:
        """Drops every open connection; returns how many there were."""
        return self._loop.call(self._reset())

    def close(self) -> None:
        self._loop.call(self._close())

    async def _open(self, port: int) -> int:
        if self.mode != Mode.BLACKHOLE:
            self._passing.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        opened: int = self._server.sockets[0].getsockname()[1]
        return opened

    async def _set(self, mode: Mode, delay: float, cut_after: int) -> None:
        self.mode, self.delay, self.cut_after = mode, delay, cut_after
        if mode == Mode.BLACKHOLE:
            self._passing.clear()
        else:
            self._passing.set()
        if mode == Mode.REFUSE:
            await self._stop_listening()
        elif self._server is None:
            await self._open(self.port)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> int:
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    async def _close(self) -> None:
        self._passing.set()
        await self._stop_listening()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(writer)
        self._links.add(link)
        try:
            await self._passing.wait()
            back, link.server = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(self._pump(reader, link.server, link), self._pump(back, writer, link))
        except OSError:
            pass  # the other end is gone; below the client learns of it
        finally:
            link.reset()
            self._links.discard(link)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, link: Link) -> None:
        """One direction, until it ends. A piece that was read in a blackhole waits until it is over."""
        while piece := await source.read(PIECE):
            await self._passing.wait()
            if self.mode == Mode.DELAY:
                await asyncio.sleep(self.delay)
            if self.mode == Mode.CUT:
                piece = piece[: max(self.cut_after - link.passed, 0)]
            link.passed += len(piece)
            sink.write(piece)
            await sink.drain()
            if self.mode == Mode.CUT and link.passed >= self.cut_after:
                raise ConnectionResetError("cut on purpose")
        if sink.can_write_eof():
            sink.write_eof()
