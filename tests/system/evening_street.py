"""Plays an evening in a street twice at once, with and without selection, and writes down what was seen.

    unshare --net python evening_street.py FOLDER HOURS

Everything runs in the network namespace that this runs in, and nothing is there before: so ports are fixed. Each of the
two has a provider and three managers (`scowl-edge run`) and a street (`scowl-edge simulator appliances`). A packet
filter cuts links, and a manager is killed and started again, in both alike; limits are ordered and a user takes over in
the one with selection. `FOLDER/seen.json` holds what `test_flex_evening.py` judges.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from black_box import wait_for
from street_limits import Lost, Watch
from street_side import FAILSAFE_W, HOMES, RATE, SEED, SOON_S, Side

from scowl_edge.dsr import work

BEGIN_H = 17.0
LEVEL_KW = 9
LOOK_S = 0.25
QUARTER_MS = 900_000
STRONG_W = FAILSAFE_W * 4 // 3
"""Of an appliance that a limit has to bind."""


def packet_filter(*lines: str) -> None:
    """Changes the namespace's packet filter."""
    subprocess.run(["nft", "-f", "-"], input="\n".join(lines), text=True, check=True, timeout=SOON_S)


class Evening:
    """Both sides, and what happens to them."""

    def __init__(self, folder: Path, hours: float) -> None:
        self.folder, self.hours = folder, hours
        self.seen: dict[str, Any] = {}
        self.sides: list[Side] = []
        self.lost = Lost(RATE)
        self.alone = self.bound = self.killed = 0
        """Managers: one loses its provider, one is given limits, one loses its appliances and then its life."""

    def play(self) -> None:
        """All of it."""
        with_it = Side(self.folder / "with", 21_000, LEVEL_KW)
        without = Side(self.folder / "without", 22_000, None)
        self.sides = [with_it, without]
        for side in self.sides:
            for name in side.names:
                side.start(name)
        self.seen["checked"] = {name: with_it.checked(name) for name in ("grid", "house-0")}
        for side in self.sides:
            for name in side.names:
                side.ready(name)
        # The same evening each time: it begins when a quarter of an hour does.
        quarter_ms = (with_it.clock.utc_ms() // QUARTER_MS + 1) * QUARTER_MS
        wait_for(lambda: with_it.clock.utc_ms() >= quarter_ms, SOON_S, "the next quarter of an hour")
        midnight_ms = quarter_ms - int(BEGIN_H * 3_600_000)
        self.seen |= {"midnight_ms": midnight_ms, "homes": HOMES, "seed": SEED, "failsafe_w": FAILSAFE_W}
        for side in self.sides:
            side.start_street(datetime.fromtimestamp(midnight_ms / 1000, UTC))
        for side in self.sides:
            side.connect()
        begun_ms = max(side.sample(0) for side in self.sides)
        self.until_ms = begun_ms + int(self.hours * 3_600_000)
        self.seen |= {"begun_ms": begun_ms, "reaction": with_it.reaction, "appliances": with_it.appliances}
        self.log("begun")
        self.wait(lambda: all(side.led(i) for side in self.sides for i in side.below), "everybody is heard")
        self.deal(with_it)
        self.cut(with_it)
        self.limit(with_it)
        self.kill(with_it)
        self.override(with_it)
        self.wait(lambda: self.now_ms >= self.until_ms, "the end of the evening", 1e9)
        for side in self.sides:
            side.unwatch(list(side.watches), self.lost.ms())
        self.seen["truth"], self.seen["truth_without"] = (side.truth() for side in self.sides)
        for side in self.sides:
            side.end()
        self.seen["lost_ms"] = self.lost.ms()

    def log(self, what: str) -> None:
        """A line for whoever watches."""
        hour = (self.now_ms - self.seen["midnight_ms"]) / 3_600_000
        print(f"{hour:5.2f} h  {what}; the machine took {self.lost.ms() / 1000:.0f} s of the time", flush=True)

    @property
    def now_ms(self) -> int:
        """Of the meter, UTC."""
        return self.sides[0].now_ms

    def wait(self, reached: Callable[[], object], what: str, within_s: float = SOON_S) -> Any:
        """Reads the meters until something is so."""
        until = time.monotonic() + within_s
        while True:
            self.look()
            found = reached()
            if found:
                return found
            if time.monotonic() > until:
                self.seen["truth"] = self.sides[0].truth()
                raise AssertionError(f"not within {within_s:g} s: {what}")
            time.sleep(LOOK_S)

    def look(self) -> None:
        """Reads all meters."""
        self.lost.turn(time.monotonic(), LOOK_S)
        for side in self.sides:
            side.sample(self.lost.ms())

    def deal(self, side: Side) -> None:
        """The parts, to whom they do something: who loses its provider has a selection that runs."""
        alone = self.wait(lambda: [i for i in side.below if self.running(side, i)], "what is selected runs", 3 * SOON_S)
        self.alone = alone[0]
        others = [i for i in side.below if i != self.alone]
        self.bound = max(others, key=lambda i: max(side.power_w[e] for e in side.below[i]))
        (self.killed,) = [i for i in others if i != self.bound]

    def running(self, side: Side, i: int) -> list[str]:
        """Selections of a manager that run, if one of its appliances draws so much that a limit binds it."""
        strong = any(side.power_w[e] >= STRONG_W for e in side.below[i])
        return [s for ids in side.open(i, "ACTIVE").values() for s in ids] if strong else []

    def limit(self, side: Side) -> None:
        """Limits of a manager: of its strongest appliance, then of all of its together."""
        node, below = side.manager(self.bound), side.below[self.bound]
        esa_id = max(below, key=lambda e: side.power_w[e])
        self.order(side, esa_id, side.power_w[esa_id] // 2, {"esa_id": esa_id})
        self.order(side, node, side.power_w[node] * 3 // 4, {"cem": node})

    def order(self, side: Side, node: str, limit_w: int, whom: dict[str, object]) -> None:
        """Orders a limit, and returns when it is kept; it stays."""
        watch = side.watch(node, limit_w, "ordered", self.lost.ms())
        side.order_limit(p_upper_w=limit_w, **whom)
        self.log(f"{node} is to draw no more than {limit_w} W, and draws {side.power_w[node]} W")
        self.wait(lambda: watch.kept_ms is not None, f"the limit of {node} is kept")
        self.log(f"{node} keeps to it after {(watch.kept_ms or 0) / 1000} s")

    def cut(self, side: Side) -> None:
        """One manager from its provider, while what was selected runs, and one from its appliances."""

        active = self.running(side, self.alone)
        before = {i: side.open(i) for i in (self.alone, self.killed)}
        watches = [*self.left_alone(self.alone, "provider lost"), *self.left_alone(self.killed, "manager lost")]
        packet_filter(
            "add table inet cut",
            "add chain inet cut out { type filter hook output priority 0; }",
            *(line for each in self.sides for line in (
                f"add rule inet cut out ip daddr {each.provider_of(self.alone)} tcp dport {each.base_port} drop",
                f"add rule inet cut out ip saddr {each.provider_of(self.alone)} tcp sport {each.base_port} drop",
                f"add rule inet cut out tcp dport {each.port(self.killed)} drop",
                f"add rule inet cut out tcp sport {each.port(self.killed)} drop",
            )),
        )  # fmt: skip
        self.log(
            f"manager {self.alone} is cut from its provider, {len(active)} run, and {self.killed} from its appliances"
        )
        self.wait(lambda: self.is_left_alone(side), "fail-safe limits hold behind the cuts")
        self.wait(lambda: all(w.kept_ms is not None for w in watches), "fail-safe limits are kept behind the cuts")
        self.log(f"fail-safe power everywhere after {max(w.kept_ms or 0 for w in watches) / 1000:.0f} s")
        limits = {i: sorted({one["limits"] for one in side.members(i).values()}) for i in (self.alone, self.killed)}
        self.end_left_alone(self.alone, self.killed)
        packet_filter("delete table inet cut")
        self.wait(
            lambda: all(each.led(i) for each in self.sides for i in (self.alone, self.killed)),
            "all is heard again",
            2 * SOON_S,
        )
        self.wait(
            lambda: all(side.copies_equal(i) for i in (self.alone, self.killed)), "the provider knows what stands"
        )
        self.seen["cut"] = {
            "active": active,
            "limits": {"from_provider": limits[self.alone], "from_appliances": limits[self.killed]},
            "from_provider": self.stand(side, self.alone, before[self.alone]),
            "from_appliances": self.stand(side, self.killed, before[self.killed]),
        }
        self.log("heard again, and copies are equal")

    def is_left_alone(self, side: Side) -> bool:
        """Whether one manager knows that its provider is away, and the appliances of the other that he is."""
        if side.flex(f"house-{self.alone}")["site_limit_state"] != "FAILSAFE":
            return False
        told = all(one["limits"] == "LIMITED" for one in side.members(self.alone).values())
        return told and all(one["limits"] == "FAILSAFE" for one in side.members(self.killed).values())

    def left_alone(self, i: int, why: str) -> list[Watch]:
        """From now on the fail-safe limit is what each appliance of a manager has to come down to."""
        lost_ms = self.lost.ms()
        return [side.watch(e, FAILSAFE_W, why, lost_ms) for side in self.sides for e in side.below[i]]

    def end_left_alone(self, *managers: int) -> None:
        """It need not be kept from now on."""
        for side in self.sides:
            side.unwatch([e for i in managers for e in side.below[i]], self.lost.ms())

    def stand(self, side: Side, i: int, before: dict[str, list[str]]) -> dict[str, list[str]]:
        """How selections stand now: state and code."""
        now = side.members(i)
        return {s: now[e]["selections"][s] for e, ids in before.items() for s in ids}

    def kill(self, side: Side) -> None:
        """A manager, and starts it again."""
        name = f"house-{self.killed}"
        before = self.wait(
            lambda: side.open(self.killed), f"something of manager {self.killed} is selected", 2 * SOON_S
        )
        shown = side.flex(name)
        for each in self.sides:
            each.running[name].end(signal.SIGKILL, SOON_S)
        watches = self.left_alone(self.killed, "manager lost")
        self.log(f"killed manager {self.killed}, {len(before)} selected")
        self.wait(
            lambda: all(one["limits"] == "FAILSAFE" for one in side.members(self.killed).values()),
            "its appliances notice",
        )
        self.wait(lambda: all(w.kept_ms is not None for w in watches), "its appliances keep to their fail-safe limits")
        self.end_left_alone(self.killed)
        for each in self.sides:
            each.start(name)
        self.wait(lambda: side.is_ready(name), "it is ready again")
        again = side.flex(name)
        self.wait(
            lambda: all(each.led(self.killed) for each in self.sides), "it is led again, and its appliances are back"
        )
        self.wait(lambda: side.copies_equal(self.killed), "the provider knows again what stands")
        self.seen["killed"] = {
            "before": [shown["site_limit_state"], shown["failsafe_entries"]],
            "again": [again["site_limit_state"], again["failsafe_entries"]],
            "led": side.flex(name)["site_limit_state"],
            "selections": self.stand(side, self.killed, before),
        }
        self.log("back again")

    def override(self, side: Side) -> None:
        """A user takes an appliance over."""
        found = self.wait(lambda: side.open(self.bound), f"something of manager {self.bound} is selected", 2 * SOON_S)
        esa_id = sorted(found)[0]
        told = side.control.post("/override", {"esa_id": esa_id, "scope": "ALL"})
        self.seen["overridden"] = {"esa_id": esa_id, "select_ids": found[esa_id], "now": told["selections"]}
        self.log(f"a user took {esa_id} over")
        self.wait(lambda: side.copies_equal(self.bound), "the provider knows what the user did")


def main() -> None:
    """Plays and writes down."""
    folder, hours = Path(sys.argv[1]), float(sys.argv[2])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=SOON_S)
    # Else an hour of the evening could pass while the provider's worker compiles.
    work.warm()
    evening = Evening(folder, hours)
    try:
        evening.play()
    finally:
        for side in evening.sides:
            side.kill()
        evening.seen["quarters"] = {side.folder.name: list(side.quarters.items()) for side in evening.sides}
        evening.seen["watched"] = {side.folder.name: side.watched for side in evening.sides}
        (folder / "seen.json").write_text(json.dumps(evening.seen))


if __name__ == "__main__":
    main()
