"""What the ratings of the site leave for appliances: their limits less all that is no appliance, as it is now.

Where a meter shows what flows, everything else is taken to stay as it is (persistence): the flow less what appliances
take. That is what their own meters show, or what they last reported; one that does not run takes nothing, and one that
runs and reports nothing may take what is expected of it, or nothing. Where the meter is silent, it is the worse of its
last word and of all that is declared to hang there. Where there is none, the devices below are added up, each at its
own meter, or at its rating if that is silent; appliances that connect are in no such sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scowl_edge.capacity import RatingTree
from scowl_edge.capacity.ratings import PhaseLoad, spread_va
from scowl_edge.control.relief import ALL_PHASES, RECENT_MS, Hanging, reported_w
from scowl_edge.dsr.forecast import Outlook
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.provider import Provider
from scowl_edge.dsr.room import EVERYWHERE, UNBOUNDED_W, Place, Room
from scowl_edge.model.exchange import Running
from scowl_edge.model.part import ProviderPart
from scowl_edge.model.site import NONE, PPM, Site
from scowl_edge.tracker.observe import Observation
from scowl_edge.tracker.steering import OFFER_POWER_FACTOR_PPM


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hanging:
    """A device below a rating."""

    device: int
    rating: int
    phases: int
    power_factor_ppm: int
    power: int
    """Signal."""
    most_w: int
    """Declared, + consumption."""
    least_w: int


class Rooms:
    """The shape of a site, frozen; `room` is what it leaves at a moment."""

    def __init__(self, site: Site, driven: Mapping[str, int]) -> None:
        """`driven` has the device of each appliance that is one of this site."""
        self.site, self.tree, self.driven = site, RatingTree(site), driven
        self.region = bool(site.ratings or site.generators or site.consumers or site.storages)
        """Whether anything is balanced here, so that appliances hang in a region."""
        self._hanging = [
            *(
                _Hanging(
                    device=g.device, rating=g.rating, phases=g.phases, power_factor_ppm=g.power_factor_ppm,
                    power=g.power, most_w=0, least_w=-g.rated_w,
                )
                for g in site.generators
            ),
            *(
                _Hanging(
                    device=c.device, rating=c.rating, phases=c.phases, power_factor_ppm=c.power_factor_ppm,
                    power=c.power, most_w=c.rated_w, least_w=0,
                )
                for c in site.consumers
            ),
            *(
                _Hanging(
                    device=s.device, rating=s.rating, phases=s.phases, power_factor_ppm=s.power_factor_ppm,
                    power=s.power, most_w=s.charge_w, least_w=-s.discharge_w,
                )
                for s in site.storages
            ),
        ]  # fmt: skip
        self._power = {hanging.device: hanging.power for hanging in self._hanging}
        self._at = {hanging.device: hanging.rating for hanging in self._hanging}
        own = set(driven.values())
        self._others: list[list[_Hanging]] = [[] for _ in site.ratings]
        """By rating: all below that are no appliances."""
        for hanging in self._hanging:
            for rating in self.tree.chain(hanging.rating) if hanging.device not in own else ():
                self._others[rating].append(hanging)

    def shape(self, part: ProviderPart) -> Room:
        """Who hangs where; nothing bounds anybody."""
        own = {f"esa:{esa_id}": self._at[d] for esa_id, d in self.driven.items() if self._at.get(d, NONE) != NONE}
        return Room(
            places=tuple(
                Place(name=r.name, within=r.within, upper_w=UNBOUNDED_W, lower_w=-UNBOUNDED_W)
                for r in self.site.ratings
            ),
            below=own | dict(part.below),
            rest=part.rating,
        )

    def hanging(self, part: ProviderPart) -> Hanging:
        """The same for the book of commitments."""
        return Hanging(room=self.shape(part), devices=self.driven, region=self.region)

    def room(self, part: ProviderPart, provider: Provider, seen: Observation, now: Now) -> Room:
        """What is left now; nothing bounds anybody where the site has no ratings."""
        if not self.site.ratings:
            return EVERYWHERE
        shape = self.shape(part)
        least_w, most_w = self._taken(shape, provider, seen, now)
        places = []
        for rating, place in enumerate(shape.places):
            most_va, least_va = self._else(rating, seen, least_w[rating], most_w[rating])
            places.append(
                Place(
                    name=place.name,
                    within=place.within,
                    upper_w=self._room_w(rating, self.tree.import_limit_va(rating), most_va),
                    lower_w=-self._room_w(rating, self.tree.export_limit_va(rating), [-va for va in least_va]),
                )
            )
        return Room(places=tuple(places), below=shape.below, rest=shape.rest)

    def _taken(self, room: Room, provider: Provider, seen: Observation, now: Now) -> tuple[list[int], list[int]]:
        """Least and most W that the appliances below each rating may take now."""
        least, most = [0] * len(room.places), [0] * len(room.places)
        wall_ms = provider.clock.read(now)
        utc_ms = now.utc_ms if wall_ms is None else wall_ms
        outlook = provider.outlook()
        for esa_id, place in provider.places(room).items():
            if place == NONE:
                continue
            device = self.driven.get(esa_id, NONE)
            if device != NONE and seen.received_ms(self._power[device]) >= 0:
                low_w = high_w = seen.net_w(device)
            else:
                low_w, high_w = _told(provider, outlook, esa_id, utc_ms)
            for rating in room.chain(place):
                least[rating] += low_w
                most[rating] += high_w
        return least, most

    def _else(self, rating: int, seen: Observation, least_w: int, most_w: int) -> tuple[PhaseLoad, PhaseLoad]:
        """Most and least that flows through a rating for all that is no appliance, in VA on each phase."""
        r = self.site.ratings[rating]
        meters = [s for s in (r.power, *r.currents) if s != NONE]
        if not meters:
            most, least = self._declared(rating, seen)
            return _plus(most, _spread(r.residue_w, r.phases)), _plus(least, _spread(r.residue_w, r.phases))
        flow = seen.ratings.load_va[rating]
        if all(seen.known(s) for s in meters):
            return _plus(flow, _spread(-least_w, r.phases)), _plus(flow, _spread(-most_w, r.phases))
        most, least = self._declared(rating, None)
        if any(seen.received_ms(s) >= 0 for s in meters):
            most = [max(pair) for pair in zip(most, flow, strict=True)]
            least = [min(pair) for pair in zip(least, flow, strict=True)]
        return most, least

    def _declared(self, rating: int, seen: Observation | None) -> tuple[PhaseLoad, PhaseLoad]:
        """Most and least of all devices below that are no appliances: what they are rated for, unless it is seen."""
        phases = self.site.ratings[rating].phases
        most, least = [0, 0, 0], [0, 0, 0]
        for h in self._others[rating]:
            up_w, down_w = h.most_w, h.least_w
            if seen is not None and seen.known(h.power):
                up_w = down_w = seen.net_w(h.device)
            most = _plus(most, spread_va(up_w, h.phases, h.power_factor_ppm, phases))
            least = _plus(least, spread_va(down_w, h.phases, h.power_factor_ppm, phases))
        return most, least

    def _room_w(self, rating: int, limit_va: int, flow_va: PhaseLoad) -> int:
        """W that appliances, spread over all phases, may add on top of a flow; the fullest phase decides."""
        if limit_va < 0:
            return UNBOUNDED_W
        phases = self.tree.phase_range(rating)
        room_w = min(limit_va - flow_va[p] for p in phases) * len(phases) * OFFER_POWER_FACTOR_PPM // PPM
        # What a broken meter tells must not become a number that nobody can reckon with.
        return max(-UNBOUNDED_W, min(UNBOUNDED_W, room_w))


def _told(provider: Provider, outlook: Outlook, esa_id: str, utc_ms: int) -> tuple[int, int]:
    """Least and most that an appliance takes now, by its own word."""
    if provider.mirrors[esa_id].running is not Running.RUNNING:
        return 0, 0
    said_w = reported_w(provider, esa_id, utc_ms - RECENT_MS)
    if said_w is not None:
        return said_w, said_w
    expected_w = outlook.expected(esa_id).power_w(utc_ms) or 0
    return min(0, expected_w), max(0, expected_w)


def _spread(power_w: int, phases: int) -> PhaseLoad:
    return spread_va(power_w, ALL_PHASES, PPM, phases)


def _plus(one: PhaseLoad, other: PhaseLoad) -> PhaseLoad:
    return [a + b for a, b in zip(one, other, strict=True)]
