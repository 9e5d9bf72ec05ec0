"""What the ratings of a site leave for appliances: by their meters, by what is declared, by what appliances report."""

from __future__ import annotations

import pytest

from scowl_edge.assembly import assemble
from scowl_edge.control import Core
from scowl_edge.control.flex_room import Rooms
from scowl_edge.dsr.goal import Terms
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.provider import Provider
from scowl_edge.dsr.room import Room
from scowl_edge.model.exchange import (
    Body,
    Message,
    Register,
    Report,
    ReportKind,
    ReportSlot,
    Running,
    SlotQuality,
    State,
)
from scowl_edge.model.flexibility import Control, EsaType, Mode, OverrideScope
from scowl_edge.model.part import ProviderPart

UTC = 1_700_006_400_000
NOW = Now(mono_ms=1_000_000, utc_ms=UTC, utc_ok=True)
SITE = """
site: {id: quarter}
links: {plc: {type: modbus-tcp, host: 127.0.0.1}}
ratings:
  grid: {kind: grid, import: 100 A, export: 50 A, phases: 3, meter: grid-meter, margin: 10 %}
  building: {kind: feeder, limit: 60 kVA, within: grid, margin: 0 %, residue: 1 kW}
  feeder-b: {kind: feeder, limit: 30 kVA, within: building, meter: feeder-meter, margin: 0 %}
devices:
  grid-meter: {link: plc, unit: 1, points: {power: {address: 0, type: int32, unit: W}}, role: {kind: grid}}
  feeder-meter: {link: plc, unit: 2, points: {power: {address: 2, type: int32, unit: W}}, role: {kind: feeder}}
  hall:
    link: plc
    unit: 3
    points: {power: {address: 4, type: int32, unit: W}}
    role: {kind: consumer, rated: 12 kW, class: 2, on: feeder-b, power_factor: 100 %}
flex:
  listen: 127.0.0.1:0
  tls: {certificate: {file: c.pem}, key: {file: k.pem}, authority: {file: a.pem}}
  peers: {house: {node: "cem:house", within: feeder-b}}
  provider: {node: "dsrsp:quarter", failsafe: {import: 8 kW, export: 0 W}, within: grid}
"""
GRID_W = 23_000 * 3 * 9 // 10
"""Its import less the margin."""
OWN_FACTOR = 9
"""Tenths: appliances count with a power factor of 0.9."""


class House:
    """The site with a provider, and two appliances: `a` of the house on the feeder, `b` of somebody else."""

    def __init__(self) -> None:
        site = assemble(SITE, "quarter.yaml").site
        assert site.flex is not None and site.flex.provider is not None
        self.part: ProviderPart = site.flex.provider
        self.core = Core(site)
        self.rooms = Rooms(site, {})
        self.provider = Provider(
            node="dsrsp:quarter", seed=1, terms=Terms(failsafe_p_upper_w=4_200, max_ramp_w_per_s=0)
        )
        for esa_id, cem in (("a", "cem:house"), ("b", "cem:other")):
            self.provider.link(cem, True, NOW)
            register = Register(
                esa_id=esa_id, esa_type=EsaType.EVSE, p_max_w=9_000, p_min_w=-9_000, modes=(Mode.ROUTINE,),
                controls=(Control.PROFILE,), consent_ref="c", cert_fp="0" * 64,
            )  # fmt: skip
            self.tell(esa_id, register)

    def tell(self, esa_id: str, body: Body) -> None:
        src = "cem:house" if esa_id == "a" else "cem:other"
        self.provider.receive(Message(id="m", ts_ms=UTC, src=src, dst=self.provider.node, body=body), NOW)

    def runs(self, esa_id: str, power_w: int | None, running: Running = Running.RUNNING) -> None:
        self.tell(esa_id, State(esa_id=esa_id, value=running, override=OverrideScope.NONE))
        if power_w is not None:
            slot = ReportSlot(p_avg_w=power_w, q=SlotQuality.OK)
            start_ms = UTC - 60_000
            self.tell(
                esa_id, Report(esa_id=esa_id, kind=ReportKind.ACTUAL, start_ms=start_ms, slot_s=60, slots=(slot,))
            )

    def room(self, ages_ms: dict[str, int] | None = None, **powers_w: int) -> Room:
        """With meters by the name of their device; what is not named was never read."""
        image = self.core.memory.image
        image.received_ms[:] = -1
        names = {s.device: i for i, s in enumerate(self.core.site.signals) if s.name == "power"}
        for name, power_w in powers_w.items():
            device = next(i for i, d in enumerate(self.core.site.devices) if d.name == name.replace("_", "-"))
            image.value[names[device]] = power_w
            image.received_ms[names[device]] = NOW.mono_ms - (ages_ms or {}).get(name, 0)
        seen = self.core.tracker.observe(image, NOW.mono_ms, {})
        return self.rooms.room(self.part, self.provider, seen, NOW)


