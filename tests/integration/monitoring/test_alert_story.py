"""A bad day on the demo: what goes wrong is told by the alerts of a real Prometheus, and they go when it is mended.

Times are hurried (`real_prometheus.hurried`); expressions, metrics, daemon and devices are the real ones. Alerts that
no story can bring about (such as a fault in the program) have their series written down in deploy/prometheus/tests.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from tests.integration.monitoring.real_prometheus import Prometheus
from tests.system.black_box import Daemon, Simulation, Site, order, wait_for

ISLAND = ("home-7", "home-8", "home-9", "home-10")
NOT_OURS = {"ScowlClockUntrusted"}
"""The machine's clock may or may not be synchronised, and no test sets it."""

CLEAR_S = 4


@dataclass
class Watched:
    """What fired so far, and on what."""

    prometheus: Prometheus
    fired: dict[str, list[Mapping[str, str]]] = field(default_factory=dict)
    """Name -> labels of each alert of that name that has fired."""
    now: set[str] = field(default_factory=set)

    def look(self) -> None:
        """One look at what fires."""
        firing = self.prometheus.firing()
        self.now = set(firing)
        for name, alerts in firing.items():
            known = self.fired.setdefault(name, [])
            known += [alert for alert in alerts if alert not in known]

    def on(self, name: str, label: str) -> set[str]:
        """Values of a label of all alerts of a name."""
        return {alert[label] for alert in self.fired[name]}

    def until(self, names: set[str], within_s: float) -> None:
        """Waits until all of these have fired at some time."""

        def complete() -> bool:
            self.look()
            return names <= set(self.fired)

        try:
            wait_for(complete, within_s, "alerts fire")
        except AssertionError as late:
            raise AssertionError(f"not within {within_s:g} s: {names - set(self.fired)} fire; now {self.now}") from late


def go_wrong(simulation: Simulation) -> None:
    """Too much load, and devices that fail in all the ways that devices have."""
    control = simulation.control
    # What fails does so before anything is asked of it.
    for fault in (
        {"device": "wind-1", "kind": "second-master", "signal": "limit", "value": 10_000, "every_s": 0.5},
        {"device": "home-1", "kind": "silence"},
        {"device": "hall-meter", "kind": "silence"},
        {"device": "chp-1", "kind": "exception"},
        {"device": "gas-1", "kind": "echo-without-effect"},
        {"device": "battery-1", "kind": "refusal"},
    ):
        control.post("/faults", fault)
    for home in ISLAND:
        # They are moved to another tree on the register only, and draw far more than the island has.
        control.post("/faults", {"device": home, "kind": "echo-without-effect"})
        control.post("/faults", {"device": home, "kind": "delay", "ms": 400})
    control.post("/weather", {"wind": 0.1, "sun": 0.1})
    control.post("/unmetered", {"rating": "grid", "power_w": 90_000})
    for home in ISLAND:
        control.post("/load", {"device": home, "fraction": 8})


def hold_up(daemon: Daemon, site: Site, watched: Watched, names: set[str], within_s: float) -> None:
    """Another program holds the locks of both stores and the daemon's processor, until alerts tell of it.

    The journal's lock is given back now and then, so that some commits come late instead of never.
    """
    until = time.monotonic() + within_s
    with ExitStack() as others:
        journal, telemetry = (
            others.enter_context(closing(sqlite3.connect(path, timeout=2, isolation_level=None)))
            for path in (site.journal, site.journal.with_suffix(".telemetry.db"))
        )
        telemetry.execute("BEGIN IMMEDIATE")
        while not names <= set(watched.fired):
            assert time.monotonic() < until, f"not within {within_s:g} s: {names - set(watched.fired)}"
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            daemon.process.send_signal(signal.SIGCONT)
            journal.execute("BEGIN IMMEDIATE")
            time.sleep(0.6)
            journal.execute("ROLLBACK")
            time.sleep(0.3)
            watched.look()


def test_what_goes_wrong_is_told_and_clears(demo: Site, prometheus: Callable[[str], Prometheus]) -> None:
    simulation = demo.simulate()
    daemon = demo.daemon()
    http = daemon.ready()
    watched = Watched(prometheus(http.url.removeprefix("http://")))
    wait_for(watched.prometheus.scraped, 60, "the daemon is scraped")

    go_wrong(simulation)
    watched.until(
        {
            "ScowlRatingExceeded", "ScowlShedLong", "ScowlStarving", "ScowlAlarmUnacknowledged", "ScowlDeviceDown",
            "ScowlDataStale", "ScowlMeterStale", "ScowlCommandContested", "ScowlCommandNoEffect", "ScowlCommandBlocked",
            "ScowlLinkErrors", "ScowlPollsMissed", "ScowlBlackout",
        },
        90,
    )  # fmt: skip
    assert watched.on("ScowlRatingExceeded", "source") == {"grid"}
    assert "wind-1" in watched.on("ScowlCommandContested", "source")
    assert "gas-1" in watched.on("ScowlCommandNoEffect", "source")
    assert "works" in watched.on("ScowlLinkErrors", "link")

    # Every cable is cut at once, while another program gets in the way of the daemon.
    simulation.close()
    assert order(http, "/api/v1/devices/wind-1/mode", "auto") == 202
    assert order(http, "/api/v1/region/mode", "hold") == 202
    told = {
        "ScowlJournalFailing", "ScowlJournalSlow", "ScowlTelemetryFailing", "ScowlLoopLate", "ScowlNotInAuto",
        "ScowlLinkDown",
    }  # fmt: skip
    hold_up(daemon, demo, watched, told, 90)
    assert order(http, "/api/v1/region/mode", "auto") == 202

    # The devices come back as new, and the daemon too, a little after it was killed.
    demo.simulate()
    daemon.close()
    watched.until({"ScowlDown"}, 90)
    demo.daemon().ready()

    # Clear for longer than any of the hurried alerts takes to fire, with a daemon that is scraped all the time.
    clear_since = time.monotonic()

    def all_clear() -> bool:
        nonlocal clear_since
        watched.look()
        if watched.now - NOT_OURS or not watched.prometheus.scraped():
            clear_since = time.monotonic()
        return time.monotonic() - clear_since > CLEAR_S

    wait_for(all_clear, 120, f"all alerts have cleared for {CLEAR_S} s")
