"""A small cabinet: a real point table, views built by hand, and a server over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np

from scowl_edge.inbox import PointTable
from scowl_edge.metrics import Metrics
from scowl_edge.model.event import AnyOrder
from scowl_edge.model.flex_view import (
    FlexAccountView,
    FlexApplianceView,
    FlexGoalView,
    FlexOfferView,
    FlexPeerView,
    FlexPlanView,
    FlexProfileView,
    FlexSelectionView,
    FlexSlotView,
    FlexView,
)
from scowl_edge.model.reason import Reason
from scowl_edge.model.signal import Cause, Quality, Reading
from scowl_edge.model.view import (
    ActuatorView,
    AlarmView,
    ClampedView,
    DecisionView,
    DeviceView,
    EventView,
    FeederView,
    PopulationTreeView,
    PopulationView,
    RatingView,
    RegionView,
    TreeView,
)
from scowl_edge.web import Check, Listener, create_app, listen
from scowl_edge.web.published import FlexTroubles, History, StoreFigures
from tests.integration.web.contract import must_conform

NOON_UTC_MS = 1_772_366_400_250
"""2026-03-01T12:00:00.250Z."""
NOW_MS = 100_000
TOKEN = "sesame-0123456789"
AWKWARD = 'a"b\\c\nd'
"""A name that every format must escape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What the assembly knows of a point."""

    device: str
    name: str
    unit: str = "W"
    link: str = "plc"
    access: str = "r"
    type: str = "float32"
    fresh_ms: int = 3_000
    hold_ms: int = 60_000


POINTS = (
    Point(device="wind-1", name="power"),
    Point(device="wind-1", name="limit", unit="fraction", access="rw", type="uint16"),
    Point(device="wind-1", name="start", unit="1", access="w", type="uint16"),
    Point(device="hall-a", name="power", link="scada"),
    Point(device="hall-a", name=AWKWARD, link="scada"),
)


@dataclass(frozen=True)
class Guests:
    """Other tools on a link's proxy."""

    results: Mapping[str, int] = field(default_factory=lambda: {"ok": 40, "write_refused": 1})
    clients: Mapping[str, int] = field(default_factory=lambda: {"10.0.0.9": 2})
    turned_away: int = 4


TROUBLES = FlexTroubles(refused={"RATE": 8}, happened={"slowed": 2}, skew_s=1.5)


@dataclass
class State:
    """A published state that a test sets as it likes."""

    table: PointTable = field(default_factory=lambda: PointTable(len(POINTS)))
    points: tuple[Point, ...] = POINTS
    request_results: dict[tuple[str, str], int] = field(default_factory=lambda: {("plc", "ok"): 7})
    conflated: int = 3
    missed_polls: Mapping[str, int] = field(default_factory=lambda: {"plc": 2})
    link_busy_s: Mapping[str, float] = field(default_factory=lambda: {"plc": 12.5})
    link_skipped_polls: Mapping[str, int] = field(default_factory=lambda: {"plc": 7})
    link_probes: Mapping[str, int] = field(default_factory=lambda: {"plc": 3})
    link_worst_delays_s: Mapping[str, float] = field(default_factory=lambda: {"plc": 1.8})
    guests: Mapping[str, Guests] = field(default_factory=lambda: {"plc": Guests()})
    links_up: Mapping[str, bool] = field(default_factory=lambda: {"plc": True, "scada": False})
    stores: Mapping[str, StoreFigures] = field(
        default_factory=lambda: {
            "journal": StoreFigures(
                ok=True,
                written_records=84,
                written_bytes=16_800,
                dropped_records=0,
                queued_records=2,
                file_bytes=65_536,
            )
        }
    )
    step_lag_s: float = 0.25
    texts: dict[int, str] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: {"version": "0.1.0"})
    view: RegionView | None = None
    checks: dict[str, Check] = field(default_factory=lambda: {"loop": Check(ok=True, detail="2 ms late at most")})
    now_ms: int = NOW_MS
    orders: list[AnyOrder] = field(default_factory=list)
    history: History | None = None
    turned: asyncio.Event = field(default_factory=asyncio.Event)
    durable: asyncio.Event = field(default_factory=asyncio.Event)
    appliances: dict[str, FlexApplianceView] = field(default_factory=dict)
    flex_unsent: int = 5
    flex_troubles: FlexTroubles | None = TROUBLES
    asked: int = 0
    """How often somebody waited for what is durable."""

    def __post_init__(self) -> None:
        self.durable.set()

    def region(self) -> RegionView | None:
        return self.view

    def flex_appliance(self, esa_id: str) -> FlexApplianceView | None:
        return self.appliances.get(esa_id)

    def health(self) -> Mapping[str, Check]:
        return self.checks

    def mono_ms(self) -> int:
        return self.now_ms

    def utc_ms(self) -> int:
        return NOON_UTC_MS + self.now_ms - NOW_MS

    async def settled(self) -> None:
        self.asked += 1
        await self.durable.wait()

    async def stepped(self, after: int) -> None:
        while self.view is None or self.view.step <= after:
            self.turned.clear()
            await self.turned.wait()
        await self.settled()

    def step(self, **changes: object) -> None:
        """The region does a step."""
        before = self.view.step if self.view is not None else 0
        self.view = region_view(**({"step": before + 1} | changes))
        self.turned.set()

    def order(self, order: AnyOrder) -> None:
        self.orders.append(order)

    def read(self, point: int, value: float, *, cause: Cause = Cause.NONE, source_utc_ms: int = 0) -> None:
        """A reply of now for one point; BAD if there is a cause."""
        quality = Quality.GOOD if cause is Cause.NONE else Quality.BAD
        self.table.take(
            Reading(
                np.array([point], np.int32),
                np.array([value]),
                np.array([quality], np.uint8),
                np.array([cause], np.uint8),
                self.now_ms - 20,
                self.now_ms,
                source_utc_ms,
            )
        )


