"""The installed daemon against node-opcua, from nothing but a site file: all types, all policies, and all that befalls.

One server and one daemon, with a link without security, one for each policy, and two that are refused.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from opcua_peer import PASSWORD, POLICIES, Peer, most_attempts
from opcua_proxy import BlackHole, black_hole
from opcua_site_file import COMMANDS, METHOD, MUTE, SCALAR_COMMANDS, SCALARS, SHED, Command, Link, site
from whole_daemon import SOON_S, WholeDaemon, wait_for

HURRIED = ", timeout: 3 s, connect_timeout: 5 s"
"""Where time-outs are waited for; longer than a busy machine stands still, or a call would be in doubt by that."""
LONGER_W = 321
"""By how much an order given to a black hole differs from the one before."""
TOOL_READS = ("Boolean", "UInt16", "Int64", "Float")
FAULTS = {
    "nobody": ("unknown_node", "BadNodeIdUnknown"),
    "mistyped": ("wrong_type", "the server holds a double there; set `type: double` or leave it out"),
    "beyond": ("wrong_type", "the array there has only 4 values, counted from 0"),
    "fine": (None, None),
}


class Proxies:
    """Proxies with an event loop of their own, since the test waits by blocking."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._open = AsyncExitStack()

    def to(self, port: int) -> BlackHole:
        """One more."""
        entering = self._open.enter_async_context(black_hole(port))
        return asyncio.run_coroutine_threadsafe(entering, self._loop).result(60)

    def tell(self, order: Callable[[], None]) -> None:
        """Has a proxy do something; returns when it is done."""

        async def do() -> None:
            order()

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(60)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._open.aclose(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()


class Plant:
    """The server, the ways to it, and the site file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peer = Peer(halls=["plain", *POLICIES[1:]], acceptsUnknown=False)
        self.proxies = Proxies()
        self.hole, self.to_locked, self.to_unknown = (self.proxies.to(self.peer.port) for _ in range(3))
        password, wrong, pki = folder / "password", folder / "wrong", folder / "pki"
        password.write_text(f"{PASSWORD}\n")
        wrong.write_text("open barley\n")
        basic, aes128, aes256 = POLICIES[1:]
        self.links = [
            Link(name="plain", endpoint=self.peer.endpoint),
            Link(
                name=basic, endpoint=_through(self.hole), security=basic, password=password, pki=pki, more=HURRIED,
                typed=False,
            ),
            Link(name=aes128, endpoint=self.peer.endpoint, security=aes128, password=password, pki=pki),
            Link(
                name=aes256, endpoint=self.peer.endpoint, security=aes256, password=password, pki=pki,
                more=", subscribe: false", typed=False,
            ),
        ]  # fmt: skip
        self.far = self.links[1]
        """The one through the proxy that becomes a black hole."""
        self.refused = [
            Link(name="locked", endpoint=_through(self.to_locked), security=basic, password=wrong, pki=pki),
            Link(
                name="unknown", endpoint=_through(self.to_unknown), security=basic, password=password,
                pki=folder / "elsewhere",
            ),
        ]  # fmt: skip
        self._daemon: WholeDaemon | None = None
        self._began_s = 0.0

    def running_s(self) -> float:
        """For how long the daemon has been running."""
        return time.monotonic() - self._began_s

    def run(self) -> WholeDaemon:
        """Starts the daemon."""
        self._began_s = time.monotonic()
        self._daemon = WholeDaemon(site(self.links, self.refused), self.folder)
        return self._daemon

    def close(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
        self.proxies.close()
        self.peer.close()


def _through(proxy: BlackHole) -> str:
    return f"opc.tcp://127.0.0.1:{proxy.port}/site"


def scowl_edge(*arguments: str) -> str:
    """Runs a subcommand; what it printed."""
    command = [sys.executable, "-m", "scowl_edge.cli", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SOON_S)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    it = Plant(tmp_path)
    yield it
    it.close()


def test_a_server_is_read_and_commanded_through_all_that_befalls_it(plant: Plant) -> None:
    daemon = nobody_is_trusted_before_a_person_says_so(plant)
    every_type_is_read(plant, daemon)
    every_type_is_commanded(plant, daemon)
    a_call_without_an_answer_is_not_repeated(plant, daemon)
    kicked_sessions_come_back(plant, daemon)
    a_black_hole_is_told_and_left(plant, daemon)
    what_is_refused_says_why_and_is_not_stormed(plant, daemon)
    a_restart_with_other_namespaces_changes_nothing(plant, daemon)
    assert daemon.stop() == 0


def nobody_is_trusted_before_a_person_says_so(plant: Plant) -> WholeDaemon:
    """As the documentation has it: the own certificate to the server, and the server's after it was looked at."""
    shown = scowl_edge("pki", "show", "--pki", str(plant.folder / "pki"))
    own = next(line.split()[-1] for line in shown.splitlines() if line.split()[:1] == ["file"])
    shutil.copy(own, plant.peer.pki / "trusted" / "certs")
    daemon = plant.run()
    secured = [link for link in plant.links if link.security]
    wait_for(
        lambda: all("is not trusted" in cause(daemon, link) for link in secured), SOON_S, "each secured link says so"
    )
    (rejected,) = (plant.folder / "pki" / "rejected").iterdir()
    said = f"scowl-edge pki trust {rejected.stem}"
    wait_for(lambda: all(said in cause(daemon, link) for link in secured), SOON_S, "and what to do")
    wait_for(lambda: "more-links-down" in daemon.alarms(), SOON_S, "with the two that stay refused, one alarm for most")
    wait_for(lambda: reasons(daemon, plant.far) == {"link_down"}, SOON_S, "nothing is known")
    wait_for(lambda: not misread(plant, daemon, plant.links[:1]), SOON_S, "what is not secured works")
    checked = scowl_edge("check", str(daemon.file))
    assert "no server's certificate is trusted" in checked and "ok: site stranger" in checked
    scowl_edge("pki", "trust", rejected.stem, "--config", str(daemon.file), "--link", plant.far.name)
    wait_for(lambda: not any(cause(daemon, link) for link in secured), SOON_S, "all links are up")
    return daemon


def every_type_is_read(plant: Plant, daemon: WholeDaemon) -> None:
    wait_for(lambda: not misread(plant, daemon), SOON_S, "every value is as the server has it")
    for link in plant.links:
        plant.peer.put(f"{link.name}/String", f"running {link.name}")
        plant.peer.put(f"{link.name}/Int32", 2**30 + 1)
    wait_for(lambda: not misread(plant, daemon), SOON_S, "every change is seen")
    for link in plant.links:
        wait_for(lambda link=link: faults(daemon, link) == FAULTS, SOON_S, "what is wrong is said of each point")


def every_type_is_commanded(plant: Plant, daemon: WholeDaemon) -> None:
    daemon.order("region/mode", "auto")
    for number, link in enumerate(plant.links):
        for command in COMMANDS:
            give(daemon, link, command, command.ordered(number))
    in_effect(plant, daemon, COMMANDS)
    assert unlike_ordered(plant) == []
    state = plant.peer.state()
    assert state["values"]["Doubles"] == [SHED.held(number) for number in range(4)]
    assert {each.device for each in SCALAR_COMMANDS} | {"String", "DateTime"} == set(SCALARS)
    for link in plant.links:
        # The time for which a shed holds: as a moment, so long after the epoch.
        assert 600 <= meant(state["values"][f"{link.name}/DateTime"]) <= 900
    assert sorted(state["calls"]) == sorted(
        [["SetLimit", [METHOD.held(number)]] for number in range(4)] + [["Reset", []]] * 4
    )
    assert {state["types"][f"{link.name}/{name}"] == name for link in plant.links for name in SCALARS} == {True}
    plain = {each.device: each.held(0) for each in SCALAR_COMMANDS}
    with ThreadPoolExecutor(2) as threads:
        told = dict(
            zip(TOOL_READS, threads.map(lambda name: second_opinion(plant.peer, name), TOOL_READS), strict=True)
        )
    assert {name: kind for name, (kind, _) in told.items()} == {name: name for name in TOOL_READS}
    assert {name: value for name, (_, value) in told.items()} == pytest.approx(
        {name: plain[name] for name in TOOL_READS}
    )


def a_call_without_an_answer_is_not_repeated(plant: Plant, daemon: WholeDaemon) -> None:
    give(daemon, plant.far, MUTE, 0)
    wait_for(lambda: ["Sleep", []] in plant.peer.calls(), SOON_S, "the method is called")
    wait_for(lambda: f"in-doubt:{plant.far.name}-mute" in daemon.alarms(), SOON_S, "it is in doubt")
    assert actuator(daemon, plant.far, MUTE)["state"] == "timed_out"


def kicked_sessions_come_back(plant: Plant, daemon: WholeDaemon) -> None:
    before = plant.peer.state()
    plant.peer.kick()
    wait_for(lambda: plant.peer.state()["sessions"] >= before["sessions"] + 4, SOON_S, "four new sessions")
    for link in plant.links:
        plant.peer.put(f"{link.name}/String", "after the kick")
    wait_for(lambda: not misread(plant, daemon), SOON_S, "changes are seen again")
    nothing_was_sent_twice(plant, before)


def a_black_hole_is_told_and_left(plant: Plant, daemon: WholeDaemon) -> None:
    far, volatile = plant.far, SCALAR_COMMANDS[3]
    asked = METHOD.ordered(1) + LONGER_W
    plant.proxies.tell(plant.hole.swallow)
    give(daemon, far, METHOD, asked)
    give(daemon, far, volatile, volatile.ordered(1) + LONGER_W)
    alarm = wait_for(lambda: daemon.alarms().get(f"link-down:{far.name}"), SOON_S, "an alarm says so")
    assert "no answer within" in alarm["cause"]["text"]
    assert reasons(daemon, far) <= {"timeout", "link_down"}
    assert {point["value"] for point in points_of(daemon, far)} == {None}
    assert daemon.metric_of(f"{far.name}-seen", "Int16") is None
    near = [link for link in plant.links if link is not far]
    wait_for(lambda: not misread(plant, daemon, near), SOON_S, "no other link feels it")
    plant.proxies.tell(plant.hole.heal)
    wait_for(lambda: f"link-down:{far.name}" not in daemon.alarms(), SOON_S, "the alarm is over")
    wait_for(lambda: not misread(plant, daemon), SOON_S, "all is good again")
    assert tale(daemon, far)[-4:] == [
        ("link-down", far.name), ("alarm-raised", f"link-down:{far.name}"),
        ("link-up", far.name), ("alarm-cleared", f"link-down:{far.name}"),
    ]  # fmt: skip
    in_effect(plant, daemon, [command for command in COMMANDS if command is not METHOD])
    assert meant(plant.peer.value(f"{far.name}/{volatile.device}")) == volatile.ordered(1) + LONGER_W
    # Either it never left and was called afterwards, or it is in doubt; the server got it at most once.
    ended = ("effective", "timed_out")
    state = wait_for(
        lambda: state if (state := actuator(daemon, far, METHOD)["state"]) in ended else "",
        SOON_S,
        "the call has ended",
    )
    called = [arguments for name, arguments in plant.peer.calls() if name == "SetLimit"].count(
        [pytest.approx(asked / METHOD.node_w)]
    )
    assert (state, called) in (("effective", 1), ("timed_out", 0), ("timed_out", 1))
    assert plant.peer.calls().count(["Sleep", []]) == 1
    give(daemon, far, volatile, volatile.ordered(1))


def a_restart_with_other_namespaces_changes_nothing(plant: Plant, daemon: WholeDaemon) -> None:
    plant.peer.kill()
    wait_for(
        lambda: all(reasons(daemon, link) == {"link_down"} for link in plant.links), SOON_S, "nothing is known any more"
    )
    # Points say it at once, alarms with the step that takes the news.
    told = wait_for(lambda: told if "more-links-down" in (told := daemon.alarms()) else {}, SOON_S, "an alarm for most")
    assert len(told) <= 10
    plant.peer.options["shift"] = 3
    plant.peer.start()
    wait_for(lambda: not any(cause(daemon, link) for link in plant.links), SOON_S, "all links are up")
    wait_for(lambda: not misread(plant, daemon), SOON_S, "all is good again")
    for link in plant.links:
        kinds = [kind for kind, source in tale(daemon, link) if source == link.name]
        assert kinds[-2:] == ["link-down", "link-up"]
    wait_for(lambda: unlike_ordered(plant) == [], SOON_S, "what the server forgot is written again")
    in_effect(plant, daemon, SCALAR_COMMANDS)
    # The daemon cannot see that a method's work was lost, and a call is never made again unasked.
    assert plant.peer.calls() == []


def what_is_refused_says_why_and_is_not_stormed(plant: Plant, daemon: WholeDaemon) -> None:
    """After 0, 2, 6, 14, 30 s, with two connections each, where `reconnect` alone would be twice a second."""
    wait_for(lambda: plant.to_locked.accepted >= 4 and plant.to_unknown.accepted >= 2, SOON_S, "both try again")
    # Three links are down at most for now, so each has an alarm of its own.
    refused = {f"link-down:{link.name}" for link in plant.refused}
    wait_for(lambda: refused <= daemon.alarms().keys(), SOON_S, "both are told")
    assert daemon.alarms()["link-down:locked"]["cause"]["text"].startswith(
        f"log in to {plant.refused[0].endpoint} as edge: BadUserAccessDenied; check user and password on both sides"
    )
    assert "is not trusted; if it is the right one" in daemon.alarms()["link-down:unknown"]["cause"]["text"]
    accepted = plant.to_locked.accepted, plant.to_unknown.accepted
    assert max(accepted) <= 2 * most_attempts(plant.running_s()), accepted
    for link in plant.refused:
        assert [kind for kind, source in tale(daemon, link) if source == link.name] == ["link-down"], "told once"


def cause(daemon: WholeDaemon, link: Link) -> str:
    """Why a link is down, as its devices say; empty if it is not."""
    text: str = daemon.get(f"devices/{link.name}-seen")["down_cause"]
    return text


def faults(daemon: WholeDaemon, link: Link) -> dict[str, tuple[str | None, str | None]]:
    """What is said of each point of the device that has wrong ones."""
    points = daemon.get(f"devices/{link.name}-faulty/points")["points"]
    return {point["point"]: (point["reason"], point["detail"]) for point in points}


def reasons(daemon: WholeDaemon, link: Link) -> set[str | None]:
    """Why the scalars of a link are not good."""
    return {point["reason"] for point in points_of(daemon, link)}


def points_of(daemon: WholeDaemon, link: Link) -> list[dict[str, Any]]:
    """Every scalar of a link."""
    found: list[dict[str, Any]] = daemon.get(f"devices/{link.name}-seen/points")["points"]
    assert [point["point"] for point in found] == list(SCALARS)
    return found


def tale(daemon: WholeDaemon, link: Link) -> list[tuple[str, str]]:
    """What happened to a link and its alarm, in order."""
    events = daemon.get("events?limit=1000")["events"]
    about = (link.name, f"link-down:{link.name}")
    return [(event["kind"], event["source"]) for event in reversed(events) if event["source"] in about]


def meant(held: Any) -> Any:
    """What the API should show of what the server says that it holds."""
    if not isinstance(held, str):
        return float(held)
    try:
        return float(held)
    except ValueError:
        return datetime.fromisoformat(held).timestamp() if held.endswith("Z") else held


def misread(plant: Plant, daemon: WholeDaemon, links: Sequence[Link] = ()) -> list[tuple[str, str]]:
    """Scalars that the API does not show as good and as the server holds them."""
    values = plant.peer.state()["values"]
    return [
        (link.name, point["point"])
        for link in links or plant.links
        for point in points_of(daemon, link)
        if point["quality"] != "good" or point["value"] != meant(values[f"{link.name}/{point['point']}"])
    ]


def give(daemon: WholeDaemon, link: Link, command: Command, value: int) -> None:
    """Gives an order."""
    daemon.value(f"devices/{link.name}-{command.device}/{command.path}", command.verb, value)


def actuator(daemon: WholeDaemon, link: Link, command: Command) -> dict[str, Any]:
    return daemon.actuators(f"{link.name}-{command.device}")[command.verb]


def in_effect(plant: Plant, daemon: WholeDaemon, commands: Sequence[Command]) -> None:
    """Returns when these commands have come to rest on every link."""

    def late() -> list[tuple[str, str, str]]:
        return [
            (link.name, command.device, state)
            for link in plant.links
            for command in commands
            if (state := actuator(daemon, link, command)["state"])
            not in (("confirmed",) if command is SHED else ("effective", "holding"))
        ]

    try:
        wait_for(lambda: not late(), SOON_S, "every command is in effect")
    except AssertionError as failed:
        raise AssertionError(f"{failed}: {late()}") from None


def unlike_ordered(plant: Plant) -> list[tuple[str, str]]:
    """Scalars in which the server does not hold what was ordered."""
    values = plant.peer.state()["values"]
    return [
        (link.name, command.device)
        for number, link in enumerate(plant.links)
        for command in SCALAR_COMMANDS
        if meant(values[f"{link.name}/{command.device}"]) != pytest.approx(command.held(number))
    ]


def nothing_was_sent_twice(plant: Plant, before: dict[str, Any]) -> None:
    """Nobody called or wrote anything since."""
    now = plant.peer.state()
    assert now["calls"] == before["calls"]
    told = [[write for write in state["writes"] if not write[0].endswith("/String")] for state in (before, now)]
    assert told[0] == told[1]


def second_opinion(peer: Peer, name: str) -> tuple[str, float]:
    """Type and value of a scalar of the plain link as asyncua's own tool reads it."""
    tool = Path(sys.executable).with_name("uaread")
    command = [str(tool), "-u", peer.endpoint, "-n", f"ns=2;s=plain/{name}", "-t", "variant"]

    def asked() -> str:
        # It gives up by itself after 4 s.
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SOON_S)
        return ended.stdout if ended.returncode == 0 else ""

    told = wait_for(asked, SOON_S, f"uaread reads {name}")
    value, kind = told.split("Value=")[1].split(", VariantType=<VariantType.")
    return kind.split(":")[0], float({"False": 0, "True": 1}.get(value, value))
