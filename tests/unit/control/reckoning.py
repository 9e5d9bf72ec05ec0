"""Loads, promises and shortages worked out once more, from the readings and the decisions alone."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from driving import Known, Moment, chain

from scowl_edge.capacity import Book, Pledge, ShedState
from scowl_edge.control.memory import Decided
from scowl_edge.model.site import NONE, PPM, BusKind, Consumer, Generator, RatingKind, Site, Storage

Party = Generator | Consumer | Storage
PHASES = range(3)
SETTLED_W = 100
LOWER_RUNGS = ("lift-curtailment", "stop-storing", "raise-continuous", "discharge-storage", "start-fixed")
HURTFUL = ("shed-asked", "limited", "starve")
"""Reason codes of what takes load from people, with the scope's name as first argument."""


def parties(site: Site) -> list[Party]:
    return [*site.generators, *site.consumers, *site.storages]


def party_of(site: Site) -> dict[int, Party]:
    return {p.device: p for p in parties(site)}


def net_w(known: Known, party: Party) -> int:
    """Signed power as it was last told; a generator never consumes."""
    value = known.get(party.power)
    return min(0, value) if isinstance(party, Generator) else value


def per_phase(watts: int, party: Party, phases: int, factor: bool = True) -> list[Fraction]:
    """Exact VA that a change of a party's power makes on each phase of a rating."""
    mask = 1 if phases == 1 else party.phases
    count = mask.bit_count()
    size = Fraction(watts * (PPM if factor else 1), count * (party.power_factor_ppm if factor else 1))
    return [size if mask >> p & 1 else Fraction(0) for p in PHASES]


def rating_fresh(site: Site, known: Known, r: int) -> bool:
    """Whether the flow through a rating is measured and fresh; without a meter, whether all below it is."""
    rating = site.ratings[r]
    if rating.power == NONE:
        return all(known.fresh(p.power) for p in parties(site) if r in chain(site, p.rating))
    currents = [s for s in rating.currents if s != NONE]
    ever = currents and all(known.ever(s) for s in currents)
    return known.fresh(rating.power) and (not ever or all(known.fresh(s) for s in currents))


