"""Clients of two other makers read and command the simulator over OPC-UA, and see what its control port says is so."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_peer import environment, node_modules, node_program
from simulated_site import URI, SimulatedSite, site

HERE = Path(__file__).parent
NODES = {
    "wind": "s=Wind/Power",
    "limit": "s=Wind/Limit",
    "home": "s=Home/Power",
    "granted": "s=Home/Granted",
    "grid": "s=Grid/Power",
    "currents": "s=Grid/Currents",
}


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[SimulatedSite]:
    """A simulator of its own for each test."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    running = SimulatedSite(site(*ports), tmp_path, tmp_path / "simulator.log")
    yield running
    running.close()
    assert running.errors() == ""


def program(name: str) -> str:
    """Where a tool of asyncua is: beside the interpreter, or anywhere."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is not installed; it comes with asyncua: pip install '.[test]'"
    return found


def tool(name: str, simulated: SimulatedSite, *arguments: str) -> str:
    """What a command-line tool of asyncua prints."""
    done = subprocess.run(
        [program(name), "-u", simulated.endpoint, *arguments], capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_asyncuas_command_line_tools(simulated: SimulatedSite) -> None:
    listed = tool("uals", simulated, "-d", "3")
    assert URI in listed
    found = re.search(rf"ns=(\d+);{NODES['wind']}", listed)
    assert found
    index = found[1]

    def read(name: str) -> Any:
        return json.loads(tool("uaread", simulated, "-n", f"ns={index};{NODES[name]}"))

    truth = simulated.ask("/truth")
    assert read("wind") == pytest.approx(-truth["devices"]["wind-1"]["power_w"] / 1000)
    assert read("home") == round(truth["devices"]["home-1"]["power_w"])
    assert read("grid") == pytest.approx(truth["ratings"]["grid"]["power_w"])
    assert read("currents") == pytest.approx(truth["devices"]["grid-meter"]["currents_a"])
    tool("uawrite", simulated, "-n", f"ns={index};{NODES['limit']}", "-t", "uint16", "250")
    writes = simulated.ask("/writes")
    assert [(w["device"], w["signal"], round(w["value"])) for w in writes] == [("wind-1", "limit", 50_000)]
    assert read("limit") == 250


def test_asyncuas_tool_that_subscribes(simulated: SimulatedSite) -> None:
    node = f"ns=2;{NODES['limit']}"
    process = subprocess.Popen(
        [program("uasubscribe"), "-u", simulated.endpoint, "-n", node],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    # What never comes ends the wait: the tool itself goes on for ever.
    limit = threading.Timer(90, process.kill)
    limit.start()
    try:
        assert process.stdout is not None
        assert "1000" in next(line for line in process.stdout if "value=" in line)
        tool("uawrite", simulated, "-n", node, "-t", "uint16", "250")
        assert "250" in next(line for line in process.stdout if "value=" in line)
    finally:
        limit.cancel()
        process.kill()
        process.communicate(timeout=60)


def javascript(simulated: SimulatedSite, pki: Path, *, secure: bool) -> dict[str, Any]:
    """What node-opcua's client saw."""
    asked = {
        "endpoint": simulated.endpoint,
        "secure": secure,
        "pki": str(pki),
        "uri": URI,
        "nodes": NODES,
        "subscribe": "limit",
        "write": {"node": NODES["limit"], "type": "UInt16", "value": 250},
        "refuse": "home",
        "call": {"object": "s=Home", "method": "s=Home/Shed", "type": "UInt32", "value": 600},
        "browse": "wind-1",
    }
    modules = node_modules("node-opcua@2")
    done = subprocess.run(
        [node_program(), HERE / "simulator_client.cjs", json.dumps(asked)],
        env=environment(modules),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("secure", [False, True], ids=["in-clear", "signed-and-encrypted"])
def test_node_opcuas_client(simulated: SimulatedSite, tmp_path: Path, secure: bool) -> None:
    truth = simulated.ask("/truth")
    seen = javascript(simulated, tmp_path / "pki", secure=secure)
    before = seen["before"]
    assert {name: value["status"] for name, value in before.items()} == dict.fromkeys(NODES, "Good")
    assert {name: value["type"] for name, value in before.items()} == {
        "wind": "Double",
        "limit": "UInt16",
        "home": "Int32",
        "granted": "Float",
        "grid": "Double",
        "currents": "Double",
    }
    assert before["wind"]["value"] == pytest.approx(-truth["devices"]["wind-1"]["power_w"] / 1000)
    assert before["home"]["value"] == round(truth["devices"]["home-1"]["power_w"])
    assert before["grid"]["value"] == pytest.approx(truth["ratings"]["grid"]["power_w"])
    assert before["currents"]["value"] == pytest.approx(truth["devices"]["grid-meter"]["currents_a"])
    assert before["wind"]["sourceTime"] is not None
    assert (seen["written"], seen["refused"], seen["called"]) == ("Good", "BadNotWritable", "Good")
    assert seen["told"] == [1000, 250]
    assert {"Power", "Limit"} <= set(seen["browsed"])
    assert [(w["signal"], round(w["value"])) for w in simulated.ask("/writes")] == [
        ("limit", 50_000),
        ("shed_request", 600),
    ]
    assert seen["after"]["granted"]["value"] == 600
    assert seen["after"]["limit"]["value"] == 250
