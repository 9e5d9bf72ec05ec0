"""The demo region's day on real sockets, seen from outside; and once more with `kill -9` at drawn moments."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import closing
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any

import pytest
from black_box import Eyes, Site, Sites, edit, plain
from played_story import LONG, Played, at_a_rate_that_the_machine_keeps, drawn_moments

from simulators.world.story import DAY

CLEAN_RATE, KILLED_RATE = (1, 1) if LONG else (6, 4)
KILLS = 40 if LONG else 10
CALM, DROP, SHORT, RETURN = DAY
SETTLED_S = 20
"""Time of the story within which what a phase asks for stands on all devices, once the phase is over."""
OVERTAKES_MS = 200
"""Orders on two links may overtake each other by so much of the wall: a busy machine serves them in turn."""
PATIENT_S = 1_200
"""Longest time that a story may take, told at every rate."""
NOISE = 0.05
"""Loads and weather flicker between two looks."""


class Village:
    """The consumers on the grid as their registers and nodes and physics show them."""

    def __init__(self, eyes: Eyes, played: Played) -> None:
        self.eyes = eyes
        self.played = played
        self.shedders = [name for name in eyes.devices("shed_granted") if eyes.link(name) != "island"]
        self.homes = [name for name in eyes.devices("connect") if name.startswith("home-")]
        self.chargers = [name for name in eyes.devices("limit") if name.startswith("charger-")]

    def granted_w(self) -> dict[str, float]:
        """What the devices' own registers say they give up."""
        granted = {name: self.eyes.read(name, "shed_granted") for name in self.shedders}
        return {name: watts for name, watts in granted.items() if watts}

    def cut_off(self) -> list[str]:
        """Consumers whose registers let them draw nothing."""
        homes = [name for name in self.homes if self.eyes.read(name, "connect") == 0]
        return homes + [name for name in self.chargers if self.eyes.read(name, "limit") == 0]

    def misjudged(self) -> set[str]:
        """Consumers that the daemon holds a shed of, without believing that it has an effect."""
        standing = self.played.daemon.http.get("/api/v1/alarms")["alarms"]
        return {alarm["key"].partition(":")[2] for alarm in standing if alarm["key"].startswith("no-effect:")}

    def disagreement(self) -> list[str]:
        """Where metrics, registers and simulated power do not tell the same of sheds and of those that are cut off.

        A shed whose effect the daemon doubts, and says so by an alarm, is in its book all the same, as 0 W.
        """
        metrics = self.played.metrics()
        if metrics is None:
            return ["no metrics"]
        granted, cut = self.granted_w(), self.cut_off()
        devices = list(self.played.daemon.http.get("/api/v1/devices")["devices"])
        village = [d for d in devices if d["kind"] == "consumer" and d["link"] != "island"]
        shed = {d["name"]: d["shed_w"] for d in village if d["shed_w"] and d["name"] not in self.chargers}
        doubted = self.misjudged() & {d["name"] for d in village if d["state"] == "shed"}
        shed |= {name: granted[name] for name in doubted & set(granted)}
        # A charger has no register for sheds: what it grants, and a cut, is a limit of 0.
        off = sorted(
            d["name"] for d in village if d["state"] == "starved" or (d["name"] in self.chargers and d["shed_w"])
        )
        all_starved = sum(d["state"] == "starved" for d in devices)
        drawing = {name: watts for name in cut if (watts := self.played.truth(name)["power_w"]) >= 1}
        return unlike(
            (f"sheds in the account {shed}, on the registers {granted}", shed == granted),
            (f"cut off in the account {off}, by the registers {cut}", off == sorted(cut)),
            (f"cut off but drawing: {drawing}", not drawing),
            ("scowl_shed_watts", metrics["scowl_shed_watts"] == sum(d["shed_w"] for d in devices)),
            ("scowl_consumers", metrics['scowl_consumers{state="starved"}'] == all_starved),
        )


def unlike(*expected: tuple[str, bool]) -> list[str]:
    """Names of what is not so."""
    return [name for name, holds in expected if not holds]


def engines_running(played: Played, eyes: Eyes) -> list[str]:
    return unlike(
        ("chp-1 is not told to rest", eyes.read("chp-1", "connect") == 0),
        ("gas-1 is not told to rest", eyes.read("gas-1", "setpoint") == 0),
        ("chp-1 gives", abs(played.truth("chp-1")["power_w"]) < 1),
        ("gas-1 gives", abs(played.truth("gas-1")["power_w"]) < 1),
    )


