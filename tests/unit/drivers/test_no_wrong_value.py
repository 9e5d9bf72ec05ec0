"""Polls by the hundred thousand under random faults, in virtual time: not one published value answers another request.

`make polls` does a million on each kind of link.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest
from modbus_site import device, link, point
from virtual_plant import FAULTS, Plant, VirtualClock, VirtualLoop, run_virtual

from scowl_edge.devices.declaration import LinkKind, ModbusLink
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.event import LinkChanged, Outcome
from scowl_edge.model.signal import Quality, Reading

POLLS = int(os.environ.get("SCOWL_POLLS", "6000"))
UNITS = 4


class Judge:
    """A sink that holds every published value against what its request was answered."""

    def __init__(self, plant: Plant, site: ModbusLink) -> None:
        self.polls = self.good = 0
        self.wrong: list[str] = []
        self.results: Counter[str] = Counter()
        self.repeats = 0
        self._plant = plant
        self._site = site
        self._places = {
            unit.first_point + place: (unit.unit, one.address)
            for unit in site.devices
            for place, one in enumerate(unit.points)
        }

    def reading(self, reading: Reading) -> None:
        self.polls += 1
        for place, value, quality in zip(reading.points.tolist(), reading.values, reading.quality, strict=True):
            if quality == Quality.BAD:
                continue
            self.good += 1
            unit, address = self._places[place]
            serial, pair = int(value) >> 12, int(value) & 0xFFF
            asked = self._plant.answered.get(serial)
            if pair != address // 2 or asked is None or asked[0] != unit:
                self._found(f"unit {unit} address {address}: {value:.0f} ({serial}) is of {asked}, pair {pair}")
            elif asked[1] * 1000 < reading.requested_ms - 1 and not self._repeated(asked[1], reading):
                self._found(f"unit {unit} address {address}: asked {asked[1]}, not {reading.requested_ms}")

    def _repeated(self, asked_s: float, reading: Reading) -> bool:
        """A unit on a serial line that says an answer twice of itself, the second time to the very same question: that
        is one poll old, and nothing can tell. Never after a time-out, and never another register's."""
        late_ms = self._site.timeout_ms + self._site.late_reply_ms
        if not self._site.is_serial or reading.requested_ms - asked_s * 1000 > late_ms:
            return False
        self.repeats += 1
        return True

    def _found(self, what: str) -> None:
        self.wrong += self.wrong or self._plant.log
        self.wrong.append(what)

    def event(self, event: Outcome | LinkChanged) -> None:
        pass

    def requests(self, link: str, result: str, count: int = 1) -> None:
        self.results[result] += count


def site(kind: LinkKind) -> ModbusLink:
    """Blocks of the same length at different places, and of different lengths: what is easily taken for another."""
    units = [
        device(
            f"d{unit}", unit, *(point(f"p{a}", a, "uint32") for a in (0, 2, 100, 102, 200, 300)),
            first=10 * unit, poll_ms=40 + unit,
        )
        for unit in range(1, UNITS + 1)
    ]  # fmt: skip
    return link(1, *units, kind=kind, timeout_ms=60, reconnect_ms=250, settle_ms=5)


@pytest.mark.parametrize("share", [0.02, 0.3])
@pytest.mark.parametrize("kind", [LinkKind.TCP, LinkKind.RTU_TCP])
def test_no_wrong_value_under_random_faults(kind: LinkKind, share: float) -> None:
    it = site(kind)

    async def main(loop: VirtualLoop) -> tuple[Plant, Judge]:
        plant = Plant(loop, it, seed=int(share * 100), share=share)
        judge = Judge(plant, it)
        driver = ModbusDriver(it, VirtualClock(loop), opener=plant.open_wire)
        task = loop.create_task(driver.run(judge))
        for _ in range(4 * POLLS):
            if judge.polls >= POLLS or judge.wrong or task.done():
                break
            await asyncio.sleep(0.5)
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
        return plant, judge

    plant, judge = run_virtual(main)
    assert not judge.wrong, "\n".join(judge.wrong[:80])
    assert judge.repeats <= sum(plant.injected[fault] for fault in ("duplicate", "late duplicate", "shifted")) / 20
    assert judge.polls >= POLLS
    assert judge.good > judge.polls / 4, "much of it is read all the same"
    missing = set(FAULTS) - set(plant.injected) - ({"wrong id"} if kind is LinkKind.RTU_TCP else set())
    assert not missing, f"never injected: {missing}"