def device(name: str, kind: str, **changes: object) -> DeviceView:
    """A device that is well, but for the changes."""
    fields: dict[str, object] = {
        "name": name,
        "link": "plc",
        "kind": kind,
        "mode": "auto",
        "mode_who": "",
        "mode_why": "",
        "mode_until_utc_ms": 0,
        "up": True,
        "since_utc_ms": NOON_UTC_MS - 60_000,
        "state": "served",
        "klass": 2,
        "tree": "wind-1",
        "power_w": 18_000,
        "wanted_w": 20_000,
        "shed_w": 2_000,
        "unserved_w": 0,
        "why": None,
        "actuators": (),
    }
    return DeviceView(**(fields | changes))  # type: ignore[arg-type]


def event(seq: int, **changes: object) -> EventView:
    """An event, one second after the one before, but for the changes."""
    fields: dict[str, object] = {
        "seq": seq,
        "source_utc_ms": NOON_UTC_MS - 10_000 + seq * 1_000,
        "utc_ms": NOON_UTC_MS - 9_750 + seq * 1_000,
        "utc_ok": True,
        "kind": "alarm-raised",
        "source": "hall-a",
        "priority": "low",
        "who": "",
        "text": Reason("test-stale", ("hall-a",)),
    }
    return EventView(**(fields | changes))  # type: ignore[arg-type]


def population_tree(**changes: object) -> PopulationTreeView:
    """A tree that is half full, but for the changes."""
    fields: dict[str, object] = {
        "plant": "wind", "output_w": 1_000_000, "safe_w": 900_000, "load_w": 450_000, "members": 300, "alive": True,
        "fresh": True,
    }  # fmt: skip
    return PopulationTreeView(**(fields | changes))  # type: ignore[arg-type]


