"""The core of one region: `step(inputs) -> plan`, in fixed stages. It owns its memory; it has no clock and no I/O."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from scowl_edge.capacity import ShedState
from scowl_edge.control import alarms, claims, flex_alarms, grants, modes, people
from scowl_edge.control.arbiter import Klass, Ruling, rule
from scowl_edge.control.audit import conservation_error_w
from scowl_edge.control.chronicle import decided, forget, note
from scowl_edge.control.entry import STANDING
from scowl_edge.control.ledger import Count, Ledger
from scowl_edge.control.memory import Memory, Reachability, shift_times
from scowl_edge.control.portrait import portrait
from scowl_edge.control.sections import Sections, packed, unpacked
from scowl_edge.model.batch import Assign, Batch, Seated
from scowl_edge.model.codec import CodecError, decode, encode
from scowl_edge.model.command import Verb
from scowl_edge.model.effect import Ask, Effect, Inputs, Plan, Read
from scowl_edge.model.event import (
    AlarmOrder,
    Answer,
    Booted,
    DeviceMode,
    FlexOrder,
    JournalGap,
    LinkChanged,
    Order,
    Outcome,
    RegionMode,
    StepFailed,
    Stopping,
    Told,
    ValueOrder,
    Veto,
)
from scowl_edge.model.flex_view import FlexApplianceView
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.signal import Quality
from scowl_edge.model.site import NONE, OnStop, Site
from scowl_edge.model.tick import Tick
from scowl_edge.model.view import RegionView
from scowl_edge.tracker import Forest, Observation, Steering, Tracker

BOOTED = declare("booted", "started for the {}. time with this journal, version {}")
STOP_ASKED = declare("stop-asked", "asked to stop: {}")
GAP = declare("journal-gap", "steps {} to {} are not in the journal: {}")
FAILED = declare("step-raised", "a fault in the program at step {}: {}")
CHANGED = declare("reachability", "{}")
STRAY = declare(
    "batches-for-nobody",
    "sender {} reports for population number {}, which does not exist; this and all that follows is only counted",
)
UNHEARD = declare(
    "batches-for-simulated",
    "sender {} reports for a population that is simulated; this and all that follows is only counted",
)

if TYPE_CHECKING:
    from scowl_edge.control.flexible import Flexible
    from scowl_edge.tracker.population.population import Population

KEPT_DECISIONS = 100
KEPT_READINGS = 4
"""Of each power signal: more than one meter's poll apart they need not be told from each other."""
BOOT_PATIENCE_MS = 10_000
"""Longest wait after a start until every signal was tried once."""


