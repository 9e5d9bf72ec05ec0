"""A register that is kept at a value: the ledger on top of a real driver, a turn every few milliseconds."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import numpy as np
from calm_policy import POLICY
from field_case import Case
from field_peer import RATED_W
from modbus_site import point

from scowl_edge.capacity import RatingTree
from scowl_edge.contracts import PointWrite, WriteRequest
from scowl_edge.control.entry import Stage
from scowl_edge.control.ledger import Count, Ledger
from scowl_edge.model.command import CommandId, Verb, WriteClass
from scowl_edge.model.effect import Write
from scowl_edge.model.event import DeviceMode, Outcome
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.signal import Image
from scowl_edge.model.site import Actuator, Bus, BusKind, Device, OnStop, Signal, Site
from scowl_edge.tracker.observe import Observation

LIMIT, POWER = 0, 1
"""Both the signals and the points."""
LIMIT_W = 3_000
POINTS = (
    point("limit", 4, "uint32", unit="W", base_unit="W"),
    point("power", 0, "int32", unit="W", base_unit="W", scale=-1.0, access="r"),
)
_KEPT = declare("matrix-kept", "kept there by a test")
_FRESH_MS = 5_000
_TURN_S = 0.01
SITE = Site(
    name="matrix",
    policy=replace(POLICY, retry_ms=600_000),
    devices=(Device(name="struck", link="plc", mode=DeviceMode.AUTO),),
    signals=tuple(Signal(device=0, name=name, fresh_ms=_FRESH_MS, hold_ms=_FRESH_MS) for name in ("limit", "power")),
    actuators=(
        Actuator(
            device=0,
            verb=Verb.LIMIT,
            feedback=LIMIT,
            effect=POWER,
            tolerance=200,
            settle_ms=300,
            hold_polls=2,
            write_class=WriteClass.VOLATILE,
            low=0,
            high=RATED_W,
            ramp_w_s=0,
            daily_budget=0,
            failsafe=None,
            device_timeout_ms=0,
            heartbeat_ms=0,
            on_stop=OnStop.RELEASE,
        ),
    ),
    buses=(Bus(name="main", kind=BusKind.SYNCHRONOUS),),
)


class Keeper:
    """Keeps the limit at `LIMIT_W`, as the core would."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.ledger = Ledger(SITE)
        self.stages: list[Stage] = []
        """Every stage that it went through, in order."""
        self.writes = 0
        self._image = Image.empty(2)
        self._read = self._told = self._step = 0

    @property
    def stage(self) -> Stage:
        """Where the command stands."""
        return self.ledger.entries[0].stage

    async def until(self, *stages: Stage) -> None:
        """Turns until the command stands there."""
        end_s = asyncio.get_running_loop().time() + 60
        while self.stage not in stages:
            assert asyncio.get_running_loop().time() < end_s, f"never {stages}: {self.stages}"
            self._turn()
            await asyncio.sleep(_TURN_S)

    def read_backs(self, since_ms: int) -> int:
        """Readings of the register since then, and since the last answer to a write."""
        since_ms = max(since_ms, self.ledger.entries[0].settled_at)
        return sum(LIMIT in reading.points and reading.requested_ms >= since_ms for reading in self.case.sink.readings)

    def _turn(self) -> None:
        now_ms = self.case.clock.mono_ms()
        sink, ledger, counts = self.case.sink, self.ledger, list[Count]()
        for event in sink.events[self._told :]:
            if isinstance(event, Outcome):
                ledger.outcome(event, counts)
        for reading in sink.readings[self._read :]:
            for index, value in zip(reading.points, reading.values, strict=True):
                if not math.isnan(value):
                    self._image.value[index], self._image.received_ms[index] = round(value), reading.received_ms
        self._told, self._read, self._step = len(sink.events), len(sink.readings), self._step + 1
        fresh = np.full(2, _FRESH_MS, np.int64)
        seen = Observation(SITE, RatingTree(SITE), self._image, fresh, fresh, now_ms, {})
        reads = ledger.watch(seen, counts)
        self._note()
        effects = ledger.step(seen, [(LIMIT_W, 8, Reason(_KEPT), False, 0)], [True], 1, self._step, 0)
        self._note()
        if reads:
            self.case.driver.read(reads, now_ms)
        for effect in effects:
            if isinstance(effect, Write):
                self.writes += 1
                self._send(effect.command.id, effect.command.value, effect.command.valid_until_ms)

    def _send(self, command: CommandId, value: int, valid_until_ms: int) -> None:
        write = PointWrite(LIMIT, float(value))
        self.case.driver.write(WriteRequest(command=command, writes=(write,), valid_until_ms=valid_until_ms))

    def _note(self) -> None:
        if not self.stages or self.stages[-1] is not self.stage:
            self.stages.append(self.stage)
