"""The daemon's driver and the simulator, two readers of the same declarations, agree on every point of the examples."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from simulated_region import until

from scowl_edge.assembly import Assembly, assemble, load
from scowl_edge.clocks import SystemClock
from scowl_edge.contracts import PointWrite, WriteRequest
from scowl_edge.devices.declaration import ModbusLink, ModbusPoint
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.drivers.opcua import OpcuaDriver
from scowl_edge.model.command import CommandId, OutcomeKind, Verb
from scowl_edge.model.event import LinkChanged, Outcome
from scowl_edge.model.signal import Quality, Reading
from simulators.binding import bind
from simulators.serving import Simulator, moved, serve

EXAMPLES = Path(__file__).parents[3] / "examples"


class Sink:
    """Keeps the last value of each point and every outcome."""

    def __init__(self) -> None:
        self.values: dict[int, float] = {}
        self.qualities: dict[int, int] = {}
        self.outcomes: dict[CommandId, Outcome] = {}

    def reading(self, reading: Reading) -> None:
        for point, value, quality in zip(reading.points, reading.values, reading.quality, strict=True):
            self.values[int(point)] = float(value)
            self.qualities[int(point)] = int(quality)

    def event(self, event: Outcome | LinkChanged) -> None:
        if isinstance(event, Outcome):
            self.outcomes[event.command] = event

    def requests(self, link: str, result: str, count: int = 1) -> None:
        assert result == "ok", f"{link}: {result}"


Driver = ModbusDriver | OpcuaDriver


def drivers_of(assembly: Assembly, simulator: Simulator, clock: SystemClock) -> list[Driver]:
    links = moved(assembly.links, simulator.ports)
    return [ModbusDriver(x, clock) if isinstance(x, ModbusLink) else OpcuaDriver(x, clock) for x in links]


@pytest.mark.parametrize("example", ["demo.yaml", "building.yaml"])
async def test_both_mean_the_same_by_every_register(example: str) -> None:
    assembly = load(EXAMPLES / example)
    simulator = await serve(assembly, 0.01, "127.0.0.1:0", ephemeral=True)
    # The plant is ahead of its slow clock and waits for it, so that both look at the same moment.
    simulator.plant.advance(30_000)
    clock, sink = SystemClock(), Sink()
    drivers = drivers_of(assembly, simulator, clock)
    running = [asyncio.create_task(driver.run(sink)) for driver in drivers]
    readable = [index for index, point in enumerate(assembly.points) if "r" in point.access]
    try:
        await until(lambda: all(index in sink.values for index in readable))
        assert {sink.qualities[index] for index in readable} == {Quality.GOOD}
        bindings = bind(assembly)
        declared = {
            (device.name, point.name): point
            for link in assembly.links
            for device in link.devices
            for point in device.points
        }
        compared = 0
        for index in readable:
            row = assembly.points[index]
            if (row.device, row.name) not in bindings:
                continue
            signal, factor = bindings[row.device, row.name]
            truth = simulator.plant.read(row.device, signal)
            assert truth is not None, f"{row.device} {row.name}"
            point = declared[row.device, row.name]
            step = abs(point.scale * point.to_base)
            if isinstance(point, ModbusPoint) and point.scale_factor:
                step *= 10
            within = max(step * 0.51, abs(truth * factor) * 2e-3)
            assert sink.values[index] == pytest.approx(truth * factor, abs=within), f"{row.device} {row.name}"
            compared += 1
        assert compared > 20
        await write_everything(assembly, simulator, drivers, sink, clock)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await simulator.close()


async def write_everything(
    assembly: Assembly, simulator: Simulator, drivers: list[Driver], sink: Sink, clock: SystemClock
) -> None:
    by_link = {driver.link: driver for driver in drivers}
    wanted: dict[CommandId, tuple[str, str, float]] = {}
    for number, (actuator, binding) in enumerate(zip(assembly.site.actuators, assembly.actuators, strict=True)):
        value = 1.0 if actuator.high <= 1 or actuator.verb is Verb.SUPPLY else round(actuator.high * 0.6, -2)
        writes = [PointWrite(binding.point, value / binding.gain)]
        if binding.expiry_point >= 0:
            writes.insert(0, PointWrite(binding.expiry_point, 600.0))
        command = CommandId(1, 1, number)
        signal = "shed_request" if actuator.verb is Verb.SHED else str(actuator.verb)
        wanted[command] = (assembly.site.devices[actuator.device].name, signal, value)
        request = WriteRequest(command=command, writes=tuple(writes), valid_until_ms=clock.mono_ms() + 60_000)
        by_link[assembly.points[binding.point].link].write(request)
    await until(lambda: len(sink.outcomes) == len(wanted))
    accepted = {(write.device, write.signal): write.value for write in simulator.plant.accepted}
    for command, (device, signal, value) in wanted.items():
        outcome = sink.outcomes[command]
        assert outcome.kind is OutcomeKind.ACKNOWLEDGED, f"{device} {signal}: {outcome}"
        assert accepted[device, signal] == pytest.approx(value, rel=0.01, abs=50), f"{device} {signal}"
        if signal == "shed_request":
            assert accepted[device, "shed_expiry"] == pytest.approx(600)


async def test_every_kind_of_modbus_link_is_played_as_the_driver_speaks_it(tmp_path: Path) -> None:
    pki = f"ca: {tmp_path}/ca.pem, certificate: {tmp_path}/edge.pem, key: {tmp_path}/edge-key.pem"
    kinds = {
        "tcp": "type: modbus-tcp, host: 127.0.0.1",
        "line": f"type: modbus-rtu, device: {tmp_path}/tty, baud: 57600",
        "converter": "type: modbus-rtu-tcp, host: 127.0.0.1, port: 5021",
        "secured": f"type: modbus-tls, host: 127.0.0.1, port: 5022, {pki}",
    }
    links = "".join(f"  {name}: {{{link}, settle: 0 ms}}\n" for name, link in kinds.items())
    devices = "".join(
        f"  {name}-{unit}: {{link: {name}, unit: {unit}, poll: 100 ms, points: {{v: {{address: 7}}}}}}\n"
        for name in kinds
        for unit in (1, 2)
    )
    initial = ", ".join(
        f"{name}-{unit}: {{initial: {{v: {10 * place + unit}}}}}" for place, name in enumerate(kinds) for unit in (1, 2)
    )
    assembly = assemble(
        f"site: {{id: b}}\nlinks:\n{links}devices:\n{devices}simulation: {{devices: {{{initial}}}}}\n", "x"
    )
    simulator = await serve(assembly, 1.0, "127.0.0.1:0", ephemeral=True)
    sink = Sink()
    running = [asyncio.create_task(driver.run(sink)) for driver in drivers_of(assembly, simulator, SystemClock())]
    try:
        await until(lambda: len(sink.values) == len(assembly.points))
        wanted = [10.0 * place + unit for place in range(len(kinds)) for unit in (1, 2)]
        assert [sink.values[index] for index in range(len(wanted))] == wanted
        assert set(sink.qualities.values()) == {Quality.GOOD}
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await simulator.close()
