"""Declarations, a clock and a sink for tests of the Modbus driver."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from scowl_edge.devices.declaration import ModbusDevice, ModbusLink, ModbusPoint, Table
from scowl_edge.model.command import WriteClass
from scowl_edge.model.event import LinkChanged, Outcome
from scowl_edge.model.signal import Cause, Quality, Reading

_POINT = ModbusPoint(
    name="p",
    table=Table.HOLDING,
    address=0,
    type="uint16",
    order="ABCD",
    length=1,
    bit=-1,
    scale=1.0,
    offset=0.0,
    scale_factor="",
    nan=(),
    unit="",
    to_base=1.0,
    base_unit="",
    access="rw",
    write_class=WriteClass.VOLATILE,
    fresh_for_ms=5000,
    hold_for_ms=10000,
    low=None,
    high=None,
)


def point(name: str, address: int, type_: str = "uint16", **changes: Any) -> ModbusPoint:
    return replace(_POINT, name=name, address=address, **{"type": type_, **changes})


def device(name: str, unit: int, *points: ModbusPoint, first: int = 0, poll_ms: int = 50) -> ModbusDevice:
    return ModbusDevice(name=name, unit=unit, poll_ms=poll_ms, points=points, first_point=first)


def link(port: int, *devices: ModbusDevice, **changes: Any) -> ModbusLink:
    plain = ModbusLink(
        name="plc",
        host="127.0.0.1",
        port=port,
        timeout_ms=150,
        connect_timeout_ms=500,
        reconnect_ms=200,
        max_gap=8,
        max_read=125,
        pause_ms=0,
        read_only=False,
        devices=devices,
    )
    return replace(plain, **changes)


class RealClock:
    """The machine's own time."""

    def mono_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def utc_ok(self) -> bool:
        return True


class Recorder:
    """Last value, quality and cause of each point, every value ever seen as good, events in order, and counters."""

    def __init__(self) -> None:
        self.last: dict[int, tuple[float, Quality, Cause]] = {}
        self.good: dict[int, list[float]] = {}
        self.readings: list[Reading] = []
        self.events: list[Outcome | LinkChanged] = []
        self.counts: Counter[str] = Counter()

    def reading(self, reading: Reading) -> None:
        assert len(reading.points) == len(reading.values) == len(reading.quality) == len(reading.causes)
        assert np.isnan(reading.values[reading.quality == Quality.BAD]).all()
        self.readings.append(reading)
        for p, v, q, c in zip(reading.points, reading.values, reading.quality, reading.causes, strict=True):
            self.last[int(p)] = (float(v), Quality(q), Cause(c))
            if q == Quality.GOOD:
                self.good.setdefault(int(p), []).append(float(v))

    def event(self, event: Outcome | LinkChanged) -> None:
        self.events.append(event)

    def requests(self, link: str, result: str, count: int = 1) -> None:
        self.counts[result] += count

    @property
    def outcomes(self) -> list[Outcome]:
        return [event for event in self.events if isinstance(event, Outcome)]

    def flips(self, device: str) -> list[bool]:
        return [event.up for event in self.events if isinstance(event, LinkChanged) and event.device == device]

    async def until(self, condition: Callable[[], object], within_s: float = 60.0) -> None:
        """Waits for a condition, with a deadline."""
        end = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(
                    f"not so within {within_s} s; last {self.last}, counts {self.counts}, {self.events}"
                )
            await asyncio.sleep(0.005)
