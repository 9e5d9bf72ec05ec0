"""A small region to simulate, waiting for what physics brings, and a bare Modbus connection."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

from simulators.serving import Simulator

Start = Callable[..., Awaitable[Simulator]]

REGION = """
site: {id: bench}
links: {plc: {type: modbus-tcp, host: 127.0.0.1}, other: {type: modbus-tcp, host: 127.0.0.1}}
ratings: {grid: {kind: grid, import: 100 A, meter: grid-meter}}
devices:
  wind-1:
    link: plc
    unit: 3
    points:
      power: {address: 100, type: float32, order: ABCD, unit: kW, scale: -1}
      limit: {address: 110, type: uint16, unit: "%", access: rw}
      model: {table: input, address: 0, type: string, length: 4}
    role: {kind: generator, dispatch: stochastic, rated: 2 MW, on: grid}
  chp-1:
    link: plc
    unit: 4
    points:
      power: {table: input, address: 0, type: int16, unit: kW, scale: -0.1}
      connect: {table: coil, address: 7, access: rw}
      alarm: {table: discrete, address: 2}
    role: {kind: generator, dispatch: fixed, rated: 30 kW, on: grid}
  charger-1:
    link: plc
    unit: 5
    points:
      power: {address: 0, type: uint32, order: CDAB, unit: W}
      limit: {address: 4, type: uint16, scale: 0.1, unit: A, access: rw}
      lamp: {address: 5, type: bits, bit: 2, access: rw}
      fan: {address: 5, type: bits, bit: 9, access: rw}
      warm: {address: 5, type: bits, bit: 0}
    role: {kind: consumer, rated: 22 kW, interruptible: true, on: grid}
  home-1:
    link: plc
    unit: 6
    points:
      power: {address: 0, unit: W}
      shed_request: {address: 1, unit: W, access: rw}
      shed_expiry: {address: 2, unit: s, access: rw}
    role: {kind: consumer, rated: 6 kW, deferrable: 3 kW, demand_responsive: 1 kW, on: grid}
  grid-meter:
    link: other
    points:
      power: {address: 0, type: int32, unit: W}
      current_a: {address: 2, type: uint32, unit: mA}
    role: {kind: grid}
simulation:
  weather: {wind: 50 %}
  front: 1 ms
  devices:
    wind-1: {model: wind, noise: 0 %, initial: {model: "W-2000"}}
    charger-1: {model: charger}
    home-1: {model: home, noise: 0 %, base: 2 kW, deferrable: 2 kW}
"""


async def until(reached: Callable[[], bool], within_s: float = 60.0) -> None:
    """Waits for a condition that no event announces."""
    async with asyncio.timeout(within_s):
        while not reached():  # noqa: ASYNC110 - physics does not announce what it does
            await asyncio.sleep(0.02)


class Wire:
    """One TCP connection that speaks Modbus frames and hides nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, transaction: int, unit: int, pdu: bytes) -> None:
        self.writer.write(struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu)

    async def receive(self, within_s: float = 60.0) -> tuple[int, int, bytes]:
        async with asyncio.timeout(within_s):
            transaction, _, length, unit = struct.unpack(">HHHB", await self.reader.readexactly(7))
            return transaction, unit, await self.reader.readexactly(length - 1)

    async def ask(self, unit: int, pdu: bytes) -> bytes:
        self.send(1, unit, pdu)
        return (await self.receive())[2]