def population(name: str = "town", **changes: object) -> PopulationView:
    """A thousand consumers on four trees in a shortage, but for the changes."""
    fields: dict[str, object] = {
        "name": name,
        "kind": "simulated",
        "compiled": True,
        "members": (20, 0, 80, 1_140, 0, 0, 0, 0),
        "starved": (0, 0, 0, 37, 0, 0, 0, 0),
        "wanted_w": 2_000_000,
        "served_w": 1_950_000,
        "unserved_w": (0, 0, 0, 50_000, 0, 0, 0, 0),
        "generation_w": 3_000_000,
        "safe_w": 2_700_000,
        "shed_w": 12_000,
        "trees": (
            population_tree(), population_tree(plant="sun", load_w=880_000), population_tree(alive=False, safe_w=0,
            output_w=0, load_w=0, members=0), population_tree(plant="fixed", load_w=901_000, fresh=False),
        ),
        "feeders": (
            FeederView(name="connection", load_w=1_950_000, limit_w=3_000_000),
            FeederView(name="feeder-1", load_w=990_000, limit_w=1_000_000),
            FeederView(name="feeder-2", load_w=960_000, limit_w=-1),
        ),
        "margin": Reason("test-margin", ("10 %",)),
        "score": (
            ("served-over-bound-ppm", 999_950), ("unserved-wh", 12_500), ("worst-starved-s", 61), ("moves", 1_234),
        ),
        "refused": (("unknown-slot", 2), ("clamped", 1_005)),
        "late_steps": (("late", 3), ("very-late", 1)),
        "clamped": (ClampedView(place="slot 7", identity="0" * 31 + "a", times=255, most_w=4_000),),
    }  # fmt: skip
    return PopulationView(**(fields | changes))  # type: ignore[arg-type]


def flex_offer(**changes: object) -> FlexOfferView:
    """A washing machine that may be selected, but for the changes."""
    profile = FlexProfileView(
        profile_id="io-1", kind="IO", length_s=7_200, energy_wh=1_100, least_w=100, most_w=2_000, default=True
    )
    fields: dict[str, object] = {
        "esa_id": "washer-1", "offer_id": "offer-1", "rev": 3, "state": "selectable", "modes": ("ROUTINE", "RESPONSE"),
        "valid_until_utc_ms": NOON_UTC_MS + 900_000, "start_earliest_utc_ms": NOON_UTC_MS + 600_000,
        "start_latest_utc_ms": NOON_UTC_MS + 7_200_000,
        "profiles": (profile, replace(profile, profile_id="md-1", kind="MD", default=False)),
    }  # fmt: skip
    return FlexOfferView(**(fields | changes))  # type: ignore[arg-type]


def flex_selection(**changes: object) -> FlexSelectionView:
    """A charger that runs as selected, but for the changes."""
    fields: dict[str, object] = {
        "select_id": "sel-1", "esa_id": "charger-1", "offer_id": "offer-2", "profile_id": "md-2", "state": "ACTIVE",
        "standing": "EFFECTIVE", "mode": "RESPONSE", "start_utc_ms": NOON_UTC_MS - 600_000,
        "end_utc_ms": NOON_UTC_MS + 3_000_000, "code": "", "event_ref": "peak", "cancelling": False,
        "why": "charger-1 waits for the night: 4 kW less at six",
    }  # fmt: skip
    return FlexSelectionView(**(fields | changes))  # type: ignore[arg-type]


def flex_appliance(**changes: object) -> FlexApplianceView:
    """A washing machine that offers, but for the changes."""
    fields: dict[str, object] = {
        "esa_id": "washer-1", "cem": "cem:house-4", "kind": "WET", "life": "NORMAL", "running": "IDLE",
        "p_max_w": 2_000, "p_min_w": 0, "rev": 3, "override": "", "override_by": "", "override_until_utc_ms": 0,
        "limit_state": "UNLIMITED", "weight_ppm": 1_000_000, "faults": (), "offers": (flex_offer(),),
    }  # fmt: skip
    return FlexApplianceView(**(fields | changes))  # type: ignore[arg-type]