def rating_load(site: Site, known: Known, r: int) -> list[Fraction]:
    """Signed VA a phase, from the meter; without one, from all that is known below."""
    rating = site.ratings[r]
    count = 1 if rating.phases == 1 else 3
    if rating.power == NONE:
        total = [Fraction(rating.residue_w, count)] * 3
        for p in parties(site):
            if r in chain(site, p.rating):
                total = [a + b for a, b in zip(total, per_phase(net_w(known, p), p, rating.phases), strict=True)]
    else:
        power = known.get(rating.power)
        currents = [s for s in rating.currents if s != NONE]
        if currents and all(known.ever(s) for s in currents):
            sign = -1 if power < 0 else 1
            total = [Fraction(sign * (known.get(s) * rating.voltage_mv // PPM)) for s in currents]
            total += [Fraction(0)] * (3 - len(total))
        else:
            total = [Fraction(power, count)] * 3
    return total if count == 3 else [total[0]] * 3


def limit_va(site: Site, r: int, *, export: bool) -> int | None:
    """Per phase less its margin; None = unlimited."""
    rating = site.ratings[r]
    limit = rating.export_va if export else rating.import_va
    return None if limit < 0 else limit * (PPM - rating.margin_ppm) // PPM


def measured_ms(site: Site, known: Known, area_rating: int) -> int:
    """When the flow that an area is judged by was last measured; now, where it is added up from its members."""
    if area_rating == NONE:
        return known.now_ms
    rating = site.ratings[area_rating]
    times = [known.received_ms[s] for s in (rating.power, *rating.currents) if known.ever(s)]
    return min(times, default=known.now_ms)


def net_w_at(known: Known, party: Party, at_ms: int) -> int:
    """Signed power as a meter read at that time could have seen it."""
    value = known.at(party.power, at_ms)
    return min(0, value) if isinstance(party, Generator) else value


def standing(book: Book, known: Known, site: Site) -> dict[int, Pledge]:
    """The promises that are still on their way: neither arrived nor overdue."""
    of = party_of(site)
    return {
        device: p
        for device, p in book.pledges.items()
        if known.now_ms < p.deadline_at and abs(p.remaining_w(net_w(known, of[device]))) > SETTLED_W
    }


def pledged_rise(site: Site, known: Known, moment: Moment, r: int, device: int, *, export: bool) -> list[Fraction]:
    """VA a phase that standing promises add to a rating in one direction; what they take away is no room.

    What was forced in the same step counts only for its own device: relief that is asked of consumers is no export, and
    what has to give way to an export limit is no increase.
    """
    forced = {d.device for d in moment.decisions if d.reason.code == "too-much"} - {device}
    # A store at its floor stops by itself, whatever is asked of it.
    forced |= {d.device for d in moment.decisions if d.rung == "sleep"}
    total = [Fraction(0)] * 3
    of = party_of(site)
    for device, pledge in moment.book.pledges.items():
        party = of[device]
        if r not in chain(site, party.rating) or party.device in forced or (export and isinstance(party, Consumer)):
            continue
        rest = pledge.remaining_w(net_w(known, party))
        if (rest > 0 and not export) or (rest < 0 and export):
            spread = per_phase(abs(rest), party, site.ratings[r].phases)
            total = [a + b for a, b in zip(total, spread, strict=True)]
    return total


@dataclass
class Area:
    """What one shortage is about: a rating, or a bus with or without a grid connection."""

    name: str
    bus: int | None
    rating: int
    members: list[Party]
    margin_ppm: int
    phases: int


def areas(site: Site) -> dict[str, Area]:
    """By name, as the reasons of decisions name them."""
    found: dict[str, Area] = {}
    grids = [
        next((i for i, r in enumerate(site.ratings) if r.kind is RatingKind.GRID and r.bus == b), NONE)
        for b in range(len(site.buses))
    ]
    for i, rating in enumerate(site.ratings):
        if i not in grids:
            inside = [p for p in parties(site) if i in chain(site, p.rating)]
            found[rating.name] = Area(rating.name, None, i, inside, 0, rating.phases)
    for b, bus in enumerate(site.buses):
        grid = grids[b]
        name = site.ratings[grid].name if grid != NONE else f"bus {bus.name}"
        phases = site.ratings[grid].phases if grid != NONE else 1
        inside = [p for p in parties(site) if p.bus == b]
        found[name] = Area(name, b, grid, inside, site.policy.margin_ppm, phases)
    return found


def measured_excess(site: Site, known: Known, area: Area) -> list[Fraction] | None:
    """What is too much on each phase before any promise; None where nothing limits it."""
    given = sum(max(0, -net_w(known, p)) for p in area.members if not isinstance(p, Consumer))
    if area.rating == NONE:
        drawn = sum(net_w(known, p) for p in area.members if isinstance(p, Consumer))
        drawn += sum(max(0, net_w(known, p)) for p in area.members if isinstance(p, Storage))
        return [Fraction(drawn - given * (PPM - area.margin_ppm) // PPM)] * 3
    limit = limit_va(site, area.rating, export=False)
    if limit is None:
        return None
    reserve = ceil(Fraction(given * area.margin_ppm // PPM, area.phases)) if area.bus is not None else 0
    return [x - limit + reserve for x in rating_load(site, known, area.rating)]


def evident(site: Site, known: Known, area: Area) -> bool:
    """Whether what it measures is fresh enough to hurt somebody for."""
    if area.rating != NONE:
        return rating_fresh(site, known, area.rating)
    return all(known.fresh(p.power) for p in area.members if isinstance(p, Generator)) and any(
        known.fresh(p.power) for p in area.members if isinstance(p, Consumer)
    )


class Shortage:
    """What one area still lacks within the ride-through, followed from decision to decision."""

    def __init__(self, site: Site, known: Known, area: Area, moment: Moment) -> None:
        self.site, self.known, self.area, self.moment = site, known, area, moment
        self.of = party_of(site)
        self.asked: dict[int, int] = {}
        """W that devices were asked to give up in this step."""
        excess = measured_excess(site, known, area)
        assert excess is not None, f"{area.name} is unlimited, so it cannot be short"
        band = ceil(Fraction(site.policy.dead_band_w, area.phases))
        self.final = [x + band for x in excess]
        self.soon = list(self.final)
        self.slack = 10 * len(area.members) + 20
        deciding = {d.device for d in moment.decisions if d.rung in (*LOWER_RUNGS, "shed", "starve")}
        before, after = standing(moment.book_before, known, site), moment.book.pledges
        until = known.now_ms + site.policy.ride_through_ms
        self.measured_ms = measured_ms(site, known, area.rating)
        for p in area.members:
            pledge = (before if p.device in deciding else after).get(p.device)
            if pledge is not None:
                now = net_w_at(known, p, self.measured_ms)
                self._add(p, pledge.remaining_w(now), pledge.within_w(now, known.now_ms, until))
        for c, shed in moment.book.sheds.items():
            con = site.consumers[c]
            if con not in area.members or con.device in deciding:
                continue
            if shed.state is ShedState.ASKED:
                self._relieve(con, max(0, shed.requested_w - shed.granted_w))
            elif shed.state is ShedState.GRANTED and not shed.failed and known.now_ms < shed.judged_at:
                seen = max(0, min(shed.granted_w, shed.base_w - net_w_at(known, con, self.measured_ms)))
                self._relieve(con, shed.granted_w - seen)

    def _add(self, party: Party, final_w: int, soon_w: int) -> None:
        usable = 1 if isinstance(party, Consumer) else Fraction(PPM - self.area.margin_ppm, PPM)
        for amounts, watts in ((self.final, final_w), (self.soon, soon_w)):
            size = watts * usable if watts < 0 else Fraction(watts)
            count = 1 if self.area.phases == 1 else party.phases.bit_count()
            factor = 1 if watts < 0 or self.area.phases == 1 else Fraction(PPM, party.power_factor_ppm)
            for p in PHASES:
                if self.area.phases == 1 or party.phases >> p & 1:
                    amounts[p] += size * factor / count

    def _relieve(self, party: Party, watts: int) -> None:
        count = 1 if self.area.phases == 1 else party.phases.bit_count()
        for p in PHASES:
            if self.area.phases == 1 or party.phases >> p & 1:
                self.final[p] -= Fraction(watts, count)
                self.soon[p] -= Fraction(watts, count)

    def on(self, party: Party) -> Fraction:
        """Relief in W that a party would have to give, at most."""
        mask = 7 if self.area.phases == 1 else party.phases
        count = 1 if self.area.phases == 1 else party.phases.bit_count()
        return max(max(self.final[p], self.soon[p]) for p in PHASES if mask >> p & 1) * count

    def final_on(self, party: Party) -> Fraction:
        """The same once everything promised has come."""
        mask = 7 if self.area.phases == 1 else party.phases
        count = 1 if self.area.phases == 1 else party.phases.bit_count()
        return max(self.final[p] for p in PHASES if mask >> p & 1) * count

    def follow(self, decision: Decided) -> None:
        """Takes in one more decision of the step."""
        party = self.of.get(decision.device)
        if party is None or party not in self.area.members:
            return
        if decision.rung in LOWER_RUNGS:
            change = -abs(decision.amount_w)
            soon = -min(abs(decision.amount_w), self._in_time(party))
            if decision.rung == "stop-storing":
                usable = Fraction(PPM, PPM - self.area.margin_ppm) if self.area.margin_ppm < PPM else Fraction(1)
                self._add(party, ceil(change * usable), ceil(soon * usable))
            else:
                self._add(party, change, soon)
        elif decision.rung == "shed":
            self._relieve(party, decision.amount_w)
            self.asked[decision.device] = decision.amount_w
        elif decision.rung == "starve":
            # What it was asked in this very step is part of what it loses.
            self._relieve(party, -decision.amount_w - self.asked.get(decision.device, 0))

    def _in_time(self, party: Party) -> int:
        horizon = self.site.policy.ride_through_ms
        power = net_w(self.known, party)
        delay = 0
        if isinstance(party, Generator) and power == 0:
            delay = party.start_ms
        elif isinstance(party, Storage) and power > 0:
            delay = party.dead_time_ms
        ramp = 0 if isinstance(party, Consumer) else party.ramp_w_s
        if delay > horizon:
            return 0
        return ramp * (horizon - delay) // 1000 if ramp else 1 << 40


def protected(consumer: Consumer) -> bool:
    return consumer.klass == 0 or not consumer.interruptible


def on_separate_bus(site: Site, consumer: Consumer) -> bool:
    return site.buses[consumer.bus].kind is BusKind.SEPARATE
