"""The server on libmodbus is killed under the running daemon, and comes back with its registers as after a start."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from libmodbus_peer import Peer
from register_plant import Device, Place, equip, site
from whole_daemon import SOON_S, WholeDaemon, wait_for

CHARGER = Device(
    "charger",
    1,
    [
        Place("charger", "power", 1, 10, "int32", "BADC", "input", "unit: W"),
        Place("charger", "limit", 1, 20, "int16", "BADC", keys="scale: 10, unit: W, access: rw", factor=10),
    ],
    "kind: consumer, rated: 7 kW, deferrable: 3 kW, class: 3, interruptible: true, on: grid, settle: 200 ms, "
    "power_factor: 100 %",
    "cap charger.power 6000 charger.limit",
    poll="100 ms",
    values={"limit": 7000},
)
METER = Device(
    "meter", 2, [Place("meter", "power", 2, 10, "float64", "GHEFCDAB", "input", "unit: W")], "kind: grid",
    "meter meter.power", poll="100 ms",
)  # fmt: skip
SITE = (
    "region: {mode: auto, period: 200 ms, margin: 0 %, answer: 2 s, restore_after: 1 h, ride_through: 1 s}\n"
    "ratings:\n  grid: {kind: grid, import: 4500 W, meter: meter}\n"
)
LINK = ", reconnect: 300 ms, fresh_for: 600 ms, hold_for: 2 s"


@pytest.fixture
def peers(peer_program: Path) -> Iterator[list[Peer]]:
    """All that were started, the living one last."""
    started = [Peer(peer_program, units=2)]
    yield started
    for each in started:
        each.close()


@pytest.fixture
def daemon(peers: list[Peer], tmp_path: Path) -> Iterator[WholeDaemon]:
    equip(peers[0], [CHARGER, METER])
    running = WholeDaemon(site([CHARGER, METER], peers[0].port, SITE, LINK), tmp_path)
    yield running
    running.close()


def obeys(daemon: WholeDaemon, peer: Peer) -> bool:
    """Whether the limit that the daemon wants is confirmed, and the server holds and follows it."""
    limit = daemon.actuators("charger")["limit"]
    held = peer.show("charger.limit")
    return bool(
        limit["state"] in ("effective", "holding")
        and limit["confirmed"] == held
        and abs(held - limit["target"]) <= 5
        and 3000 <= held <= 4500
        and peer.show("meter.power") == held
        and daemon.point("meter", "power")["value"] == held
    )


def test_a_server_that_dies_is_seen_and_one_that_comes_back_is_commanded_again(
    daemon: WholeDaemon, peers: list[Peer], peer_program: Path
) -> None:
    wait_for(lambda: obeys(daemon, peers[0]), SOON_S, "the limit holds")
    # The API shows a reading before the step that takes it: the alarm of the time before the limit may still stand.
    wait_for(lambda: not set(daemon.alarms()) - {"clock"}, SOON_S, "no alarm stands")
    held = daemon.point("charger", "power")["value"]

    killed_at = datetime.now(UTC)
    peers[0].kill()
    for device, point in (("charger", "power"), ("charger", "limit"), ("meter", "power")):
        wait_for(lambda d=device, p=point: daemon.point(d, p)["quality"] == "bad", SOON_S, f"{device} is bad")
        assert daemon.point(device, point)["value"] is None
        assert daemon.metric_of(device, point) is None
    wait_for(lambda: "link-down:peer" in daemon.alarms(), SOON_S, "an alarm says so")
    down_since = daemon.alarms()["link-down:peer"]["since"]
    assert killed_at - timedelta(seconds=0.5) <= datetime.fromisoformat(down_since) <= datetime.now(UTC)
    wait_for(lambda: daemon.metrics()['scowl_device_up{device="charger"}'] == 0, SOON_S, "the charger counts as down")
    assert daemon.alarms()["link-down:peer"]["since"] == down_since

    peers.append(Peer(peer_program, peers[0].port, units=2))
    # The charger has forgotten its limit; the meter says so only when it has been commanded again.
    peers[1].tell("frozen 1")
    equip(peers[1], [CHARGER, METER])
    peers[1].tell(f"set meter.power {held}")
    assert peers[1].show("charger.limit") == 7000
    wait_for(lambda: peers[1].show("charger.limit") < 5000, SOON_S, "the limit is written")
    peers[1].tell("frozen 0")
    wait_for(lambda: obeys(daemon, peers[1]), SOON_S, "the lost limit is written again")
    shown = wait_for(
        lambda: shown if (shown := daemon.point("charger", "power"))["quality"] == "good" else None,
        SOON_S,
        "the charger is read again",
    )
    assert abs(shown["value"] - held) <= 1000
    wait_for(lambda: not set(daemon.alarms()) - {"clock"}, SOON_S, "the alarms are gone")
    wait_for(lambda: daemon.metrics()['scowl_device_up{device="charger"}'] == 1, SOON_S, "the charger counts as up")
    assert daemon.stop() == 0