class Core:
    """One region. `step` mutates; `snapshot` and `restore` are exact inverses."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tracker = Tracker(site)
        self.memory = Memory.new(site)
        self.ledger = Ledger(site, self.memory.ledger)
        self._device_index = {d.name: i for i, d in enumerate(site.devices)}
        self._powers = frozenset(
            [g.power for g in site.generators] + [c.power for c in site.consumers] + [s.power for s in site.storages]
        )
        self._seen: Observation | None = None
        self._forest: Forest | None = None
        self._steered = False
        """Whether this memory was steered since it was taken over."""
        self._rulings: list[Ruling | None] = [None] * len(site.actuators)
        self._tick: Tick | None = None
        self._sections = Sections()
        self.conservation_error_w = 0
        self.populations: list[Population] = []
        if site.populations:
            # Only then: what compiles its kernels takes time and memory to load.
            from scowl_edge.tracker.population.population import Population

            self.populations = [Population(declared) for declared in site.populations]
        self.flexible: Flexible | None = None
        if site.flex is not None:
            from scowl_edge.control.flexible import Flexible

            self.flexible = Flexible(site.flex)

    def step(self, inputs: Inputs) -> Plan:
        """One turn of all stages."""
        memory, tick = self.memory, inputs.tick
        situation = memory.situation
        forget(memory)
        situation.step = tick.step
        situation.journal_ok = tick.journal_ok
        situation.last_mono_at, situation.last_utc_ms = tick.mono_ms, tick.utc_ms
        if tick.utc_ok:
            situation.utc_day = tick.utc_ms // 86_400_000
        counts: list[Count] = []
        if self.flexible is not None:
            self.flexible.begin()
        self._fold_readings(inputs)
        for event in inputs.events:
            self._fold_event(event, tick, counts)
        modes.due(self.site, memory, tick)
        people.due(self.site, memory, tick)
        people.end_vetoed_sheds(self.site, memory, tick.mono_ms)
        seen = self.tracker.observe(memory.image, tick.mono_ms, memory.recent)
        self._seen, self._tick = seen, tick
        self._wait_for_first_values(tick)
        if self.flexible is not None:
            self.flexible.enter(memory.book.offers, tick)
        reads = self.ledger.watch(seen, counts)
        grants.settle(self.site, memory, tick)
        grants.promise_lost(self.site, memory, self.ledger.lost(), seen)
        steering = self._steer(seen, tick)
        if steering is not None:
            for d in steering.decisions:
                decided(self.memory, tick, d.rung, d.device, d.amount_w, d.reason)
                if d.device != NONE:
                    memory.reasons[d.device] = d.reason
            if self.flexible is not None and situation.mode.mode == RegionMode.AUTO:
                self.flexible.relieve(memory.book.offers, steering.want_offers_w, steering.cancel_offers, tick)
        effects = self._act(seen, tick, reads)
        effects += self._populations_step(inputs)
        if self.flexible is not None:
            effects += self.flexible.step(tick)
            for source, what in self.flexible.notes:
                note(memory, tick, "flex", source, what)
        for count in counts:
            key = f"{count.verb} {count.outcome}"
            memory.counts[key] = memory.counts.get(key, 0) + 1
        self.conservation_error_w = conservation_error_w(self.site, memory, seen, self._forest)
        self.conservation_error_w += sum(p.conservation_error_w for p in self.populations)
        more = flex_alarms.found(self.flexible, tick) if self.flexible is not None else ()
        alarms.update(self.site, memory, seen, self._rulings, tick, more)
        del memory.decisions[:-KEPT_DECISIONS]
        final = self._stop_settled(tick)
        wake = self.ledger.wake_at(tick.mono_ms, self.site.policy.period_ms)
        wake = min([wake, *(p.wake_at for p in self.populations)])
        offers_at = memory.book.offers.wake_at(tick.mono_ms)
        wake = wake if offers_at is None else min(wake, offers_at)
        return Plan(tick.step, tuple(effects), wake, self.digests(), final)

    # -- stages ----------------------------------------------------------------------------------------------------

    def _fold_readings(self, inputs: Inputs) -> None:
        image = self.memory.image
        at = inputs.signals
        image.quality[at] = inputs.quality
        good = inputs.quality != Quality.BAD
        image.value[at[good]] = inputs.value[good]
        image.received_ms[at[good]] = inputs.received_ms[good]
        recent = self.memory.recent
        for signal, received, value in zip(
            at[good].tolist(), inputs.received_ms[good].tolist(), inputs.value[good].tolist(), strict=True
        ):
            if signal in self._powers:
                known = recent.setdefault(signal, [])
                known.append([received, value])
                del known[:-KEPT_READINGS]

    def _fold_event(self, event: object, tick: Tick, counts: list[Count]) -> None:
        situation = self.memory.situation
        if isinstance(event, Outcome):
            self.ledger.outcome(event, counts)
        elif isinstance(event, Told | Answer):
            if self.flexible is not None:
                self.flexible.told(event, tick) if isinstance(event, Told) else self.flexible.answer(event, tick)
        elif isinstance(event, LinkChanged):
            self._link_changed(event, tick)
        elif isinstance(event, Order):
            modes.take_order(self.site, self.memory, self.ledger, event, tick)
        elif isinstance(event, ValueOrder):
            self._value_order(event, tick)
        elif isinstance(event, Veto):
            people.take_veto(self.site, self.memory, event, tick)
        elif isinstance(event, AlarmOrder):
            people.take_alarm_order(self.memory, event, tick)
        elif isinstance(event, FlexOrder):
            if self.flexible is not None:
                source, what = self.flexible.order(event, tick)
                note(self.memory, tick, "order", source, what, who=event.who)
        elif isinstance(event, Booted):
            self._booted(event, tick)
        elif isinstance(event, Stopping):
            if situation.stopping_at < 0:
                situation.stopping_at = tick.mono_ms
                note(self.memory, tick, "stop", "", Reason(STOP_ASKED, (event.why,)))
        elif isinstance(event, JournalGap):
            situation.gap_steps += event.last_step - event.first_step + 1
            text = Reason(GAP, (event.first_step, event.last_step, event.why))
            note(self.memory, tick, "journal-gap", "", text)
        elif isinstance(event, StepFailed):
            situation.failed_steps += 1
            situation.failed_at, situation.failure = tick.mono_ms, event.why
            note(self.memory, tick, "step-failed", "", Reason(FAILED, (event.step, event.why)))
            self.ledger.doubt_awaited(tick.mono_ms)

    def _booted(self, event: Booted, tick: Tick) -> None:
        memory = self.memory
        if event.mono_base_ms:
            for section in (memory.region, memory.book, memory.ledger, memory.situation, memory.people, memory):
                if section is memory:
                    known = memory.image.received_ms >= 0
                    memory.image.received_ms[known] += event.mono_base_ms
                    for readings in memory.recent.values():
                        for reading in readings:
                            reading[0] += event.mono_base_ms
                elif isinstance(section, list):
                    for entry in section:
                        shift_times(entry, event.mono_base_ms)
                else:
                    shift_times(section, event.mono_base_ms)
            for population in self.populations:
                population.shift_times(event.mono_base_ms)
        for population in self.populations:
            population.booted(gap_known=event.rebased_by_utc)
        if self.flexible is not None:
            self.flexible.booted(event.boot, event.mono_base_ms, gap_known=event.rebased_by_utc, tick=tick)
        memory.situation.boot = event.boot
        memory.situation.stopping_at = -1
        memory.image.quality[:] = Quality.UNTRIED
        memory.region.settled = False
        memory.region.booted_at = tick.mono_ms
        self.ledger.doubt_all()
        note(memory, tick, "boot", "", Reason(BOOTED, (event.boot, event.version)))

    def _link_changed(self, event: LinkChanged, tick: Tick) -> None:
        situation = self.memory.situation
        if self.flexible is not None and ":" in event.link:
            # A peer's node id; links of devices have no such name.
            self.flexible.link(event.link, event.up, event.cause, tick)
            return
        if event.device:
            index = self._device_index.get(event.device)
            if index is None:
                return
            known = situation.devices[index]
        else:
            known = situation.links.setdefault(event.link, Reachability())
        if known.up is not event.up:
            known.up, known.since_utc_ms, known.changed_at = event.up, tick.utc_ms, event.at_ms
            kind = f"{'device' if event.device else 'link'}-{'up' if event.up else 'down'}"
            text = Reason(CHANGED, (event.cause,))
            note(self.memory, tick, kind, event.device or event.link, text, at_ms=event.at_ms)
        known.cause = event.cause

    def _value_order(self, event: ValueOrder, tick: Tick) -> None:
        device = people.take_value(self.site, self.memory, event, tick)
        if device != NONE:
            decided(self.memory, tick, "order", device, 0, self.memory.events[-1].text)
            # A person asks anew: what was refused or contested before may be tried again.
            self.ledger.reopen(device, event.verb)

    def _wait_for_first_values(self, tick: Tick) -> None:
        region = self.memory.region
        if region.booted_at < 0:
            region.booted_at = tick.mono_ms
        if not region.settled:
            tried = bool((self.memory.image.quality != Quality.UNTRIED).all())
            region.settled = tried or tick.mono_ms - region.booted_at >= BOOT_PATIENCE_MS

    def _steer(self, seen: Observation, tick: Tick) -> Steering | None:
        memory, situation = self.memory, self.memory.situation
        if situation.stopping_at >= 0 or not memory.region.settled or situation.mode.mode == RegionMode.HOLD:
            return None
        if self._steered and not self.site.devices:
            return None  # Nothing is steered, and all that could be noted of it was at the step before.
        closed, locked = self.ledger.closed(tick.mono_ms), self.ledger.locked(seen)
        held = people.held_actuators(self.site, memory)
        usable = [
            self._usable(i) and not closed[i] and not locked[i] and i not in held
            for i in range(len(self.site.actuators))
        ]
        vetoed = frozenset(memory.people.vetoes)
        if situation.mode.mode == RegionMode.ADVISORY:
            # What it would do from here: nothing of it is remembered, because nothing of it happens.
            region, book = copy.deepcopy(memory.region), copy.deepcopy(memory.book)
            steering, self._forest = self.tracker.step(
                region, book, seen, usable, situation.utc_day, tick.move_budget, vetoed
            )
            memory.region.tree = region.tree
            memory.region.rung = region.rung
            return steering
        steering, self._forest = self.tracker.step(
            memory.region, memory.book, seen, usable, situation.utc_day, tick.move_budget, vetoed
        )
        self._steered = True
        return steering

    def _populations_step(self, inputs: Inputs) -> list[Effect]:
        situation = self.memory.situation
        effects: list[Effect] = []
        for batch in inputs.batches:
            self._turn_away(batch, inputs.tick)
        stopping = situation.stopping_at >= 0
        deciding = not stopping and situation.mode.mode != RegionMode.HOLD
        for index, population in enumerate(self.populations):
            batches = [b for b in inputs.batches if b.population == index]
            assigned = population.step(
                inputs.tick.mono_ms,
                batches,
                deciding=deciding,
                advisory=situation.mode.mode == RegionMode.ADVISORY,
                late=inputs.tick.late,
            )
            if assigned is not None:
                kind, number, tree = assigned
                boot, step = situation.boot, inputs.tick.step
                effects.append(Assign(population=index, boot=boot, step=step, kind=kind, number=number, tree=tree))
            if (seats := population.seats) is not None:
                effects.append(Seated(population=index, **seats._asdict()))
            for rung, amount_w, reason in population.decisions:
                decided(self.memory, inputs.tick, rung, NONE, amount_w, reason)
        return effects

    def _turn_away(self, batch: Batch, tick: Tick) -> None:
        """Counts a batch that no population takes, and tells of the first one."""
        known = batch.population < len(self.populations)
        if known and self.populations[batch.population].intake is not None:
            return
        name = self.site.populations[batch.population].name if known else ""
        stray, rows = self.memory.situation.stray_rows, batch.rows()
        if name not in stray:
            text = Reason(UNHEARD, (batch.sender,)) if known else Reason(STRAY, (batch.sender, batch.population))
            note(self.memory, tick, "batches-refused", name, text)
        stray[name] = stray.get(name, 0) + (max(1, len(rows)) if rows is not None else 1)

    def _usable(self, actuator: int) -> bool:
        """Whether the region may count on it."""
        device = self.site.actuators[actuator].device
        return self.memory.situation.device_modes[device].mode == DeviceMode.AUTO and self._reachable(actuator)

    def _reachable(self, actuator: int) -> bool:
        return self.memory.situation.devices[self.site.actuators[actuator].device].up is not False

    def _act(self, seen: Observation, tick: Tick, reads: list[int]) -> list[Effect]:
        memory, situation = self.memory, self.memory.situation
        active = situation.mode.mode != RegionMode.ADVISORY and memory.region.settled
        if situation.stopping_at >= 0:
            offered = claims.on_stop(self.site, memory)
        elif situation.mode.mode == RegionMode.ADVISORY:
            offered = [[] for _ in self.site.actuators]
        else:
            offered = claims.of_tracker(self.site, memory, self.tracker, seen)
        guarded = claims.of_devices(self.site, memory, seen, self._commanded())
        wanted: list[tuple[int, int, Reason, bool, int] | None] = []
        may_write: list[bool] = []
        for i, a in enumerate(self.site.actuators):
            mode = situation.device_modes[a.device].mode
            asked = offered[i] if mode == DeviceMode.AUTO else []
            if mode != DeviceMode.OUT_OF_SERVICE and situation.stopping_at < 0:
                asked = asked + people.offered(self.site, memory, seen, i) + guarded[i]
            ruling = rule(a, asked)
            self._rulings[i] = ruling
            if ruling is None or ruling.target is None:
                wanted.append(None)
                may_write.append(False)
                continue
            lasts = self._lasts_ms(i, ruling.klass, tick) if a.verb is Verb.SHED else 0
            wanted.append((ruling.target, ruling.klass, ruling.reason, ruling.safety, lasts))
            may_write.append(active and self._reachable(i))
        effects = self.ledger.step(seen, wanted, may_write, situation.boot, tick.step, situation.utc_day)
        wanted_signals = {*reads, *self._doubtful_reads(seen, tick)}
        if wanted_signals:
            by_ms = tick.mono_ms + self.site.policy.period_ms
            effects.append(Read(tuple(sorted(wanted_signals)), by_ms))
        return effects

    def _commanded(self) -> list[bool]:
        """A flag a device: the region, or a person's value, commands it now, so that its own fail-safe must stand."""
        situation = self.memory.situation
        if situation.stopping_at >= 0 or situation.mode.mode == RegionMode.ADVISORY:
            return [False] * len(self.site.devices)
        by_hand = {self.site.actuators[i].device for i in self.memory.people.operator}
        return [
            m.mode == DeviceMode.AUTO or (m.mode == DeviceMode.MANUAL and d in by_hand)
            for d, m in enumerate(situation.device_modes)
        ]

    def _lasts_ms(self, actuator: int, klass: int, tick: Tick) -> int:
        """How long a device is told to hold a shed."""
        if klass not in (Klass.OPERATOR, Klass.USER):
            return claims.lasts_ms(self.site, self.memory, actuator, tick.mono_ms)
        con = next(c for c in self.site.consumers if c.do_shed == actuator)
        return con.deferral_ms

    def _doubtful_reads(self, seen: Observation, tick: Tick) -> tuple[int, ...]:
        """Sheds in doubt are read again until they are settled."""
        signals = set()
        for c, shed in sorted(self.memory.book.sheds.items()):
            con = self.site.consumers[c]
            doubtful = shed.state is ShedState.IN_DOUBT and con.shed_granted != NONE
            if doubtful and tick.mono_ms - seen.received_ms(con.shed_granted) > self.site.policy.period_ms:
                signals.add(con.shed_granted)
        return tuple(sorted(signals))

    def _stop_settled(self, tick: Tick) -> bool:
        situation = self.memory.situation
        if situation.stopping_at < 0:
            return False
        if tick.mono_ms - situation.stopping_at >= self.site.policy.stop_timeout_ms:
            return True
        return all(self.stop_confirmed(i) for i in range(len(self.site.actuators)))

    def stop_confirmed(self, actuator: int) -> bool:
        """Whether an actuator is known to be where a stop should leave it."""
        a, e = self.site.actuators[actuator], self.memory.ledger[actuator]
        if e.outstanding:
            return False
        if a.on_stop is OnStop.HOLD or e.target is None:
            return True
        return e.written == e.target and e.stage in STANDING

    # -- what others may see -----------------------------------------------------------------------------------------

    def sections(self) -> dict[str, bytes]:
        """Canonical bytes of each section of the memory."""
        known = self._sections.encoded(self.memory)
        known |= {f"population {p.declared.name}": p.section() for p in self.populations}
        return known if self.flexible is None else known | {"flexibility": self.flexible.section()}

    def digests(self) -> tuple[tuple[str, str], ...]:
        """Digest of each section."""
        known = self._sections.digests(self.memory)
        known += [(f"population {p.declared.name}", p.digest()) for p in self.populations]
        if self.flexible is not None:
            known.append(("flexibility", self.flexible.digest(self.memory.situation.step)))
        return tuple(known)

    def snapshot(self) -> bytes:
        """All memory, canonical; with populations or flexibility, in front of theirs."""
        memory = encode(self.memory)
        parts = [memory, *(p.snapshot() for p in self.populations)]
        if self.flexible is not None:
            parts.append(self.flexible.snapshot())
        return packed(parts)

    def restore(self, data: bytes) -> None:
        """The inverse of `snapshot`. Raises ScowlError if the bytes do not fit this region."""
        parts = unpacked(data)
        expected = len(self.populations) + (self.flexible is not None)
        if len(parts) != 1 + expected:
            raise CodecError(f"restore: {len(parts) - 1} parts beside the memory, where {expected} are configured")
        self.memory = decode(Memory, parts[0])
        for population, part in zip(self.populations, parts[1:], strict=False):
            population.restore(part)
        if self.flexible is not None:
            self.flexible.restore(parts[-1])
        self.ledger = Ledger(self.site, self.memory.ledger)
        self._steered = False

    def adopt(self, old: Core) -> None:
        """Carries over from another configuration's core what has a name in both: modes, what people ordered, values
        first found, and how often registers were written.

        Targets are not carried over: the devices are read first, and decisions start from what they show.
        """
        before, memory = old.memory, self.memory
        if before.situation.mode.who != "configuration":
            memory.situation.mode = copy.deepcopy(before.situation.mode)
        memory.situation.last_mono_at = before.situation.last_mono_at
        memory.situation.last_utc_ms = before.situation.last_utc_ms
        modes = {d.name: before.situation.device_modes[i] for i, d in enumerate(old.site.devices)}
        for i, d in enumerate(self.site.devices):
            if d.name in modes and modes[d.name].who != "configuration":
                memory.situation.device_modes[i] = copy.deepcopy(modes[d.name])
        known = {(old.site.devices[a.device].name, a.verb): before.ledger[i] for i, a in enumerate(old.site.actuators)}
        for i, a in enumerate(self.site.actuators):
            if (entry := known.get((self.site.devices[a.device].name, a.verb))) is not None:
                memory.ledger[i].carry(entry)
        people.adopt(self.site, memory, old.site, before)
        known_populations = {p.declared: p for p in old.populations}
        for population in self.populations:
            if (same := known_populations.get(population.declared)) is not None:
                population.restore(same.snapshot())
        if self.flexible is not None and old.flexible is not None:
            self.flexible.adopt(old.flexible)
        memory.situation.events = before.situation.events
        memory.events = copy.deepcopy(before.events)

    def work(self, ask: Ask) -> object | None:
        """What a worker is to work on; None if nobody waits for it any more."""
        return None if self.flexible is None else self.flexible.work(ask)

    @property
    def rulings(self) -> tuple[Ruling | None, ...]:
        """What the arbiter decided in the last step, by actuator."""
        return tuple(self._rulings)

    def view(self) -> RegionView | None:
        """The region for people; None before the first step."""
        if self._seen is None or self._tick is None:
            return None
        return portrait(
            self.site,
            self.memory,
            self.tracker,
            self._seen,
            self._forest,
            self._rulings,
            self._tick,
            self.conservation_error_w,
            tuple(p.view(self.memory.situation.stray_rows.get(p.declared.name, 0)) for p in self.populations),
            self.flexible.view(self._tick) if self.flexible is not None else None,
        )

    def flex_appliance(self, esa_id: str) -> FlexApplianceView | None:
        """One appliance of flexibility for people; None if nobody knows it."""
        if self.flexible is None or self._tick is None:
            return None
        return self.flexible.appliance(esa_id, self._tick)
