"""Connections that come to a port with TLS: as many handshakes at a time as can be brought to their end.

Of thousands that come back at once each would else be answered a little, and give up before it was done. They wait
in the port's queue instead; those for whom that takes too long come again after a pause.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog

HANDSHAKE_S = 10.0
HANDSHAKES = 64
"""Begun at a time."""
TURN_S = 1.0
"""A handshake whose peer lets it wait so long makes room for the next one, and may go on beside it."""
BACKLOG = 1_024
AGAIN_S = 0.5
"""Pause after a connection that could not be had."""

_log = structlog.get_logger(__name__)


async def bound(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name with addresses of both kinds is listened on at the one that all peers can reach.
    family, *_, address = min(found, key=lambda one: one[0] is not socket.AF_INET)
    listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening


class Acceptance:
    """Accepts at a port until it is closed."""

    def __init__(self, port: socket.socket, context: ssl.SSLContext, factory: Callable[[], asyncio.Protocol]) -> None:
        """`factory` makes the protocol of each connection, once its handshake is done."""
        self._port, self._context, self._factory = port, context, factory
        self._handshakes: set[asyncio.Task[None]] = set()
        self._running = asyncio.create_task(self._run(), name="flex-accept")

    async def close(self) -> None:
        """Ends what is half done; whoever has a connection keeps it."""
        ending = [self._running, *self._handshakes]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._port.close()

    async def _run(self) -> None:
        """Takes connections from the port's queue, as their turn comes."""
        loop, turns = asyncio.get_running_loop(), asyncio.Semaphore(HANDSHAKES)
        while True:
            await turns.acquire()
            try:
                connection, _ = await loop.sock_accept(self._port)
            except OSError as error:
                # No file is left to open, or the peer was gone before its turn.
                turns.release()
                _log.warning("flex connection not accepted", why=str(error))
                await asyncio.sleep(AGAIN_S)
                continue
            task = asyncio.create_task(self._shake_hands(connection, turns), name="flex-handshake")
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, connection: socket.socket, turns: asyncio.Semaphore) -> None:
        loop, over = asyncio.get_running_loop(), False

        def make_room() -> None:
            nonlocal over
            if not over:
                over = True
                turns.release()

        patience = loop.call_later(TURN_S, make_room)
        try:
            await loop.connect_accepted_socket(
                self._factory, connection, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S
            )
        except OSError as error:
            connection.close()
            _log.debug("flex handshake failed", why=str(error))
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            patience.cancel()
            make_room()