def flex_view(**changes: object) -> FlexView:
    """A manager and provider with two appliances, of which one runs as selected, but for the changes."""
    charger = flex_appliance(
        esa_id="charger-1", kind="EVSE", running="RUNNING", faults=("UNDER_DELIVERED",), weight_ppm=700_000, offers=(),
        selections=(flex_selection(),), limit_state="FAILSAFE",
    )  # fmt: skip
    fields: dict[str, object] = {
        "manager": "cem:house-4",
        "provider": "dsrsp:grid-co",
        "peers": (
            FlexPeerView(node="cem:house-5", up=False, appliances=0),
            FlexPeerView(node="cem:house-4", up=True, appliances=2),
        ),
        "peers_up": 1,
        "peers_down": 1,
        "lives": (("NORMAL", 2), ("DETACHED", 0)),
        "offers": (("selectable", 1), ("selected", 0)),
        "selections": (("ACTIVE", 1), ("COMPLETED", 0)),
        "limit_states": (("UNLIMITED", 1), ("FAILSAFE", 1)),
        "site_limit_state": "UNLIMITED",
        "overrides": (("GRID", 1), ("ALL", 0)),
        "failsafe_entries": 2,
        "refused": (("STALE_REV", 7),),
        "goal": FlexGoalView(
            number=3, mode="RESPONSE", relative=True, begin_utc_ms=NOON_UTC_MS, end_utc_ms=NOON_UTC_MS + 3_600_000,
            power_w=-4_000, event_ref="peak", emergency=False, who="Ada", why="evening peak",
        ),
        "plan": FlexPlanView(
            number=9, picks=1, objective=250, idle_objective=1_000, bound=240, gap_ppm=1_234, excess_w=0,
            reasons=("charger-1 waits for the night: 4 kW less at six",), overloads=(),
        ),
        "plans": 9,
        "plans_failed": 1,
        "plan_due_in_ms": 120_500,
        "promised_w": 3_600,
        "delivered_w": 3_000,
        "intended_w": 7_200,
        "unmeasured_w": 500,
        "asked_wh": 1_800,
        "credited_wh": 1_500,
        "short_wh": 300,
        "unproven_wh": 0,
        "accounts": 1,
        "accounts_counted": 1,
        "reports_waiting": 4,
        "reports_dropped": 0,
        "findings": (("charger-1", Reason("test-under", (3_000,))),),
        "offer_list": (flex_offer(),),
        "selection_list": (flex_selection(),),
        "account_list": (
            FlexAccountView(
                select_id="sel-1", esa_id="charger-1", cem="cem:house-4", event_ref="peak", state="ACTIVE",
                begin_utc_ms=NOON_UTC_MS - 600_000, end_utc_ms=NOON_UTC_MS + 3_000_000, baseline_wh=3_600,
                promised_wh=1_800, delivered_wh=2_100, asked_wh=1_800, credited_wh=1_500, short_wh=300,
                unproven_wh=0, settled=False,
            ),
        ),
        "appliance_list": (charger, flex_appliance()),
        "appliance_ids": ("charger-1", "washer-1"),
        "ahead": tuple(
            FlexSlotView(
                start_utc_ms=NOON_UTC_MS + n * 900_000, length_s=900, promised_w=3_600, intended_w=7_200 * (n == 0),
                target_w=None,
            )
            for n in range(2)
        ),
        "open_ids": ("sel-1",),
    }  # fmt: skip
    return FlexView(**(fields | changes))  # type: ignore[arg-type]


def flexible(state: State, **changes: object) -> None:
    """Gives a site its part in flexibility."""
    view = flex_view(**changes)
    state.view = region_view(flex=view)
    state.appliances = {each.esa_id: each for each in view.appliance_list}


