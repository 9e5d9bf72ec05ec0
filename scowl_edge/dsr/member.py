"""One appliance of an energy manager: driven by the manager itself, or a node of its own behind a link."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.lifecycle import Life, Lifecycle
from scowl_edge.dsr.mirror import Mirror
from scowl_edge.model.exchange import Limit, Select
from scowl_edge.model.flexibility import LimitClass, LimitState, Mode, OfferSet

BLIND = (LimitState.INIT, LimitState.FAILSAFE, LimitState.AUTONOMOUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """What the user of an appliance lets others do."""

    modes: tuple[Mode, ...] = (Mode.ROUTINE, Mode.RESPONSE)
    """Services that it may be used for; none: offers are not handed on."""
    random_offset_max_s: int | None = None
    """Longest random delay; None: as the provider says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A limit that was asked for, and since when."""

    limit: Limit
    since_mono_ms: int

    def holds(self, now: Now) -> bool:
        """Whether its time is not over."""
        ends = self.ends_mono_ms()
        return ends is None or now.mono_ms < ends

    def ends_mono_ms(self) -> int | None:
        """None: until it is replaced."""
        return None if self.limit.dur_s is None else self.since_mono_ms + 1000 * self.limit.dur_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """To a share of what a site may draw, or may feed back."""

    most_w: int
    """Nameplate of that direction, 0 or above."""
    blind_w: int | None
    """What it may take while nobody can tell it anything; None where it hears us."""


@dataclass(slots=True, kw_only=True)
class Member:
    """State of one appliance at its manager."""

    esa_id: str
    life: Lifecycle
    mirror: Mirror
    appliance: Appliance | None = None
    """Where the manager itself drives the device."""
    node: str = ""
    """Address of one behind a link, `esa:...`."""
    settings: UserSettings = field(default_factory=UserSettings)
    bounds: dict[LimitClass, Bound] = field(default_factory=dict)
    """As the provider asked."""
    sent: dict[LimitClass, Limit] = field(default_factory=dict)
    """As last told to the appliance."""
    limits_again_mono_ms: int | None = None
    """It did not take one: then all are told again."""
    limit_state: LimitState = LimitState.INIT
    claim: tuple[Claim | None, Claim | None] = (None, None)
    """To consumption and production, as its share follows from; None: it has no nameplate."""
    share: dict[LimitClass, tuple[int | None, int | None]] | None = None
    """Of the site's bounds, by class: (lower, upper) in W; None: not given since its claim changed."""

    @property
    def reachable(self) -> bool:
        """Whether it hears us."""
        return self.appliance is not None or self.life.life not in (
            Life.UNREGISTERED,
            Life.AUTHENTICATING,
            Life.DETACHED,
            Life.DEREGISTERED,
        )

    def claims(self) -> tuple[Claim | None, Claim | None]:
        """To consumption and to production, as things stand."""
        register, init = self.life.register, self.mirror.init
        if register is None:
            return None, None
        up_w, down_w = max(0, register.p_max_w), max(0, -register.p_min_w)
        if self.reachable:
            return Claim(most_w=up_w, blind_w=None), Claim(most_w=down_w, blind_w=None)
        blind_up_w, blind_down_w = up_w, down_w
        if init is not None:
            blind_up_w = min(up_w, init.failsafe_p_upper_w)
            if init.failsafe_p_lower_w is not None:
                blind_down_w = min(down_w, -init.failsafe_p_lower_w)
        return Claim(most_w=up_w, blind_w=blind_up_w), Claim(most_w=down_w, blind_w=blind_down_w)

    def due_mono_ms(self) -> int | None:
        """When time alone brings something for it next; None: never, as things stand."""
        times = [self.life.due_mono_ms(), self.mirror.due_mono_ms()]
        if self.reachable:
            times += [self.limits_again_mono_ms, *(b.ends_mono_ms() for b in self.bounds.values())]
        return min((t for t in times if t is not None), default=None)

    def limits_refused(self) -> None:
        """While it goes by values of its own it keeps to no limit that it was told: it is told anew."""
        if self.limit_state in BLIND:
            self.sent.clear()

    def handed_on(self, offers: OfferSet) -> OfferSet:
        """Offers as the provider may know them: only for services that the user allows."""
        kept = []
        for offer in offers.offers:
            modes = tuple(m for m in offer.modes if m in self.settings.modes)
            if modes:
                kept.append(replace(offer, modes=modes))
        return replace(offers, offers=tuple(kept))

    def as_set(self, select: Select) -> Select:
        """A selection with the delay that the user wants."""
        wanted = self.settings.random_offset_max_s
        return select if wanted is None else replace(select, random_offset_max_s=wanted)

    def limits(self, site: dict[LimitClass, tuple[int | None, int | None]], now: Now) -> list[Limit]:
        """What has to be told so that it keeps to its own bounds and to its share of the site's.

        Args:
            site: By class: its share of the site's (lower, upper) in W; None where that side is not bounded.
            now: For limits whose time is over.
        """
        changed = []
        for klass in LimitClass:
            bound = self.bounds.get(klass)
            if bound is not None and not bound.holds(now):
                del self.bounds[klass]
                bound = None
            wanted = self._together(klass, bound, site.get(klass, (None, None)))
            if wanted is not None and self.sent.get(klass) != wanted:
                self.sent[klass] = wanted
                changed.append(wanted)
        return changed

    def _together(self, klass: LimitClass, bound: Bound | None, share: tuple[int | None, int | None]) -> Limit | None:
        lower_w, upper_w = share
        if bound is not None:
            upper_w = _least(upper_w, bound.limit.p_upper_w)
            lower_w = _most(lower_w, bound.limit.p_lower_w)
        active = upper_w is not None or lower_w is not None
        if not active and klass is LimitClass.CONTRACT and klass not in self.sent:
            # One inactive limit says that somebody is there; a second one would say nothing more.
            return None
        if active and upper_w is None:
            register = self.life.register
            upper_w = 0 if register is None else register.p_max_w
        name = "site" if bound is None else bound.limit.limit_id
        return Limit(
            limit_id=identity(self.esa_id, klass.value, name) if bound is None else name,
            esa_id=self.esa_id,
            active=active,
            klass=klass,
            p_upper_w=upper_w,
            p_lower_w=lower_w,
            ramp_w_per_s=None if bound is None else bound.limit.ramp_w_per_s,
        )


def narrowed(one: tuple[int | None, int | None], two: tuple[int | None, int | None]) -> tuple[int | None, int | None]:
    """The bounds (lower, upper) that keep to both."""
    return _most(one[0], two[0]), _least(one[1], two[1])


def _least(one: int | None, two: int | None) -> int | None:
    return two if one is None else one if two is None else min(one, two)


def _most(one: int | None, two: int | None) -> int | None:
    return two if one is None else one if two is None else max(one, two)
