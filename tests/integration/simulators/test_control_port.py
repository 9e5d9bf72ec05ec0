"""The control port, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from simulated_region import REGION, Start, until

from scowl_edge.assembly import assemble
from simulators.plant import SimulationError
from simulators.serving import Simulator, serve


class Control:
    """A client of one control port."""

    def __init__(self, session: aiohttp.ClientSession, simulator: Simulator) -> None:
        self._session = session
        self._base = f"http://127.0.0.1:{simulator.control_port}"
        self.plant = simulator.plant

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
