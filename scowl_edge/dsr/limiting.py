"""The limit controller of an appliance or a site: it keeps limits, and falls back when whoever sets them is silent.

In the manner of EEBUS LPC. A limit is taken only from somebody who just proved to be alive; silence leads to the
fail-safe value, and a long silence to the autonomous one, which is the fail-safe value again unless the configuration
says otherwise. Limits of class SAFETY and CONTRACT are kept apart, for the arbiter ranks them apart.

```
            limit, alive                    120 s silent
    INIT ───────────────▶ LIMITED ◀──▶ UNLIMITED ──────▶ FAILSAFE
      │ 120 s                ▲             ▲                │ failsafe_min, or 120 s alive without a limit
      └────────▶ AUTONOMOUS ─┴─────────────┘ ◀──────────────┘
```
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.model.exchange import Code, Limit
from scowl_edge.model.flexibility import LimitClass, LimitState

PROOF_MS = 60_000
"""A limit counts only so long after a heartbeat."""
SILENCE_MS = 120_000
"""So long without a heartbeat is a dead line; so long alive without a limit is nobody who wants to set one."""
_BLIND = (LimitState.INIT, LimitState.FAILSAFE, LimitState.AUTONOMOUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What holds when nobody sets limits; from the site's configuration, without defaults for the fail-safe value."""

    failsafe_p_upper_w: int
    failsafe_p_lower_w: int
    """At most 0."""
    failsafe_min_s: int = 7_200
    autonomous_p_upper_w: int | None = None
    """None: as the fail-safe value."""
    autonomous_p_lower_w: int | None = None
    autonomous_unlimited: bool = False
    """True: no bound at all while autonomous; only where the configuration says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A bound of power and the class it stands in; None: no bound on that side."""

    klass: LimitClass
    p_lower_w: int | None
    p_upper_w: int | None
    why: LimitState
    """LIMITED: somebody's limit; else the state whose value it is."""
    limit_id: str = ""

    def clip(self, power_w: int) -> int:
        """The nearest power inside."""
        if self.p_lower_w is not None and power_w < self.p_lower_w:
            power_w = self.p_lower_w
        if self.p_upper_w is not None and power_w > self.p_upper_w:
            power_w = self.p_upper_w
        return power_w


@dataclass(slots=True, kw_only=True)
class Held:
    """A limit in force."""

    limit: Limit
    since_mono_ms: int
    from_upper_w: int
    """Where a ramp begins."""
    from_lower_w: int

    def envelope(self, now: Now) -> Envelope:
        """Its bounds now, on the way along the ramp if it has one."""
        limit, way_w = self.limit, None
        if limit.ramp_w_per_s is not None:
            way_w = limit.ramp_w_per_s * max(0, now.mono_ms - self.since_mono_ms) // 1_000
        return Envelope(
            klass=limit.klass,
            p_lower_w=_approached(self.from_lower_w, limit.p_lower_w, way_w),
            p_upper_w=_approached(self.from_upper_w, limit.p_upper_w, way_w),
            why=LimitState.LIMITED,
            limit_id=limit.limit_id,
        )

    def ends_mono_ms(self) -> int | None:
        """None: until it is replaced."""
        return None if self.limit.dur_s is None else self.since_mono_ms + 1_000 * self.limit.dur_s


def _approached(start_w: int, target_w: int | None, way_w: int | None) -> int | None:
    if target_w is None or way_w is None:
        return target_w
    return max(target_w, start_w - way_w) if target_w <= start_w else min(target_w, start_w + way_w)