def not_calm(played: Played, eyes: Eyes) -> list[str]:
    """More than anybody needs: stored, and held back at what the connection takes."""
    limit, produced_w = eyes.read("wind-1", "limit"), -eyes.read("wind-1", "power")
    exported_a = max(eyes.read("grid-meter", f"current_{phase}") for phase in "abc")
    bears_a = plain(eyes.section("ratings", "grid", "export"))
    charging_w = played.truth("battery-1")["power_w"]
    return engines_running(played, eyes) + unlike(
        (f"wind-1 is limited, but to {limit:.1%}", limit < 0.999),
        (f"wind-1 gives {produced_w} W beyond {limit:.1%}", produced_w <= limit * eyes.rated_w("wind-1") * (1 + NOISE)),
        ("wind-1 in truth", produced_w == pytest.approx(-played.truth("wind-1")["power_w"], rel=NOISE)),
        ("battery-1 is told to charge", eyes.read("battery-1", "setpoint") > 0),
        ("battery-1 charges", charging_w > 0),
        ("battery-1 in truth", eyes.read("battery-1", "power") == pytest.approx(charging_w, rel=NOISE)),
        (f"the connection bears {bears_a} A, it has {exported_a} A", exported_a <= bears_a),
    )


def not_helping(played: Played, eyes: Eyes) -> list[str]:
    """The wind is gone: it is let go, and everything that can give gives."""
    block_w, least_w = eyes.rated_w("chp-1"), plain(eyes.section("devices", "gas-1", "role", "minimum"))
    return unlike(
        ("wind-1 is let go", eyes.read("wind-1", "limit") >= 0.999),
        ("battery-1 is told to discharge", eyes.read("battery-1", "setpoint") < 0),
        ("battery-1 discharges", played.truth("battery-1")["power_w"] < 0),
        ("gas-1 is told to run", eyes.read("gas-1", "setpoint") >= least_w),
        ("gas-1 meters", -eyes.read("gas-1", "power") > 0.9 * least_w),
        ("gas-1 gives", played.truth("gas-1")["power_w"] < -0.9 * least_w),
        ("chp-1 is told to run", eyes.read("chp-1", "connect") == 1),
        ("chp-1 meters", eyes.read("chp-1", "power") == pytest.approx(-block_w, rel=NOISE)),
        ("chp-1 gives", played.truth("chp-1")["power_w"] == pytest.approx(-block_w, rel=NOISE)),
    )


def left_behind(played: Played, eyes: Eyes, village: Village) -> list[str]:
    """What somebody still gives up, on any register, in physics, or in the daemon's account."""
    metrics = played.metrics()
    if metrics is None:
        return ["no metrics"]
    unserved = [series for series, watts in metrics.items() if series.startswith("scowl_unserved_watts") and watts]
    requests = [name for name in village.shedders if eyes.read(name, "shed_request")]
    dark = [name for name in (*village.homes, *village.chargers) if played.truth(name)["power_w"] <= 0]
    granted, cut = village.granted_w(), village.cut_off()
    return not_calm(played, eyes) + unlike(
        (f"granted: {granted}", not granted),
        (f"cut off: {cut}", not cut),
        (f"asked to shed: {requests}", not requests),
        (f"without power: {dark}", not dark),
        (f"unserved: {unserved}", not unserved),
        ("scowl_shed_watts", metrics["scowl_shed_watts"] == 0),
        ("scowl_consumers", metrics['scowl_consumers{state="starved"}'] == 0),
    )


def first_at(writes: list[dict[str, Any]], device: str, signal: str, since_ms: int, low: float, high: float) -> int:
    """When a device first took a value in a range."""
    return next(
        w["at_ms"]
        for w in writes
        if w["device"] == device and w["signal"] == signal and w["at_ms"] >= since_ms and low <= w["value"] <= high
    )


def lifted_at(writes: list[dict[str, Any]], device: str, since_ms: int) -> int:
    """When a limit was first raised."""
    limits = [w for w in writes if w["device"] == device and w["signal"] == "limit"]
    return next(b["at_ms"] for a, b in pairwise(limits) if b["at_ms"] >= since_ms and b["value"] > a["value"])


def returned(writes: list[dict[str, Any]], since_ms: int) -> list[tuple[int, str, str, float]]:
    """(when, device, signal, what came back in W or 0 where only physics knows) for each write that gives back."""
    last: dict[tuple[str, str], float] = {}
    found = []
    for write in writes:
        key = (write["device"], write["signal"])
        before, last[key] = last.get(key, 0.0), write["value"]
        if write["at_ms"] < since_ms:
            continue
        home, charger = (write["device"].startswith(kind) for kind in ("home-", "charger-"))
        if write["signal"] == "shed_request" and write["value"] < before:
            found.append((write["at_ms"], *key, before - write["value"]))
        elif (home and write["signal"] == "connect" and write["value"] == 1) or (
            charger and write["signal"] == "limit" and before == 0 < write["value"]
        ):
            found.append((write["at_ms"], *key, 0.0))
    return found


