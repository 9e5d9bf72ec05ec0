"""What the ratings of a site leave for appliances: as bounds of a plan, and as a last look before anybody is asked.

All that is no appliance is expected to stay as it is measured now (persistence); appliances take what they are
expected to take, slot by slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scowl_edge.dsr.planning import Cap
from scowl_edge.dsr.slotted import slot_powers
from scowl_edge.model.flexibility import Profile
from scowl_edge.model.profile import NANO, Timeline, nearest

UNBOUNDED_W = 1 << 40
"""Of a rating without a limit."""
NOWHERE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A rating as the appliances below it see it."""

    name: str
    within: int
    """Position of the place around it, which stands before it; `NOWHERE` for none."""
    upper_w: int
    """Most that all appliances below may take together while all else stays as it is."""
    lower_w: int
    """Least: below 0 where they may feed back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """All places of a site at one moment, and who is below which."""

    places: tuple[Place, ...] = ()
    below: Mapping[str, int] = field(default_factory=dict)
    """Node id of an appliance (`esa:...`) or of a manager (`cem:...`) -> innermost place."""
    rest: int = NOWHERE
    """Innermost place of everybody else."""

    def place(self, esa_id: str, cem: str) -> int:
        """Innermost place that an appliance is below; its own entry goes before that of its manager."""
        return self.below.get(f"esa:{esa_id}", self.below.get(cem, self.rest))

    def chain(self, place: int) -> list[int]:
        """A place and all around it, innermost first."""
        found = []
        while place != NOWHERE:
            found.append(place)
            place = self.places[place].within
        return found


EVERYWHERE = Room()
"""No rating bounds anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """A grid of time."""

    start_ms: int
    """UTC."""
    slot_ms: int
    count: int

    def means(self, course: Timeline) -> dict[int, int]:
        """Mean W of the slots in which a course says something; what it says nothing about is 0 W."""
        quanta: dict[int, int] = {}
        for segment in course.segments:
            first = max(0, (segment.start_ms - self.start_ms) // self.slot_ms)
            last = min(self.count - 1, (segment.end_ms - 1 - self.start_ms) // self.slot_ms)
            for slot in range(first, last + 1):
                begin = max(segment.start_ms, self.start_ms + slot * self.slot_ms)
                end = min(segment.end_ms, self.start_ms + (slot + 1) * self.slot_ms)
                quanta[slot] = quanta.get(slot, 0) + segment.quanta(begin, end)
        size = 2 * NANO * self.slot_ms
        return {slot: nearest(energy, size) for slot, energy in quanta.items()}

    def delayed(self, profile: Profile, start_ms: int, setpoints_w: Sequence[int], delay_s: int) -> dict[int, int]:
        """The same of a profile that begins up to `delay_s` late, each delay as likely as any other."""
        first, rest = divmod((start_ms - self.start_ms) // 1000, self.slot_ms // 1000)
        powers = slot_powers(profile.elements, rest, self.slot_ms // 1000, delay_s, setpoints_w)
        return {first + n: w for n, w in enumerate(powers) if 0 <= first + n < self.count}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An appliance that would do something else than it is expected to."""

    key: str
    place: int
    by_w: Mapping[int, int]
    """By slot, signed."""


def sums(room: Room, courses: Iterable[tuple[int, Timeline]], slots: Slots) -> list[list[int]]:
    """W by place and slot of courses, each given with its innermost place."""
    found = [[0] * slots.count for _ in room.places]
    for place, course in courses:
        if place != NOWHERE:
            for slot, power_w in slots.means(course).items():
                found[place][slot] += power_w
    for place in range(len(room.places) - 1, -1, -1):
        around = room.places[place].within
        if around != NOWHERE:
            for slot, power_w in enumerate(found[place]):
                found[around][slot] += power_w
    return found


def caps(room: Room, below: Sequence[int], fixed_w: Sequence[Sequence[int]]) -> tuple[tuple[Cap, ...], tuple[int, ...]]:
    """What is left for those who may be chosen, by slot: bounds with somebody below, outer ones first.

    Args:
        room: All places.
        below: Innermost place of each who may be chosen.
        fixed_w: What is expected of appliances that cannot be changed, by place and slot.

    Returns:
        (bounds, innermost bound of each who may be chosen).
    """
    used = {p for place in set(below) for p in room.chain(place)}
    found: list[Cap] = []
    position = {NOWHERE: NOWHERE}
    for number, place in enumerate(room.places):
        if number not in used or (place.upper_w >= UNBOUNDED_W and place.lower_w <= -UNBOUNDED_W):
            # Whoever is below it is next below what is around it.
            position[number] = position[place.within]
            continue
        position[number] = len(found)
        found.append(
            Cap(
                name=place.name,
                within=position[place.within],
                upper_w=tuple(place.upper_w - w for w in fixed_w[number]),
                lower_w=tuple(place.lower_w - w for w in fixed_w[number]),
            )
        )
    return tuple(found), tuple(position[p] for p in below)


def crowded(room: Room, before_w: Sequence[Sequence[int]], changes: Sequence[Change]) -> dict[str, str]:
    """Changes to leave out so that no place goes beyond its bounds, or farther beyond them than it is anyway.

    Inner places come first, and those that weigh most where it is too much. Nobody left in means nothing changes, so
    there is always an answer.

    Args:
        room: The bounds.
        before_w: What all appliances are expected to take now, by place and slot.
        changes: What is wanted.

    Returns:
        Key of each change to leave out -> name of the place that it does not fit into.
    """
    after = [list(row) for row in before_w]
    kept = {change.key: change for change in changes}
    below: dict[int, list[str]] = {}
    for change in changes:
        for place in room.chain(change.place):
            below.setdefault(place, []).append(change.key)
            _add(after[place], change, 1)
    out: dict[str, str] = {}
    clean = False
    while not clean:
        clean = True
        for place in sorted(below, reverse=True):
            bounds, row, was = room.places[place], after[place], before_w[place]
            for slot in range(len(row)):
                over = row[slot] - max(bounds.upper_w, was[slot])
                under = min(bounds.lower_w, was[slot]) - row[slot]
                if over <= 0 and under <= 0:
                    continue
                sign = 1 if over > 0 else -1
                weights = [(sign * kept[k].by_w.get(slot, 0), k) for k in below[place] if k in kept]
                for weight, key in sorted(weights, key=lambda w: (-w[0], w[1])):
                    if max(over, under) <= 0 or weight <= 0:
                        break
                    change = kept.pop(key)
                    out[key] = bounds.name
                    for around in room.chain(change.place):
                        _add(after[around], change, -1)
                    over, under = over - weight, under - weight
                clean = False
    return out


def _add(row: list[int], change: Change, sign: int) -> None:
    for slot, power_w in change.by_w.items():
        row[slot] += sign * power_w