@dataclass(slots=True, kw_only=True)
class Limiting:
    """State of one limit controller, with what it decides."""

    fallback: Fallback
    state: LimitState = LimitState.INIT
    since_mono_ms: int
    """When `state` was entered."""
    safety: Held | None = None
    contract: Held | None = None
    heard_mono_ms: int | None = None
    """Last heartbeat."""
    alive_since_mono_ms: int | None = None
    """First of an unbroken row of heartbeats, since the state was entered."""
    failsafe_until_mono_ms: int | None = None
    """End of the fail-safe time, while in FAILSAFE."""
    entries: dict[str, int] = field(default_factory=dict)
    """How often each state was entered, for whoever watches."""

    @property
    def limits(self) -> tuple[Held, ...]:
        """In force, the higher class first."""
        return tuple(h for h in (self.safety, self.contract) if h is not None)

    def heartbeat(self, now: Now) -> None:
        """Whoever sets limits is alive."""
        self.advance(now)
        if (
            self.heard_mono_ms is None
            or now.mono_ms - self.heard_mono_ms >= SILENCE_MS
            or self.alive_since_mono_ms is None
        ):
            self.alive_since_mono_ms = now.mono_ms
        self.heard_mono_ms = now.mono_ms

    def alive(self, now: Now, within_ms: int = SILENCE_MS) -> bool:
        """Whether a heartbeat came within the time."""
        return self.heard_mono_ms is not None and now.mono_ms - self.heard_mono_ms < within_ms

    def limit(self, limit: Limit, p_now_w: int, now: Now) -> Code | None:
        """Takes a limit, or says why not.

        Args:
            limit: Replaces the one of its class, or lifts it.
            p_now_w: Power now, where a ramp begins.
            now: When it came.
        """
        self.advance(now)
        if self.state in _BLIND and not self.alive(now, PROOF_MS):
            return Code.LINK_LOST
        held = None
        if limit.active:
            if (fault := _fault(limit)) is not None:
                return fault
            before = self.safety if limit.klass is LimitClass.SAFETY else self.contract
            if before is not None and before.limit == limit:
                # Told again: its ramp goes on from where it was, its time counts from now.
                now_in_force = before.envelope(now)
                upper, lower = now_in_force.p_upper_w, now_in_force.p_lower_w
                held = Held(
                    limit=limit,
                    since_mono_ms=now.mono_ms,
                    from_upper_w=p_now_w if upper is None else upper,
                    from_lower_w=p_now_w if lower is None else lower,
                )
            else:
                held = Held(limit=limit, since_mono_ms=now.mono_ms, from_upper_w=p_now_w, from_lower_w=p_now_w)
        if limit.klass is LimitClass.SAFETY:
            self.safety = held
        else:
            self.contract = held
        self._enter(LimitState.LIMITED if self.limits else LimitState.UNLIMITED, now)
        return None

    def self_protection(self, now: Now) -> tuple[Limit, ...]:
        """The device cannot keep to limits now without harm: they end. Gives those that were in force."""
        self.advance(now)
        ended = tuple(h.limit for h in self.limits)
        self.safety = self.contract = None
        if self.state is LimitState.LIMITED:
            self._enter(LimitState.UNLIMITED, now)
        return ended

    def advance(self, now: Now) -> None:
        """What time alone brings about."""
        if self.state in (LimitState.UNLIMITED, LimitState.LIMITED) and not self.alive(now):
            self._blind(self.fallback.failsafe_min_s * 1_000, now)
        if self.state is LimitState.LIMITED:
            self.safety, self.contract = _unended(self.safety, now), _unended(self.contract, now)
            if not self.limits:
                self._enter(LimitState.UNLIMITED, now)
        if (self.state is LimitState.INIT and now.mono_ms - self.since_mono_ms >= SILENCE_MS) or (
            self.state is LimitState.FAILSAFE
            and (
                (self.failsafe_until_mono_ms is not None and now.mono_ms >= self.failsafe_until_mono_ms)
                or self._alive_without_limit(now)
            )
        ):
            self._enter(LimitState.AUTONOMOUS, now)

    def restarted(self, restart: Restart, now: Now) -> None:
        """After a start with what was stored: blind until proof of life, for as long as was left of it.

        With an unknown pause the rest of the fail-safe time counts whole.
        """
        self.since_mono_ms += restart.mono_base_ms
        if self.failsafe_until_mono_ms is not None:
            self.failsafe_until_mono_ms += restart.mono_base_ms
        self.heard_mono_ms = self.alive_since_mono_ms = None
        if self.state in (LimitState.UNLIMITED, LimitState.LIMITED):
            self._blind(self.fallback.failsafe_min_s * 1_000, now)

    def envelopes(self, now: Now) -> tuple[Envelope, ...]:
        """Bounds in force by class, the higher class first; the own values count as SAFETY."""
        f = self.fallback
        if self.state in (LimitState.UNLIMITED, LimitState.LIMITED):
            return tuple(h.envelope(now) for h in self.limits)
        lower, upper = f.failsafe_p_lower_w, f.failsafe_p_upper_w
        if self.state is LimitState.AUTONOMOUS:
            if f.autonomous_unlimited:
                return ()
            lower = lower if f.autonomous_p_lower_w is None else f.autonomous_p_lower_w
            upper = upper if f.autonomous_p_upper_w is None else f.autonomous_p_upper_w
        return (Envelope(klass=LimitClass.SAFETY, p_lower_w=lower, p_upper_w=upper, why=self.state),)

    def wake_mono_ms(self, now: Now) -> int | None:
        """When time alone changes something next; ramps not counted."""
        times = [h.ends_mono_ms() for h in self.limits]
        if self.state in (LimitState.UNLIMITED, LimitState.LIMITED) and self.heard_mono_ms is not None:
            times.append(self.heard_mono_ms + SILENCE_MS)
        elif self.state is LimitState.INIT:
            times.append(self.since_mono_ms + SILENCE_MS)
        elif self.state is LimitState.FAILSAFE:
            times.append(self.failsafe_until_mono_ms)
            if self.alive_since_mono_ms is not None:
                times.append(self.alive_since_mono_ms + SILENCE_MS)
        return min((t for t in times if t is not None and t > now.mono_ms), default=None)

    def _alive_without_limit(self, now: Now) -> bool:
        since = self.alive_since_mono_ms
        return since is not None and now.mono_ms - since >= SILENCE_MS and self.alive(now, PROOF_MS)

    def _blind(self, for_ms: int, now: Now) -> None:
        self.safety = self.contract = None
        self._enter(LimitState.FAILSAFE, now)
        self.failsafe_until_mono_ms = now.mono_ms + for_ms

    def _enter(self, state: LimitState, now: Now) -> None:
        if state is self.state:
            return
        self.state, self.since_mono_ms = state, now.mono_ms
        self.failsafe_until_mono_ms = self.alive_since_mono_ms = None
        self.entries[state.value] = self.entries.get(state.value, 0) + 1


def _fault(limit: Limit) -> Code | None:
    """What makes a limit one that nobody could keep to."""
    upper, lower = limit.p_upper_w, limit.p_lower_w
    if upper is None:
        return Code.SCHEMA
    if (lower is not None and (lower > 0 or lower > upper)) or (limit.dur_s is not None and limit.dur_s <= 0):
        return Code.OUT_OF_BOUNDS
    if limit.ramp_w_per_s is not None and limit.ramp_w_per_s <= 0:
        return Code.OUT_OF_BOUNDS
    return None


def _unended(held: Held | None, now: Now) -> Held | None:
    ends = None if held is None else held.ends_mono_ms()
    return None if ends is not None and now.mono_ms >= ends else held