def upper(room: Room) -> dict[str, int]:
    return {p.name: p.upper_w for p in room.places}


def test_where_a_meter_is_read_everything_but_the_appliances_stays() -> None:
    house = House()
    idle = house.room(grid_meter=30_000, feeder_meter=12_000, hall=12_000)
    assert upper(idle)["grid"] == (GRID_W - 30_000) * OWN_FACTOR // 10
    assert upper(idle)["feeder-b"] == (30_000 - 12_000) * OWN_FACTOR // 10
    house.runs("a", 6_000)
    house.runs("b", 3_000)
    running = house.room(grid_meter=39_000, feeder_meter=18_000, hall=12_000)
    assert upper(running) == upper(idle), "what appliances take is theirs"
    house.runs("a", 6_000, Running.IDLE)
    stopped = house.room(grid_meter=39_000, feeder_meter=18_000, hall=12_000)
    assert upper(stopped)["feeder-b"] == upper(idle)["feeder-b"] - 6_000 * OWN_FACTOR // 10, (
        "who is still takes nothing"
    )


def test_who_runs_and_reports_nothing_is_not_built_upon() -> None:
    house = House()
    house.runs("a", None)
    assert upper(house.room(grid_meter=30_000, feeder_meter=18_000, hall=12_000))["feeder-b"] == 10_800


def test_export_has_its_own_bound() -> None:
    house = House()
    room = house.room(grid_meter=-9_000, feeder_meter=0, hall=0)
    grid, _, feeder = room.places
    assert grid.lower_w == -((50 * 230 * 3 * 9 // 10 - 9_000) * OWN_FACTOR // 10)
    assert feeder.lower_w == -27_000
    house.runs("b", -9_000)
    assert house.room(grid_meter=-9_000, feeder_meter=0, hall=0).places[0].lower_w < grid.lower_w


def test_without_a_meter_devices_are_added_up_and_a_silent_one_counts_as_it_is_rated() -> None:
    house = House()
    house.runs("a", 6_000)
    read, silent = house.room(grid_meter=0, feeder_meter=0, hall=5_000), house.room(grid_meter=0, feeder_meter=0)
    assert upper(read)["building"] == pytest.approx(54_000 * OWN_FACTOR // 10, abs=9)
    assert upper(silent)["building"] == pytest.approx(47_000 * OWN_FACTOR // 10, abs=9)


def test_below_a_silent_meter_counts_what_is_declared_or_what_it_showed_last_whichever_is_more() -> None:
    house = House()
    hour = {"feeder_meter": 600_000}
    assert upper(house.room(grid_meter=0, hall=0))["feeder-b"] == (30_000 - 12_000) * OWN_FACTOR // 10
    assert upper(house.room(hour, grid_meter=0, feeder_meter=3_000, hall=0))["feeder-b"] == 16_200
    assert upper(house.room(hour, grid_meter=0, feeder_meter=20_000, hall=0))["feeder-b"] in range(8_990, 9_001)


def test_appliances_hang_where_their_manager_is_said_to_be() -> None:
    house = House()
    room = house.room(grid_meter=0, feeder_meter=0, hall=0)
    assert house.provider.places(room) == {"a": 2, "b": 0}
    device = next(i for i, d in enumerate(house.core.site.devices) if d.name == "hall")
    own = Rooms(house.core.site, {"b": device}).shape(house.part)
    assert own.place("b", "cem:other") == 2, "a device of the site hangs where it is declared"


def test_a_site_without_ratings_bounds_nobody() -> None:
    bare = SITE.replace(", within: feeder-b}", "}").replace(", within: grid}", "}").replace(", on: feeder-b", "")
    start, end = bare.index("ratings:"), bare.index("devices:")
    site = assemble(bare[:start] + bare[end:], "bare.yaml").site
    assert site.flex is not None and site.flex.provider is not None
    core = Core(site)
    seen = core.tracker.observe(core.memory.image, 0, {})
    assert Rooms(site, {}).room(site.flex.provider, House().provider, seen, NOW).places == ()
