"""The control port, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from simulated_region import REGION, Start, Wire, until

from scowl_edge.assembly import assemble
from simulators.plant import SimulationError
from simulators.serving import Simulator, serve

Connect = Callable[[int], Awaitable[Wire]]


class Control:
    """A client of one control port."""

    def __init__(self, session: aiohttp.ClientSession, simulator: Simulator) -> None:
        self._session = session
        self._base = f"http://127.0.0.1:{simulator.control_port}"
        self.plant = simulator.plant
        self.port = simulator.ports["plc"]

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        async with self._session.request(method, self._base + path, json=body) as response:
            answer = await response.json()
            assert response.status == status, answer
            return answer


@pytest.fixture
async def control(start: Start) -> AsyncIterator[Control]:
    simulator = await start(REGION)
    async with aiohttp.ClientSession() as session:
        yield Control(session, simulator)


async def test_weather_load_and_unmetered_change_the_truth(control: Control) -> None:
    await control.ask("POST", "/weather", {"wind": 1.0})
    await control.ask("POST", "/load", {"fraction": 0.5})
    await control.ask("POST", "/unmetered", {"rating": "grid", "power_w": 1500})
    await until(lambda: control.plant.read("wind-1", "power") == -2_000_000)
    await until(lambda: control.plant.read("home-1", "power") == 2000)
    assert (await control.ask("GET", "/truth/home-1"))["power_w"] == 2000
    await control.ask("POST", "/load", {"fraction": 2, "device": "home-1"})
    await until(lambda: control.plant.read("home-1", "power") == 4000)
    everything = await control.ask("GET", "/truth")
    assert everything["ratings"]["grid"]["unmetered_w"] == 1500
    assert everything["devices"]["wind-1"]["available_w"] == 2_000_000
    assert everything["conservation_error_w"] < 1e-6


async def test_faults_begin_show_and_end(control: Control) -> None:
    begun = await control.ask("POST", "/faults", {"device": "wind-1", "kind": "echo_without_effect"}, 201)
    assert begun["devices"] == ["wind-1"]
    listed = await control.ask("GET", "/faults")
    assert [fault["kind"] for fault in listed["wind-1"]] == ["echo-without-effect"]
    await control.ask("POST", "/faults", {"link": "plc", "kind": "delay", "ms": 5}, 201)
    assert sorted(await control.ask("GET", "/faults")) == ["charger-1", "chp-1", "home-1", "wind-1"]
    await control.ask("DELETE", "/faults/wind-1?kind=delay")
    listed = await control.ask("GET", "/faults")
    assert [fault["kind"] for fault in listed["wind-1"]] == ["echo-without-effect"]
    await control.ask("DELETE", "/faults/wind-1")
    assert "wind-1" not in await control.ask("GET", "/faults")
    assert await control.ask("DELETE", "/faults") == {}
    await control.ask("POST", "/faults", {"device": "wind-1", "kind": "silence", "for_s": 0.2}, 201)
    await until(lambda: control.plant.faults() == {})


async def test_every_injection_is_counted_and_every_answer_logged(control: Control, connect: Connect) -> None:
    wire = await connect(control.port)
    read_limit = bytes.fromhex("03006e0001")
    assert await wire.ask(3, read_limit) == bytes((3, 2, 0, 100))
    await control.ask("POST", "/faults", {"link": "plc", "kind": "busy", "times": 2}, 201)
    assert [await wire.ask(3, read_limit) for _ in range(3)] == [bytes((0x83, 6))] * 2 + [bytes((3, 2, 0, 100))]
    assert await control.ask("GET", "/injected") == {"wind-1": {"busy": 2}}
    await control.ask("POST", "/faults", {"device": "wind-1", "kind": "duplicate"}, 201)
    await wire.ask(3, read_limit)
    assert (await control.ask("GET", "/faults"))["wind-1"][0]["injected"] == 1
    log = await control.ask("GET", "/log?since=1")
    assert [(row["number"], row["link"], row["unit"], row["table"], row["address"], row["values"]) for row in log] == [
        (2, "plc", 3, "holding", 110, [100]),
        (3, "plc", 3, "holding", 110, [100]),
    ]


async def test_a_server_of_modbus_is_cut_stopped_and_started(control: Control, connect: Connect) -> None:
    wire = await connect(control.port)
    assert (await control.ask("GET", "/servers"))["plc"]["running"]
    await control.ask("POST", "/servers/plc", {"action": "cut"})
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await wire.receive()
    assert not (await control.ask("POST", "/servers/plc", {"action": "stop"}))["running"]
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await connect(control.port)
    await control.ask("POST", "/servers/plc", {"action": "start"})
    wire = await connect(control.port)
    assert await wire.ask(3, bytes.fromhex("03006e0001")) == bytes((3, 2, 0, 100))
    answer = await control.ask("POST", "/servers/plc", {"action": "kick"}, 400)
    assert "kick is nothing that can be done to link plc; try cut, stop, start" in answer["error"]


async def test_a_second_master_is_seen_in_the_writes(control: Control) -> None:
    body = {"device": "charger-1", "kind": "second-master", "signal": "limit", "value": 5000, "every_s": 0.1}
    await control.ask("POST", "/faults", body, 201)
    await until(lambda: len(control.plant.accepted) >= 2)
    writes = await control.ask("GET", "/writes?device=charger-1")
    assert {(write["signal"], write["value"], write["source"]) for write in writes} == {
        ("limit", 5000.0, "second-master")
    }
    assert await control.ask("GET", "/writes?device=home-1") == []


async def test_the_rate_of_time_can_change(control: Control) -> None:
    before = await control.ask("GET", "/clock")
    assert before["rate"] == 1
    after = await control.ask("POST", "/rate", {"rate": 100})
    assert after["rate"] == 100
    assert after["now_ms"] < before["now_ms"] + 5000, "no jump"
    await until(lambda: control.plant.now_ms > before["now_ms"] + 20_000)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/truth/nobody", None, 404, "there is no device nobody; known are: wind-1"),
        ("GET", "/nothing", None, 404, "there are GET /truth"),
        ("PUT", "/weather", {}, 405, "Method Not Allowed"),
        ("POST", "/weather", {"wind": 7}, 400, "wind: Input should be less than or equal to 1"),
        ("POST", "/weather", {}, 400, "neither wind nor sun"),
        ("POST", "/weather", [1], 400, "the body"),
        ("POST", "/load", {"fraction": 1, "device": "wind-1"}, 400, "wind-1 is no consumer"),
        ("POST", "/faults", {"device": "wind-1", "kind": "gremlins"}, 400, "known are: silence"),
        ("POST", "/faults", {"kind": "silence"}, 400, "name either a device or a link"),
        ("POST", "/faults", {"link": "nix", "kind": "silence"}, 400, "there is no link nix"),
        ("POST", "/faults", {"device": "wind-1", "kind": "second-master", "signal": "mode"}, 400, "does not take"),
        ("POST", "/faults", {"device": "wind-1", "kind": "clock-jump"}, 400, "Modbus has no time stamps"),
        ("POST", "/faults", {"device": "wind-1", "kind": "moving-scale"}, 400, "has a scale_factor that could move"),
        ("POST", "/faults", {"device": "wind-1", "kind": "delay", "unit": 3}, 400, "unit and address are a proxy's"),
        ("POST", "/faults", {"device": "wind-1", "kind": "delay", "ms": -5}, 400, "only a clock can jump back"),
        ("POST", "/unmetered", {"rating": "roof", "power_w": 1}, 400, "there is no rating roof"),
        ("POST", "/rate", {"rate": 0}, 400, "rate"),
        ("DELETE", "/faults/wind-1?kind=x", None, 404, "there is no fault 'x'"),
    ],
)
async def test_errors_are_json_in_words(
    control: Control, method: str, path: str, body: Any, status: int, words: str
) -> None:
    answer = await control.ask(method, path, body, status)
    assert words in answer["error"]


async def test_what_is_no_json_is_told(control: Control, start: Start) -> None:
    simulator = await start(REGION)
    url = f"http://127.0.0.1:{simulator.control_port}/load"
    async with aiohttp.ClientSession() as session, session.post(url, data=b"{fraction") as response:
        assert response.status == 400
        assert "no JSON" in (await response.json())["error"]


async def test_only_loopback_is_served() -> None:
    with pytest.raises(SimulationError, match="listens on loopback only"):
        await serve(assemble(REGION, "site.yaml"), 1.0, "0.0.0.0:0", ephemeral=True)
    foreign = REGION.replace("host: 127.0.0.1}, other", "host: 192.0.2.1}, other")
    with pytest.raises(SimulationError, match=r"link plc is at 192\.0\.2\.1"):
        await serve(assemble(foreign, "site.yaml"), 1.0, None, ephemeral=True)


async def test_a_taken_port_is_named() -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    text = REGION.replace(
        "{type: modbus-tcp, host: 127.0.0.1}, other", f"{{type: modbus-tcp, host: 127.0.0.1, port: {port}}}, other"
    )
    try:
        with pytest.raises(SimulationError, match=f"cannot listen on 127.0.0.1:{port} for link plc"):
            await serve(assemble(text, "site.yaml"), 1.0, None)
    finally:
        taken.close()
        await taken.wait_closed()