def region_view(**changes: object) -> RegionView:
    """A region with one of everything, but for the changes."""
    wind = device(
        "wind-1", "generator", state="curtailed", power_w=-1_250_000, shed_w=0, wanted_w=0, stays_as_left=False,
        why=Reason("test-unknown-code", ("grid", 5)),
        actuators=(
            ActuatorView(
                verb="limit", target=1_250_000, confirmed=1_250_000, state="holding", klass=8,
                reason=Reason("test-surplus", (3_200,)), stays_as_left=False, low=0, high=2_000_000,
                ordered=1_500_000, ordered_rank="user", ordered_who="Ada", ordered_why="noise",
            ),
        ),
    )  # fmt: skip
    hall = device("hall-a", "consumer", link="scada", up=None, since_utc_ms=0, power_w=None, mode="manual")
    fields: dict[str, object] = {
        "site": "cabinet-17",
        "step": 42,
        "utc_ms": NOON_UTC_MS,
        "utc_ok": True,
        "mode": "auto",
        "mode_who": "",
        "mode_why": "",
        "mode_until_utc_ms": 0,
        "rung": "shed",
        "generation_w": 1_250_000,
        "demand_w": 20_000,
        "served_w": 16_000,
        "deferred_w": 1_000,
        "shed_w": 2_000,
        "unserved_w": (0, 0, 700, 0, 0, 0, 0, 300),
        "unmetered_w": 150,
        "grid_net_w": None,
        "headroom_w": 5_000,
        "conservation_error_w": 0,
        "consumers": (("served", 1), ("shed", 0), ("starved", 0), ("choked", 0), ("unassigned", 0)),
        "pledged_w": 0,
        "commands": (("limit", "effective", 4), ("shed", "timed_out", 1)),
        "trees": (
            TreeView(
                name="wind-1", bus="main", output_w=1_250_000, safe_w=1_125_000, load_w=18_000, over_assigned_w=0,
                members=("hall-a",), blackout=False, fresh=True,
            ),
        ),
        "devices": (wind, hall),
        "ratings": (
            RatingView(
                name="grid", kind="grid", within="", load_va=(1_000, -2_000, 3_000), import_va=69_000,
                export_va=41_400, headroom_w=60_000, unmetered_w=0, metered=True, fresh=True,
                uses=(("wind-1", -1_250_000), ("hall-a", 18_000)),
            ),
        ),
        "alarms": (
            AlarmView(
                key="stale:hall-a", priority="low", since_utc_ms=NOON_UTC_MS - 9_000, since_utc_ok=True,
                cause=Reason("test-stale", ("hall-a",)), source="hall-a",
                acknowledged_by="Ada", acknowledged_why="seen", acknowledged_utc_ms=NOON_UTC_MS,
            ),
            AlarmView(
                key="device-down:<b>&", priority="high", since_utc_ms=NOON_UTC_MS - 5_000, since_utc_ok=False,
                cause=Reason("test-down", ("no reply within 500 ms",)),
            ),
        ),
        "decisions": (
            DecisionView(
                step=41, utc_ms=NOON_UTC_MS - 1_000, rung="shed", device="hall-a", amount_w=2_000,
                reason=Reason("test-short", (2_000,)),
            ),
        ),
        "events": tuple(event(seq) for seq in (7, 6, 5)),
    }  # fmt: skip
    return RegionView(**(fields | changes))  # type: ignore[arg-type]


class Answer(NamedTuple):
    """What came back."""

    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Site:
    """A running server with what it publishes."""

    state: State
    metrics: Metrics
    url: str
    http: aiohttp.ClientSession
    token_file: Path

    async def json(self, path: str, status: int = 200) -> dict[str, Any]:
        """GETs a JSON answer of that status, which must be as the OpenAPI document says."""
        return (await self.ask("GET", path, status)).body

    async def ask(self, method: str, path: str, status: int, **arguments: Any) -> Answer:
        """Any request; the answer must have that status and be as the OpenAPI document says."""
        async with self.http.get(self.url + "/api/v1/openapi.json") as answer:
            document = await answer.json()
        async with self.http.request(method, self.url + path, **arguments) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == status, body
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            place = path.partition("?")[0]
            must_conform(document, method, place, status, answer.content_type, body)
            if status >= 400 and answer.content_type == "application/problem+json":
                assert (body["status"], body["instance"]) == (status, place)
            return Answer(answer.headers, body)

    async def order(self, path: str, status: int, body: Any, *, token: str | None = TOKEN, **headers: str) -> Answer:
        """POSTs an order as JSON."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return await self.ask("POST", path, status, json=body, headers=headers)


async def serving(state: State, **arguments: object) -> tuple[Listener, Metrics]:
    """A server on a free port."""
    metrics = Metrics(state)
    return await listen(create_app(state, metrics, **arguments), "127.0.0.1", 0), metrics  # type: ignore[arg-type]


@asynccontextmanager
async def serving_site(state: State, token_file: Path = Path(), **arguments: object) -> AsyncIterator[Site]:
    """A server and a client of it, ended with the block."""
    listener, metrics = await serving(state, **arguments)
    try:
        async with aiohttp.ClientSession() as http:
            yield Site(state, metrics, listener.url, http, token_file)
    finally:
        await listener.close()
