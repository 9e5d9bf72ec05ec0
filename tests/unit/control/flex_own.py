"""A house that is manager and provider, with devices of its own that obey their registers: played in virtual time.

Every input is kept, so that a second core can be given the same and has to decide the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scowl_edge.assembly import assemble
from scowl_edge.control import Core
from scowl_edge.control.flexible import Flexible
from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.proposing import propose
from scowl_edge.dsr.provider import Provider
from scowl_edge.model.command import OutcomeKind, Verb
from scowl_edge.model.effect import Ask, Effect, Inputs, Plan, Write
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import Answer, Booted, Event, FlexSelect, LinkChanged, Outcome
from scowl_edge.model.flexibility import Element, Mode, Offer, Profile, ProfileKind
from scowl_edge.model.signal import Quality
from scowl_edge.model.tick import Tick

MIDNIGHT = 1_700_006_400_000
HOUR, MINUTE = 3_600_000, 60_000

HEAD = """
site: {id: house}
region: {mode: auto}
journal: {path: house.db}
telemetry: {enabled: false}
links: {plc: {type: modbus-tcp, host: 127.0.0.1, port: 5020}}
ratings: {grid: {kind: grid, import: %s, export: 63 A, meter: meter}}
devices:
  meter: {link: plc, unit: 1, points: {power: {address: 0, type: int32, unit: W}}}
"""
DEVICES = {
    "battery": """
  battery:
    link: plc
    unit: 2
    points:
      power: {address: 0, type: int32, unit: W}
      soc: {address: 2, type: uint16, unit: "%", scale: 0.01}
      setpoint: {address: 3, type: int32, unit: W, access: rw}
      mode: {address: 5, type: uint16, access: rw}
    role: {kind: storage, rated: 5 kW, capacity: 10 kWh, on: grid}
""",
    "car": """
  car:
    link: plc
    unit: 3
    points:
      power: {address: 0, type: int32, unit: W}
      limit: {address: 2, type: uint32, unit: W, access: rw}
      present: {address: 4, type: uint16}
      soc: {address: 5, type: uint16, unit: "%", scale: 0.01}
    role: {kind: consumer, rated: 11.04 kW, on: grid, interruptible: true}
""",
    "sun": """
  sun:
    link: plc
    unit: 4
    points:
      power: {address: 0, type: int32, unit: W}
      available: {address: 2, type: uint32, unit: W}
      limit: {address: 4, type: uint32, unit: W, access: rw}
    role: {kind: generator, dispatch: stochastic, rated: 8 kW, on: grid}
""",
    "heat": """
  heat:
    link: plc
    unit: 5
    points:
      power: {address: 0, type: int32, unit: W}
      limit: {address: 2, type: uint32, unit: W, access: rw}
      temperature: {address: 4, type: int32, unit: degC, scale: 0.001}
    role: {kind: consumer, rated: 2.5 kW, on: grid}
""",
    "freezer": """
  freezer:
    link: plc
    unit: 6
    points:
      power: {address: 0, type: int32, unit: W}
      connect: {table: coil, address: 2, access: rw}
      temperature: {address: 4, type: int32, unit: degC, scale: 0.001}
    role: {kind: consumer, rated: 400 W, on: grid}
""",
    "washer": """
  washer:
    link: plc
    unit: 7
    points:
      power: {address: 0, type: int32, unit: W}
      connect: {table: coil, address: 2, access: rw}
      job: {table: discrete, address: 4}
    role: {kind: consumer, rated: 2 kW, on: grid}
""",
}
FLEX = {
    "battery": "{kind: battery, random_offset: 0 s}",
    "car": '{kind: charger, capacity: 60 kWh, leave: "06:30", random_offset: 0 s}',
    "sun": "{kind: solar, failsafe: {import: 0 W, export: 8 kW}, random_offset: 0 s}",
    "heat": "{kind: heat_pump, heat_capacity: 7 kWh, loss: 180 W, random_offset: 0 s}",
    "freezer": "{kind: cold_store, heat_capacity: 170 Wh, loss: 6 W, random_offset: 0 s}",
    "washer": "{kind: washer, signals: {loaded: job}, programme: [20 min at 2 kW, 40 min at 200 W]}",
}
TAIL = """
flex:
  manager:
    node: "cem:house"
    provider: "dsrsp:house"
    within: grid
    appliances: 1
    failsafe: {import: 2 kW, export: 1 kW}
    devices:
"""
PROVIDER = '  provider: {node: "dsrsp:house", failsafe: {import: 2 kW, export: 1 kW}}\n'
FAR = """
  peers: {grid: {node: "dsrsp:grid", url: "https://192.0.2.1:8443"}}
  tls: {certificate: {file: a.pem}, key: {file: a.key}, authority: {file: ca.pem}}
