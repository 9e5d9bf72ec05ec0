"""What the cells of OPC-UA's column share: a server that keeps a log, and a driver that is compared with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_session import InternalSession
from asyncua_peer import Plant
from modbus_site import RealClock
from opcua_site import SITE, Running, device, link, point, running
from opcua_wire_proxy import Treatment, WireProxy, is_read_answer, wire_proxy

from scowl_edge.model.signal import Cause, Quality

X, Y, SET, MEASURED = range(4)
NAMES = ("X", "Y", "Set", "Measured")
SHORT_MS, SHORT_CONNECT_MS = 200, 400
"""Where a time-out is waited for; elsewhere none is to come, however long the machine stands still."""
POLL_MS = 30
AFRESH = 16
"""Requests of a new session until its first values, and one attempt that may fail before."""


class WrongValue(Exception):
    """A value was published that the server did not hold, or not yet."""


class Source:
    """The server, and all that it ever held: when each value of each node began to be true."""

    def __init__(self, it_there: Plant, der: bytes) -> None:
        self.plant = it_there
        self.certificate = der
        self.log: list[dict[float, int]] = [{0.0: 0, 1.0: 0, 2.0: 0, 3.0: 0} for _ in NAMES]
        self.rising = True

    @property
    def port(self) -> int:
        return int(self.plant.endpoint.rsplit(":", 1)[1].split("/")[0])

    async def put(self, index: int, value: float, stamp: datetime | None = None) -> None:
        """Its own value changes."""
        self.log[index].setdefault(value, RealClock().mono_ms())
        node = self.plant.server.get_node(ua.NodeId(NAMES[index], self.plant.namespace))
        await node.write_value(
            ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=stamp or datetime.now(UTC))
        )

    def move(self, namespace: int) -> None:
        """Its nodes are in another namespace from now on."""
        space = self.plant.server.iserver.aspace
        for name in NAMES:
            node = space[ua.NodeId(name, self.plant.namespace)]
            del space[node.nodeid]
            node.nodeid = ua.NodeId(name, namespace)
            space[node.nodeid] = node
        self.plant.namespace = namespace

    async def rise(self) -> None:
        """X counts up and Y down, so that neither's values can be the other's."""
        n = 10.0
        while True:
            if self.rising:
                n += 1.0
                await self.put(X, n)
                await self.put(Y, -n)
            await asyncio.sleep(0.02)


class Case:
    """A driver on the server through a proxy."""

    def __init__(self, it: Running, proxy: WireProxy, source: Source) -> None:
        self.it = it
        self.proxy = proxy
        self.source = source

    def causes(self) -> set[Cause]:
        """Why anything was ever bad or uncertain."""
        readings = self.it.sink.readings
        return {Cause(int(c)) for reading in readings for c in reading.causes} - {Cause.NONE}

    async def sees_more(self, points: tuple[int, ...] = (X, Y)) -> None:
        """Values of now."""
        began_ms = RealClock().mono_ms()
        for index in points:
            await self.it.sink.until(lambda i=index: self._age(i) >= began_ms)  # type: ignore[misc]

    def _age(self, index: int) -> int:
        value = self.it.good(index)
        return -1 if value is None else self.source.log[index].get(value, -1)

    async def recovers(self, requests: int) -> None:
        """Sees values of now after so many requests at most, whatever time that takes."""
        before = sum(self.it.sink.counts.values())
        await self.sees_more()
        asked = sum(self.it.sink.counts.values()) - before
        assert asked <= requests, f"{asked} requests until it recovered"

    async def during(self, condition: Callable[[], object]) -> None:
        await self.it.sink.until(condition)
        assert self.proxy.injected

    def prove(self) -> None:
        """No good value that the server did not hold, or not yet."""
        seen = 0
        for reading in self.it.sink.readings:
            for index, value, quality in zip(reading.points, reading.values, reading.quality, strict=True):
                if quality == Quality.GOOD:
                    seen += 1
                    if self.source.log[index].get(float(value), 1 << 62) > reading.received_ms:
                        raise WrongValue(f"{NAMES[index]} was published as {value}")
        assert seen


@asynccontextmanager
async def case(
    source: Source, kind: type[WireProxy] = WireProxy, *, more: Any = None, **changes: Any
) -> AsyncIterator[Case]:
    """A driver that has seen values through the proxy; at the end all that it ever showed is compared with the log."""
    extra = more or {}
    points = [point(name, f"{SITE}s={name}", **extra.get(index, {})) for index, name in enumerate(NAMES)]
    async with wire_proxy(source.port, kind) as proxy:
        usual: dict[str, Any] = {"reconnect_ms": 100, "subscribe": False}
        if "timeout_ms" in changes:
            usual["connect_timeout_ms"] = SHORT_CONNECT_MS
        site = link(
            f"opc.tcp://127.0.0.1:{proxy.port}/plant", device("d", *points, poll_ms=POLL_MS), **{**usual, **changes}
        )
        async with running(site) as it:
            at_work = Case(it, proxy, source)
            await at_work.sees_more()
            assert not at_work.causes()
            yield at_work
        at_work.prove()


def on_reads(change: Callable[[bytes], bytes | float | None]) -> Treatment:
    """Treats answers to reads, and passes the rest."""
    return lambda _proxy, _wire, chunk: change(chunk) if is_read_answer(chunk) else chunk


class Refusing:
    """The server's answers to some requests, replaced."""

    def __init__(self, patch: pytest.MonkeyPatch, service: str, answer: Callable[[Any, Any], Any]) -> None:
        self.injected = 0
        self.active = True
        original: Any = getattr(InternalSession, service)

        async def serve(session: InternalSession, params: Any) -> Any:
            if self.active and session.external:
                self.injected += 1
                replaced = answer(params, lambda: original(session, params))
                return await replaced if isinstance(replaced, Awaitable) else replaced
            return await original(session, params)

        patch.setattr(InternalSession, service, serve)


def raising(code: int) -> Callable[[Any, Any], Any]:
    """An answer that is a fault of the whole service."""

    def answer(_params: Any, _usual: Any) -> Any:
        raise ServiceError(code)

    return answer