@pytest.mark.timeout(PATIENT_S)
def test_the_day_goes_down_the_ladder_and_up_again(site: Sites, mbpoll: str) -> None:
    def story(rate: int) -> None:
        with closing(site("demo", rate=rate)) as demo:
            down_the_ladder_and_up_again(demo, mbpoll)

    at_a_rate_that_the_machine_keeps(CLEAN_RATE, story)


def down_the_ladder_and_up_again(demo: Site, mbpoll: str) -> None:
    overtakes_ms = OVERTAKES_MS * demo.rate
    eyes = Eyes(mbpoll, demo.file)
    played = Played.begin(demo, protected="hospital")
    village = Village(eyes, played)

    played.phase(CALM)
    played.until_nothing_lacks(lambda: not_calm(played, eyes), SETTLED_S, "calm")
    assert village.disagreement() == []
    assert village.granted_w() == {}
    assert village.cut_off() == []

    dropped_ms = played.simulation.now_ms()
    played.phase(DROP)
    played.until_nothing_lacks(lambda: not_helping(played, eyes), SETTLED_S, "everything that can give gives")
    assert village.granted_w() == {}
    assert village.cut_off() == []
    writes = played.simulation.writes()
    by = ["wind-1", "battery-1", "gas-1", "battery-1", "chp-1"]
    order = [
        lifted_at(writes, "wind-1", dropped_ms),
        # It need not rest in between.
        first_at(writes, "battery-1", "setpoint", dropped_ms, -eyes.rated_w("battery-1"), 0),
        first_at(writes, "gas-1", "setpoint", dropped_ms, 1, eyes.rated_w("gas-1")),
        first_at(writes, "battery-1", "setpoint", dropped_ms, -eyes.rated_w("battery-1"), -1),
        first_at(writes, "chp-1", "connect", dropped_ms, 1, 1),
    ]
    for (sooner, first_ms), (later, then_ms) in combinations(zip(by, order, strict=True), 2):
        assert then_ms - first_ms >= (0 if eyes.link(sooner) == eyes.link(later) else -overtakes_ms), (by, order)
    tree_load_w = sum(w for series, w in (played.metrics() or {}).items() if series.startswith("scowl_tree_load_watts"))
    served_w = sum(
        max(0.0, truth["power_w"])
        for name in (*eyes.kind("consumer"), *eyes.kind("storage"))
        if (truth := played.truth(name))
    )
    assert tree_load_w == pytest.approx(served_w, rel=2 * NOISE)

    short_ms = played.simulation.now_ms()
    played.phase(SHORT)
    played.until_nothing_lacks(village.disagreement, SETTLED_S, "registers, physics and metrics agree")
    granted, cut = village.granted_w(), village.cut_off()
    assert not village.misjudged(), "nobody broke a promise"
    assert sum(granted.values()) > plain(eyes.section("region", "restore_step")), "more than one step gives back"
    assert set(village.chargers) <= set(cut), "the least important go first"
    metrics = played.metrics() or {}
    assert metrics['scowl_unserved_watts{class="3"}'] + metrics['scowl_unserved_watts{class="4"}'] > 0
    assert all(metrics[f'scowl_unserved_watts{{class="{klass}"}}'] == 0 for klass in (0, 1, 2))
    writes = played.simulation.writes()
    asked_ms = min(w["at_ms"] for w in writes if w["signal"] == "shed_request" and w["value"] > 0)
    starved_ms = min(
        w["at_ms"]
        for w in writes
        if w["device"] in (*village.homes, *village.chargers)
        and w["signal"] in ("connect", "limit")
        and w["value"] == 0
        and w["at_ms"] >= short_ms
    )
    assert short_ms <= asked_ms <= starved_ms
    assert played.first("shed") < played.first("starve")

    returns_ms = played.simulation.now_ms()
    played.phase(RETURN)
    played.until_nothing_lacks(lambda: left_behind(played, eyes, village), SETTLED_S, "everybody has everything again")
    assert_back_once_and_in_small_steps(played, eyes, returns_ms)
    assert played.scrapes > 100
    print("blackouts", played.simulation.control.get("/truth")["blackouts"])
    assert played.daemon.process.poll() is None


