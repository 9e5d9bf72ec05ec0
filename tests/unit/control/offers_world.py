"""A region that selects among offers: a grid meter, vehicles that charge, and the core between them, in virtual time.

The site is manager and provider at once; vehicles speak the protocol with it, message by message, a step of delay each
way. What the core asks of a worker is worked out at once and answered one step later.
"""

from __future__ import annotations

import numpy as np

from scowl_edge.assembly import assemble
from scowl_edge.capacity import Call
from scowl_edge.control import Core
from scowl_edge.control.memory import Decided
from scowl_edge.dsr.adapters.charger import Charger, ChargerState
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.dsr.proposing import propose
from scowl_edge.dsr.provider import Provider
from scowl_edge.model.effect import Ask, Inputs, Plan, Send
from scowl_edge.model.event import Answer, Event, LinkChanged, Told
from scowl_edge.model.exchange import Ack, Body, Message
from scowl_edge.model.flexibility import SelectionState
from scowl_edge.model.signal import Quality
from scowl_edge.model.tick import Tick
from simulators.appliances.simulated import SimulatedAppliance, registration

EVENING_MS = 1_700_006_400_000 + 18 * 3_600_000
STEP_MS = 5_000
HOUR_MS = 3_600_000
CAR_W = 7_360
FALLBACK = Fallback(failsafe_p_upper_w=8_000, failsafe_p_lower_w=0)
SITE = """
site: {id: quarter}
region:
  {mode: MODE, restore_every: 10 s, restore_after: 60 s, restore_step: 10 kW, dead_band: 500 W, ride_through: RIDE}
links: {plc: {type: modbus-tcp, host: 127.0.0.1}}
ratings: {grid: {kind: grid, import: 60 A, phases: 3, meter: grid-meter, margin: 0 %}}
devices:
  grid-meter: {link: plc, points: {power: {address: 0, type: int32, unit: W}}, role: {kind: grid}}
flex:
  listen: 127.0.0.1:0
  tls: {certificate: {file: c.pem}, key: {file: k.pem}, authority: {file: a.pem}}
  provider: {node: "dsrsp:quarter", failsafe: {import: 8 kW, export: 0 W}, within: gridLEVEL}
  manager: {node: "cem:quarter", provider: "dsrsp:quarter", failsafe: {import: 8 kW, export: 0 W}}
"""
LIMIT_W = 60 * 230 * 3


class OffersWorld:
    """`run_for` lets time pass; `base_w` is the load that offers nothing."""

    def __init__(
        self, cars: int, *, base_w: int, mode: str = "auto", ride_through: str = "2 s", level: str = ""
    ) -> None:
        """All vehicles are there and charge as fast as they can, until the morning if need be."""
        text = SITE.replace("MODE", mode).replace("RIDE", ride_through)
        text = text.replace("LEVEL", f", level: {level}, mode: response" if level else "")
        self.core = Core(assemble(text, "quarter.yaml").site)
        self.base_w = base_w
        self.mono_ms, self.step = 1_000_000, 0
        self.deaf: set[str] = set()
        """Vehicles whose link is cut: nothing they say arrives."""
        self.decided: list[Decided] = []
        self.answers = True
        """Whether the worker works."""
        self.cars = {f"car-{n}": self._car(n) for n in range(cars)}
        self._inbox: list[Event] = [
            LinkChanged(link=f"esa:{name}", device="", up=True, at_ms=self.mono_ms, cause="test") for name in self.cars
        ]
        self._numbered = 0
        self.turned: list[tuple[Inputs, Plan]] = []
        for name, car in self.cars.items():
            self._tell(name, (car.register,))

    def _car(self, number: int) -> SimulatedAppliance[ChargerState]:
        now = self.now
        charger = Charger(esa_id=f"car-{number}", capacity_wh=60_000, phases=1, current_max_a=32)
        state = ChargerState(
            level_j=12_000 * 3_600,
            target_wh=45_000,
            arrival_ms=now.utc_ms - HOUR_MS,
            departure_ms=now.utc_ms + 13 * HOUR_MS,
        )
        register = registration(charger, consent_ref="consent", cert_fp="0" * 64)
        return SimulatedAppliance(
            charger, state, register, Fallback(failsafe_p_upper_w=8_000, failsafe_p_lower_w=0), now
        )

    @property
    def now(self) -> Now:
        return Now(mono_ms=self.mono_ms, utc_ms=EVENING_MS + self.mono_ms, utc_ok=True)

    @property
    def provider(self) -> Provider:
        assert self.core.flexible is not None
        provider = self.core.flexible.talks.provider
        assert provider is not None
        return provider

    @property
    def calls(self) -> list[Call]:
        return list(self.core.memory.book.offers.calls.values())

    def selected(self) -> int:
        """Selections that appliances have accepted and not ended."""
        return sum(s.state is not SelectionState.PENDING for c in self.cars.values() for s in c.esa.selections.open())

    def power_w(self) -> int:
        """What the grid meter shows."""
        return self.base_w + sum(c.power_w for c in self.cars.values())

    def rungs(self) -> list[str]:
        return [d.rung for d in self.decided]

    def run_for(self, length_ms: int) -> None:
        until = self.mono_ms + length_ms
        while self.mono_ms < until:
            self.turn()

    def until(self, reached: object, length_ms: int) -> bool:
        """Runs until a condition holds; False if it does not in time."""
        assert callable(reached)
        end = self.mono_ms + length_ms
        while not reached() and self.mono_ms < end:
            self.turn()
        return bool(reached())

    def turn(self) -> None:
        """One step of the core."""
        self.mono_ms += STEP_MS
        self.step += 1
        for name, car in self.cars.items():
            self._tell(name, car.live(self.now))
        events, self._inbox = tuple(self._inbox), []
        tick = Tick(
            step=self.step,
            mono_ms=self.mono_ms,
            utc_ms=self.now.utc_ms,
            utc_ok=True,
            journal_ok=True,
            move_budget=100,
        )
        inputs = Inputs(
            tick,
            np.asarray([0], np.int32),
            np.asarray([self.power_w()], np.int64),
            np.asarray([Quality.GOOD], np.uint8),
            np.asarray([self.mono_ms], np.int64),
            events,
        )
        plan = self.core.step(inputs)
        self.turned.append((inputs, plan))
        assert self.core.conservation_error_w == 0
        self.decided += [d for d in self.core.memory.decisions if d.step == self.step]
        for effect in plan.effects:
            if isinstance(effect, Ask):
                job = self.core.work(effect)
                if job is not None and self.answers:
                    proposal = propose(job)  # type: ignore[arg-type]
                    self._inbox.append(Answer(job=effect.job, revision=effect.revision, proposal=proposal))
            elif isinstance(effect, Send):
                name = effect.link.removeprefix("esa:")
                if not isinstance(effect.message.body, Ack):
                    self._tell(name, self.cars[name].hear(effect.message.body, self.now))

    def _tell(self, name: str, bodies: tuple[Body, ...]) -> None:
        for body in bodies:
            if isinstance(body, Ack) or name in self.deaf:
                continue
            self._numbered += 1
            message = Message(
                id=identity(name, self._numbered),
                ts_ms=self.now.utc_ms,
                src=f"esa:{name}",
                dst="cem:quarter",
                body=body,
            )
            self._inbox.append(Told(link=f"esa:{name}", message=message, at_ms=self.mono_ms))
