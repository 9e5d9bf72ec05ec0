"""OPC-UA servers that end the daemon at an exact moment: one with a variable that is written, one with a method.

Both run on asyncua in a thread of the test. As with the Modbus devices, whoever is at the moment halts, and the daemon
is killed when the last one is there. asyncua cancels what it does for a client that is gone, so what happened is noted
before the halt.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from asyncua import Server, ua
from asyncua.common.callback import CallbackType
from killing_devices import MEET_S, READS, Moment, Written

SPACE = 2
"""Index of the first namespace that a server registers."""


class KillingServer:
    """One server: `Power`, and either the variable `Limit` or the method `Connect` of the object `Device`."""

    def __init__(self, name: str, *, method: bool) -> None:
        self.name = name
        self.method = method
        self.log: list[Written] = []
        self.port = 0
        self.owner: KillingServers | None = None
        self.reads_since = -1
        self._server = Server()
        self._limit = ua.NodeId("Limit", SPACE)

    async def start(self) -> None:
        """Listens."""
        server = self._server
        await server.init()
        server.set_endpoint("opc.tcp://127.0.0.1:0/device")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        assert await server.register_namespace("urn:killing") == SPACE
        objects = server.nodes.objects
        await objects.add_variable(ua.NodeId("Power", SPACE), "Power", 0.0)
        await (await objects.add_variable(self._limit, "Limit", 50_000.0)).set_writable()
        device = await objects.add_object(ua.NodeId("Device", SPACE), "Device")
        await device.add_method(ua.NodeId("Connect", SPACE), "Connect", self._call, [ua.VariantType.Boolean], [])
        server.iserver.callback_service.addListener(CallbackType.PreWrite, self._before_write)
        server.iserver.callback_service.addListener(CallbackType.PostWrite, self._after_write)
        server.iserver.callback_service.addListener(CallbackType.PreRead, self._before_read)
        await server.start()
        (listening,) = server.bserver._server.sockets  # type: ignore[union-attr]
        self.port = listening.getsockname()[1]

    async def stop(self) -> None:
        """Listens no more."""
        await self._server.stop()

    async def value(self) -> float:
        """What the variable holds."""
        return float(await self._server.get_node(self._limit).read_value())

    def _is(self, moment: Moment) -> bool:
        return self.owner is not None and self.owner.is_at(self, moment)

    async def _halt(self) -> None:
        assert self.owner is not None
        await self.owner.halt()

    async def _call(self, _: ua.NodeId, on: ua.Variant) -> list[ua.Variant]:
        lost = self._is(Moment.SEEN)
        self.log.append(Written(int(on.Value), applied=not lost))
        if lost or self._is(Moment.APPLIED):
            await self._halt()
        return []

    async def _before_write(self, event: Any, _: Any) -> None:
        if not event.is_external:
            return
        (written,) = event.request_params.NodesToWrite
        lost = self._is(Moment.SEEN)
        self.log.append(Written(round(written.Value.Value.Value), applied=not lost))
        if lost:
            event.request_params.NodesToWrite = []
            await self._halt()

    async def _after_write(self, event: Any, _: Any) -> None:
        if event.is_external and event.request_params.NodesToWrite:
            self.reads_since = 0
            if self._is(Moment.APPLIED):
                await self._halt()

    async def _before_read(self, event: Any, _: Any) -> None:
        if not event.is_external or self.reads_since < 0:
            return
        if any(read.NodeId == self._limit for read in event.request_params.NodesToRead):
            self.reads_since += 1
            if self._is(Moment.FIRST_READ):
                await self._halt()


class KillingServers:
    """All servers, and the moment at which the daemon dies."""

    def __init__(self, *servers: KillingServer) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
        self.servers = {server.name: server for server in servers}
        self.killed = threading.Event()
        self._moment: Moment | None = None
        self._kill: Callable[[], None] | None = None
        self._barrier: asyncio.Barrier | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        for server in servers:
            server.owner = self
            self.call(server.start())

    def call(self, what: Any) -> Any:
        """The result of a coroutine of the servers' loop."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(MEET_S)

    def arm(self, moment: Moment, kill: Callable[[], None]) -> None:
        """The next write or call of every server is followed up to a moment."""
        self.call(self._arm(moment, kill))

    async def _arm(self, moment: Moment, kill: Callable[[], None]) -> None:
        self.killed.clear()
        concerned = [s for s in self.servers.values() if not (s.method and moment in READS)]
        for server in self.servers.values():
            server.reads_since = -1
        self._barrier, self._moment, self._kill = asyncio.Barrier(len(concerned)), moment, kill

    def is_at(self, server: KillingServer, moment: Moment) -> bool:
        """Whether this is the moment for a server."""
        return self._moment is moment and (moment not in READS or server.reads_since == READS[moment])

    async def halt(self) -> None:
        """Until the daemon is dead; the last one that comes kills it."""
        assert self._barrier is not None
        async with asyncio.timeout(MEET_S):
            place = await self._barrier.wait()
        await asyncio.to_thread(self._end if place == 0 else self.killed.wait)

    def _end(self) -> None:
        assert self._kill is not None
        self._moment = None
        self._kill()
        self.killed.set()

    async def _cancel_rest(self) -> None:
        """Sessions of clients that were killed have tasks which a server does not end when it stops."""
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def close(self) -> None:
        """Ends all servers."""
        for server in self.servers.values():
            self.call(server.stop())
        self.call(self._cancel_rest())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(MEET_S)
        self._loop.close()
