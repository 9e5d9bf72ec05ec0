"""An open connection, as a port sees it: a request goes out, and only its own reply comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from scowl_edge.drivers.errors import DriverError

Done = Callable[[bytes | DriverError], None]
"""Takes the PDU of a reply, or what came in its place: ReplyTimeout, BadReply, Refused or LinkLost."""


class Wire(Protocol):
    """One open connection. It never sends a request twice."""

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""

    def start(self, unit: int, pdu: bytes, timeout_s: float, done: Done) -> None:
        """Sends one request. `done` is called once, later, never from here.

        How many may be under way at once is for the wire's maker to say: one on a serial line.

        Raises:
            LinkLost: the connection is not open; nothing was sent and `done` is not called.
        """

    def close(self) -> None:
        """Closes at once; requests under way fail with LinkLost."""


async def exchange(wire: Wire, unit: int, pdu: bytes, timeout_s: float) -> bytes:
    """Sends one request and waits for the PDU of its reply.

    Cancelled, it leaves the reply to the wire, which drops it.

    Raises:
        ReplyTimeout: no complete reply in time.
        BadReply: something came that is surely not the reply.
        Refused: an exception reply.
        LinkLost: the connection is not there, or broke meanwhile.
    """
    pending: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def done(reply: bytes | DriverError) -> None:
        if pending.done():
            return
        if isinstance(reply, bytes):
            pending.set_result(reply)
        else:
            pending.set_exception(reply)

    wire.start(unit, pdu, timeout_s, done)
    return await pending