def assert_back_once_and_in_small_steps(played: Played, eyes: Eyes, since_ms: int) -> None:
    """Each device switches back once; no step is larger than `restore_step`, as ordered and as physics had it."""
    largest_w = plain(eyes.section("region", "restore_step"))
    every_ms = 1000 * plain(eyes.section("region", "restore_every"))
    back = returned(played.simulation.writes(), since_ms)
    assert back
    switches = Counter((device, signal) for _, device, signal, _ in back)
    assert max(switches.values()) == 1, switches
    watts = {device: played.truth(device)["power_w"] for _, device, _, given in back if given == 0}
    steps: list[tuple[int, float]] = []
    for at_ms, device, _, given_w in back:
        if eyes.link(device) == "island":
            continue
        if steps and at_ms - steps[-1][0] < every_ms / 2:
            steps[-1] = (steps[-1][0], steps[-1][1] + (given_w or watts[device]))
        else:
            steps.append((at_ms, given_w or watts[device]))
    assert max(step_w for _, step_w in steps) <= largest_w * (1 + NOISE), steps
    assert all(
        later - sooner >= 0.8 * every_ms - OVERTAKES_MS * played.site.rate
        for (sooner, _), (later, _) in pairwise(steps)
    ), steps
    by_step: Counter[int] = Counter()
    decided: dict[int, datetime] = {}
    for (step, rung, _), decision in played.decisions.items():
        if rung in ("feed-starving", "restore-shed"):
            by_step[step] += decision["amount_w"]
            decided[step] = datetime.fromisoformat(decision["time"])
    assert by_step
    assert max(by_step.values()) <= largest_w, by_step
    # What leaves may be held up on its way; when it was decided may not. Ms of a fast clock are coarse.
    gaps_ms = [(later - sooner).total_seconds() * 1000 for sooner, later in pairwise(sorted(decided.values()))]
    assert all(gap_ms >= 0.98 * every_ms for gap_ms in gaps_ms), gaps_ms


@pytest.mark.timeout(PATIENT_S)
def test_killed_at_any_moment_it_goes_on_where_it_was(site: Sites, mbpoll: str) -> None:
    def story(rate: int) -> None:
        with closing(site("demo", rate=rate)) as demo:
            killed_at_any_moment(demo, mbpoll)

    at_a_rate_that_the_machine_keeps(KILLED_RATE, story)


def killed_at_any_moment(demo: Site, mbpoll: str) -> None:
    # So that a needless second write counts: as if these coils wore out.
    edit(demo.file, {"table: coil, address: 0, access: rw": "table: coil, address: 0, access: rw, write_class: stored"})
    edit(demo.file, {"table: coil, address: 3, access: rw": "table: coil, address: 3, access: rw, write_class: stored"})
    eyes = Eyes(mbpoll, demo.file)
    played = Played.begin(demo, drawn_moments(DAY, KILLS), protected="hospital")
    village = Village(eyes, played)

    played.phase(CALM)
    played.phase(DROP)
    played.until_nothing_lacks(lambda: not_helping(played, eyes), 40, "everything that can give gives")
    played.phase(SHORT)
    played.until_nothing_lacks(village.disagreement, 60, "no shed is lost")
    print("effects that are doubted:", sorted(village.misjudged()))
    assert village.granted_w()
    assert village.cut_off()
    played.phase(RETURN)
    played.until_nothing_lacks(lambda: left_behind(played, eyes, village), 120, "nothing is left behind")
    print("killed in fact at", ", ".join(f"{ms / 1000:.1f} s" for ms in played.killed))
    assert len(played.killed) == KILLS

    print("blackouts", played.simulation.control.get("/truth")["blackouts"])
    last: dict[tuple[str, str], float] = {}
    for write in played.simulation.writes():
        key = (write["device"], write["signal"])
        if write["signal"] == "connect":
            assert last.get(key) != write["value"], f"a stored register was written twice: {write}"
        last[key] = write["value"]
    for name in village.shedders:
        truth = played.truth(name)
        assert truth["overlong_sheds"] == 0
        assert truth["sheds_expired"] == 0
        assert truth["registers"]["shed_expiry"] == 0, "left to the device's own expiry"

    # Also while it runs, and after an orderly end: every gap-free segment gives the same again.
    assert_replays(played)
    assert played.daemon.end(signal.SIGTERM, 90) == 0
    assert_replays(played)


def assert_replays(played: Played) -> None:
    done = played.site.replay()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical: " in done.stdout
    # A kill may fall before a start has written anything; then the next takes its number.
    boots = {line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("boot ")}
    assert len(played.killed) // 2 < len(boots) <= len(played.killed) + 1, done.stdout