"""


def config(*names: str, limit: str = "63 A", far: bool = False, **flex: str) -> str:
    """A house with these devices; `far`: its provider is elsewhere, and nobody says anything for it."""
    text = HEAD % limit + "".join(DEVICES[name] for name in names)
    text += TAIL + "".join(f"      {name}: {flex.get(name, FLEX[name])}\n" for name in names)
    return text.replace("dsrsp:house", "grid") + FAR if far else text + PROVIDER


@dataclass
class House:
    """`values` holds what devices show, by device and signal; registers follow what is written."""

    names: tuple[str, ...]
    text: str = ""
    now_ms: int = 17 * HOUR
    step_ms: int = 15_000
    core: Core = field(init=False)
    values: dict[tuple[str, str], int] = field(default_factory=dict)
    bad: set[tuple[str, str]] = field(default_factory=set)
    """Signals of which nothing is heard."""
    claimed_w: dict[str, int] = field(default_factory=dict)
    """What meters of devices show instead of what flows."""
    stuck: set[str] = field(default_factory=set)
    """Devices that do not do what they are told."""
    events: list[Event] = field(default_factory=list)
    history: list[tuple[Inputs, Plan]] = field(default_factory=list)
    flows_wms: dict[str, int] = field(default_factory=dict)
    other_w: int = 500
    steps: int = 0

    def __post_init__(self) -> None:
        self.text = self.text or config(*self.names)
        self.core = Core(assemble(self.text, "house.yaml").site)
        start = {
            ("battery", "soc"): 500_000, ("battery", "setpoint"): 0, ("battery", "mode"): 1,
            ("car", "present"): 1, ("car", "soc"): 400_000, ("car", "limit"): 11_040,
            ("sun", "available"): 4_000, ("sun", "limit"): 8_000,
            ("heat", "temperature"): 21_000, ("heat", "limit"): 2_500,
            ("freezer", "temperature"): -19_500, ("freezer", "connect"): 1,
            ("washer", "connect"): 1, ("washer", "job"): 0, ("washer", "run_ms"): 0,
        }  # fmt: skip
        self.values = start | self.values

    # -- what may be asked of it

    @property
    def flexible(self) -> Flexible:
        assert self.core.flexible is not None
        return self.core.flexible

    @property
    def cem(self) -> Cem:
        assert self.flexible.talks.cem is not None
        return self.flexible.talks.cem

    @property
    def provider(self) -> Provider:
        assert self.flexible.talks.provider is not None
        return self.flexible.talks.provider

    def appliance(self, name: str) -> Appliance:
        appliance = self.cem.members[f"house.{name}"].appliance
        assert appliance is not None
        return appliance

    def offer(self, name: str) -> Offer:
        """The one that stands."""
        offers = self.appliance(name).offer_set
        assert offers is not None and offers.offers, f"{name} offers nothing"
        return offers.offers[0]

    def states(self, name: str) -> list[str]:
        """Of all its selections, the first first."""
        return [s.state.value for s in self.appliance(name).selections.kept]

    def power_w(self, name: str) -> int:
        return self._powers().get(name, 0)

    @property
    def utc_ms(self) -> int:
        return MIDNIGHT + self.now_ms

    # -- what happens

    def select(
        self,
        name: str,
        kind: ProfileKind = ProfileKind.OTHER,
        *,
        setpoints_w: tuple[int, ...] = (),
        mode: Mode = Mode.RESPONSE,
        modulated: bool = False,
    ) -> Profile:
        """A person selects a profile of a kind at its first start."""
        offer = self.offer(name)
        profile = next(p for p in offer.profiles if p.kind is kind and (not modulated or _modulates(p.elements)))
        start_ms = profile.start_fixed_ms if profile.start_fixed_ms >= 0 else offer.start_earliest_ms
        self.events.append(
            FlexSelect(
                esa_id=f"house.{name}", offer_id=offer.offer_id, profile_id=profile.profile_id, start_utc_ms=start_ms,
                setpoints_w=setpoints_w, mode=mode, who="test", why="test",
            )
        )  # fmt: skip
        return profile

    def until(self, *, utc_ms: int) -> None:
        while self.utc_ms < utc_ms:
            self.step()

    def run(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        while self.now_ms < end_ms:
            self.step()

    def active(self, name: str) -> None:
        """Until what was selected of it runs."""
        for _ in range(2_000):
            if self.appliance(name).selections.running() is not None:
                return
            self.step()
        raise AssertionError(f"{name}: {self.states(name)}")

    def step(self) -> Plan:
        """Devices live for a step, then the core decides, and what it asks for is done."""
        self._live(self.step_ms)
        self.now_ms += self.step_ms
        plan = self._decide(self.now_ms)
        self._carry_out(plan.effects)
        while self.events and isinstance(self.events[0], Answer | Outcome):
            self.now_ms += 1
            self._carry_out(self._decide(self.now_ms).effects)
        return plan

    def _decide(self, now_ms: int) -> Plan:
        self.steps += 1
        site, events = self.core.site, tuple(self.events)
        self.events.clear()
        shown, quality = [], []
        powers = self._powers()
        for s in site.signals:
            device = site.devices[s.device].name
            key = (device, s.name)
            value = self.values.get(key, 0)
            if s.name == "power":
                value = self.claimed_w.get(device, powers.get(device, 0))
            shown.append(sum(powers.values()) + self.other_w if device == "meter" else value)
            quality.append(Quality.BAD if key in self.bad else Quality.GOOD)
        tick = Tick(
            step=self.steps, mono_ms=now_ms, utc_ms=MIDNIGHT + now_ms, utc_ok=True, journal_ok=True, move_budget=9
        )
        # As in a daemon, the first step comes before anything was read.
        count = len(site.signals) if self.steps > 1 else 0
        inputs = Inputs(
            tick,
            np.arange(count, dtype=np.int32),
            np.asarray(shown[:count], np.int64),
            np.asarray(quality[:count], np.uint8),
            np.full(count, now_ms, np.int64),
            events,
        )
        plan = self.core.step(inputs)
        self.history.append((inputs, plan))
        return plan

    def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, Write):
                a = self.core.site.actuators[effect.command.actuator]
                device = self.core.site.devices[a.device].name
                name = {Verb.MODE: "mode", Verb.SETPOINT: "setpoint", Verb.LIMIT: "limit"}.get(a.verb, "connect")
                self.values[device, name] = effect.command.value
                kind = OutcomeKind.ACKNOWLEDGED
                self.events.append(Outcome(command=effect.command.id, kind=kind, at_ms=self.now_ms))
            elif isinstance(effect, Ask):
                job = self.core.work(effect)
                try:
                    proposal, failure = propose(job), ""  # type: ignore[arg-type]
                except ScowlError as error:
                    proposal, failure = None, str(error)
                answer = Answer(job=effect.job, revision=effect.revision, proposal=proposal, failure=failure)
                self.events.append(answer)

    def restart(self, *, gap_ms: int = 4_000) -> None:
        """The daemon is killed and comes back with what it had."""
        data = self.core.snapshot()
        again = Core(self.core.site)
        again.restore(data)
        assert again.snapshot() == data
        self.core = again
        self._live(gap_ms)
        self.now_ms += gap_ms
        self.history.clear()
        self.events.append(Booted(boot=2, version="1", mono_base_ms=0, rebased_by_utc=True))

    def configure(self, text: str) -> None:
        """Another configuration takes over."""
        core = Core(assemble(text, "house.yaml").site)
        core.adopt(self.core)
        self.core, self.text = core, text
        self.history.clear()

    def down(self, name: str, *, up: bool = False) -> None:
        self.events.append(LinkChanged(link="plc", device=name, up=up, at_ms=self.now_ms, cause="silence"))

    # -- physics

    def _powers(self) -> dict[str, int]:
        v = self.values
        found = {}
        for name in self.names:
            if name == "battery":
                w, soc = v["battery", "setpoint"], v["battery", "soc"]
                w = 0 if (w > 0 and soc >= 1_000_000) or (w < 0 and soc <= 0) else w
            elif name == "car":
                w = min(v["car", "limit"], 11_040) if v["car", "present"] and v["car", "soc"] < 1_000_000 else 0
                w = 0 if w < 4_140 else w
            elif name == "sun":
                w = -min(v["sun", "limit"], v["sun", "available"])
            elif name == "heat":
                w = min(v["heat", "limit"], 2_500)
            elif name == "freezer":
                w = 400 * v["freezer", "connect"]
            else:
                runs = v["washer", "connect"] and v["washer", "job"]
                w = 0 if not runs else 2_000 if v["washer", "run_ms"] < 20 * MINUTE else 200
            found[name] = 0 if name in self.stuck else w
        return found

    def _live(self, ms: int) -> None:
        v, powers = self.values, self._powers()
        for name, w in powers.items():
            self.flows_wms[name] = self.flows_wms.get(name, 0) + w * ms
        if "battery" in powers:
            w = powers["battery"]
            stored = w * ms * 95 // 100 if w > 0 else -(-w * ms * 100 // 95)
            v["battery", "exact"] = v.get(("battery", "exact"), v["battery", "soc"] * 36_000) + stored
            v["battery", "soc"] = max(0, min(1_000_000, v["battery", "exact"] // 36_000))
        if "car" in powers:
            exact = v.get(("car", "exact"), v["car", "soc"] * 216_000) + powers["car"] * ms * 93 // 100
            v["car", "exact"] = exact
            v["car", "soc"] = min(1_000_000, exact // 216_000)
        if "heat" in powers:
            gain_mw = powers["heat"] * 3_200 - 180 * (v["heat", "temperature"] - 8_000)
            v["heat", "micro"] = v.get(("heat", "micro"), 1_000 * v["heat", "temperature"]) + gain_mw * ms // 25_200_000
            v["heat", "temperature"] = v["heat", "micro"] // 1_000
        if powers.get("washer"):
            v["washer", "run_ms"] += ms
            if v["washer", "run_ms"] >= 60 * MINUTE:
                v["washer", "job"] = 0

    def replayed(self) -> None:
        """A fresh core that is given the same decides the same, step by step."""
        core = Core(self.core.site)
        for inputs, plan in self.history:
            again = core.step(inputs)
            assert again.digests == plan.digests, f"step {inputs.tick.step}"
            assert again.effects == plan.effects, f"step {inputs.tick.step}"
        assert core.snapshot() == self.core.snapshot()


def _modulates(elements: tuple[Element, ...]) -> bool:
    return any(e.p_min_w < e.p_max_w for e in elements)
