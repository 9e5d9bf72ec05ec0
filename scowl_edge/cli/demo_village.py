"""What `scowl-edge demo` adds to its region: the daemon as energy manager and provider of a village's appliances."""

from __future__ import annotations

from pathlib import Path

from scowl_edge.daemon import Daemon
from scowl_edge.flexing import timers_at
from scowl_edge.issuing import Issuer
from simulators.appliances.indoors import Indoors
from simulators.appliances.neighbourhood import ManagedBy
from simulators.appliances.village import FAILSAFE_W, village
from simulators.plant import Plant

MANAGER, PROVIDER = "cem:village", "dsrsp:village"
VALID_S, NOTICE_S = 30, 10
"""How long offers stand at least, and how long before its first start a selection has to come; for each pace."""
LEVEL_W = 7_000
"""More than they take on average, less than at once: some are told to run ahead, others to wait."""


def pace_of(clock_rate: int) -> int:
    """How many times longer things take where the clock runs fast, so that messages still come in time."""
    return max(1, min(15, clock_rate))


def negotiating(text: str, folder: Path, clock_rate: int) -> str:
    """A configuration's text with both parts of flexibility; certificates are made in the folder.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate, key, authority = folder / "village.pem", folder / "village.key", folder / "authority.pem"
    issuer = Issuer(authority, folder / "authority.key")
    issuer.create("demo")
    issuer.issue("village", ("127.0.0.1",), certificate, key, node=MANAGER)
    pace = pace_of(clock_rate)
    return f"""{text.rstrip()}

# --- Added by `scowl-edge demo`: this daemon is manager and provider of the appliances in homes 1 to 6. ---
flex:
  listen: 127.0.0.1:0
  tls: {{certificate: {{file: "{certificate}"}}, key: {{file: "{key}"}}, authority: {{file: "{authority}"}}}}
  manager:
    node: "{MANAGER}"
    provider: "{PROVIDER}"
    failsafe: {{import: {FAILSAFE_W} W, export: 0 W}}
    random_offset: {min(1800, 10 * pace)} s
    appliances: 10                         # no `within`: what they may draw is part of the homes that they are in
  provider:
    node: "{PROVIDER}"
    failsafe: {{import: {FAILSAFE_W} W, export: 0 W}}
    level: {LEVEL_W} W
    mode: response
    within: feeder-b
    slot: {pace} min
    horizon: {pace} h
    replan: {20 * pace} s
    answer: {2 * pace} s
    plan_within: {60 * pace} s
"""


def moved_in(daemon: Daemon, plant: Plant, folder: Path) -> Indoors:
    """The village's appliances, for a daemon that listens.

    Raises:
        OSError: certificates cannot be written.
    """
    assert daemon.flex is not None, "the demo's configuration has a section for them"
    pace = pace_of(daemon.rate)
    return Indoors(
        village(daemon.clock.utc_ms(), pace),
        plant,
        ManagedBy(node=MANAGER, url=daemon.flex.url),
        folder,
        daemon.clock,
        failsafe_w=FAILSAFE_W,
        rate=daemon.rate,
        timers=timers_at(daemon.rate),
        valid_s=VALID_S * pace,
        min_notice_s=NOTICE_S * pace,
    )
