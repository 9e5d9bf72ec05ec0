"""The life cycle of an appliance at its energy manager, from registration to its end; a provider keeps a copy.

```
    UNREGISTERED ─▶ AUTHENTICATING ─▶ REGISTERED ─▶ INITIALISING ─▶ NORMAL ◀─▶ OPTED_OUT, SUSPENDED, DETACHED
                                                                      └──────▶ DEREGISTERED (from any)
```
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.model.exchange import (
    Body,
    Code,
    Deregister,
    InitDone,
    Outcome,
    Override,
    Register,
    RegisterResult,
    Report,
    ReportKind,
    Running,
    State,
)
from scowl_edge.model.flexibility import OfferSet, OverrideScope

AUTHENTICATE_MS = 30_000
INIT_MS = 120_000
SUSPENDED_ALARM_MS = 86_400_000
MOST_WAIT_MS = 300_000
"""Longest that one who fails to authenticate is kept waiting."""
_OUT = (OverrideScope.GRID, OverrideScope.ALL)


class Life(StrEnum):
    """Where an appliance stands."""

    UNREGISTERED = "UNREGISTERED"
    AUTHENTICATING = "AUTHENTICATING"
    REGISTERED = "REGISTERED"
    INITIALISING = "INITIALISING"
    NORMAL = "NORMAL"
    OPTED_OUT = "OPTED_OUT"
    SUSPENDED = "SUSPENDED"
    DETACHED = "DETACHED"
    DEREGISTERED = "DEREGISTERED"


_IN_SERVICE = (Life.NORMAL, Life.OPTED_OUT, Life.SUSPENDED)


class Concern(StrEnum):
    """What should be shown to somebody."""

    DATA_STALE = "DATA_STALE"
    """No report for more than two intervals."""
    SUSPENDED_LONG = "SUSPENDED_LONG"
    """Faulty for a day."""


@dataclass(slots=True, kw_only=True)
class Lifecycle:
    """State of one appliance's registration."""

    esa_id: str
    life: Life = Life.UNREGISTERED
    since_mono_ms: int = 0
    register: Register | None = None
    failures: int = 0
    """Authentications that failed in a row."""
    retry_mono_ms: int = 0
    """Registrations are refused until then."""
    settled: bool = False
    """`init` was answered."""
    described: bool = False
    """An offer set or a forecast came since `init`, an opt-out or a lost link."""
    known_state: bool = False
    """The appliance said what it does since the link was lost."""
    fault: bool = False
    opted_out: bool = False
    code: Code | None = None
    """Why it fell back last."""
    reported_mono_ms: int = 0

    @property
    def selectable(self) -> bool:
        """Whether selections make sense."""
        return self.life is Life.NORMAL

    def asked(self, register: Register, now: Now) -> RegisterResult:
        """A registration came. PENDING is followed by `authenticated`."""
        self.advance(now)
        if not register.consent_ref:
            return self._refused(Code.CONSENT_MISSING)
        if now.mono_ms < self.retry_mono_ms:
            return self._refused(Code.RATE)
        if self.register == register and self.life not in (Life.UNREGISTERED, Life.DEREGISTERED):
            outcome = Outcome.PENDING if self.life is Life.AUTHENTICATING else Outcome.ACCEPTED
            return RegisterResult(esa_id=self.esa_id, outcome=outcome)
        self.register = register
        self._enter(Life.AUTHENTICATING, now)
        return RegisterResult(esa_id=self.esa_id, outcome=Outcome.PENDING)

    def authenticated(self, good: bool, now: Now) -> RegisterResult:
        """The certificate's chain and fingerprint were checked."""
        self.advance(now)
        if self.life is not Life.AUTHENTICATING:
            return self._refused(Code.AUTH_FAILED)
        if not good:
            self._auth_failed(now)
            return self._refused(Code.AUTH_FAILED)
        self.failures, self.retry_mono_ms, self.code = 0, 0, None
        self._enter(Life.REGISTERED, now)
        return RegisterResult(esa_id=self.esa_id, outcome=Outcome.ACCEPTED)

    def init_sent(self, now: Now) -> None:
        """Settings went out."""
        self.advance(now)
        if self.life is Life.REGISTERED:
            self.settled = self.described = False
            self._enter(Life.INITIALISING, now)

    def told(self, body: Body, now: Now) -> None:
        """Takes what the appliance said, where it matters here."""
        self.advance(now)
        if isinstance(body, InitDone):
            self.settled = self.settled or body.code is None
        elif isinstance(body, OfferSet) or (isinstance(body, Report) and body.kind is ReportKind.FORECAST):
            self.described = True
        elif isinstance(body, Report):
            self.reported_mono_ms = now.mono_ms
        elif isinstance(body, State):
            self.known_state, self.fault = True, body.value is Running.FAULT
            self._opt(body.override)
        elif isinstance(body, Override):
            self._opt(body.scope)
        elif isinstance(body, Deregister):
            self.deregister(now)
        self._settle(now)

    def link_lost(self, now: Now) -> None:
        """Nothing is heard of it."""
        self.advance(now)
        if self.life in _IN_SERVICE:
            self.known_state = self.described = False
            self._enter(Life.DETACHED, now)

    def deregister(self, now: Now) -> None:
        """The end; it takes a new registration to come back. Whoever holds keys and offers erases them."""
        self.register, self.code = None, None
        self.settled = self.described = self.known_state = self.fault = self.opted_out = False
        self._enter(Life.DEREGISTERED, now)

    def advance(self, now: Now) -> None:
        """What time alone brings about."""
        waited_ms = now.mono_ms - self.since_mono_ms
        if self.life is Life.AUTHENTICATING and waited_ms >= AUTHENTICATE_MS:
            self._auth_failed(now)
        elif self.life is Life.INITIALISING and waited_ms >= INIT_MS:
            self.code = Code.INIT_TIMEOUT
            self._enter(Life.REGISTERED, now)

    def due_mono_ms(self) -> int | None:
        """When `advance` has something to do next; None: never, as things stand."""
        if self.life is Life.AUTHENTICATING:
            return self.since_mono_ms + AUTHENTICATE_MS
        return self.since_mono_ms + INIT_MS if self.life is Life.INITIALISING else None

    def concerns(self, report_every_s: int, now: Now) -> tuple[Concern, ...]:
        """What somebody should see; `report_every_s` is the interval of ACTUAL reports."""
        found = []
        heard_ms = max(self.reported_mono_ms, self.since_mono_ms)
        if self.life is Life.NORMAL and now.mono_ms - heard_ms > 2_000 * report_every_s:
            found.append(Concern.DATA_STALE)
        if self.life is Life.SUSPENDED and now.mono_ms - self.since_mono_ms >= SUSPENDED_ALARM_MS:
            found.append(Concern.SUSPENDED_LONG)
        return tuple(found)

    def restarted(self, restart: Restart, now: Now) -> None:
        """The first call after a start: links are down, and what was half done begins again."""
        self.since_mono_ms += restart.mono_base_ms
        self.retry_mono_ms += restart.mono_base_ms
        self.reported_mono_ms += restart.mono_base_ms
        if self.life is Life.AUTHENTICATING:
            self._enter(Life.UNREGISTERED, now)
        elif self.life is Life.INITIALISING:
            self._enter(Life.REGISTERED, now)
        self.link_lost(now)

    def _opt(self, scope: OverrideScope) -> None:
        out = scope in _OUT
        if out and not self.opted_out:
            self.described = False
        self.opted_out = out

    def _settle(self, now: Now) -> None:
        """Goes to where facts say it stands."""
        if self.life is Life.INITIALISING:
            if self.settled and self.described:
                self.code = None
                self._enter(self._service(), now)
        elif self.life in _IN_SERVICE:
            # Back from an opt-out only with offers that were made after it.
            if self.life is Life.OPTED_OUT and not self.opted_out and not self.described:
                return
            self._enter(self._service(), now)
        elif self.life is Life.DETACHED and self.known_state and (self.described or self.opted_out or self.fault):
            self._enter(self._service(), now)

    def _service(self) -> Life:
        if self.fault:
            return Life.SUSPENDED
        return Life.OPTED_OUT if self.opted_out else Life.NORMAL

    def _auth_failed(self, now: Now) -> None:
        self.failures += 1
        self.retry_mono_ms = now.mono_ms + min(MOST_WAIT_MS, 1_000 << min(self.failures - 1, 9))
        self.code, self.register = Code.AUTH_FAILED, None
        self._enter(Life.UNREGISTERED, now)

    def _refused(self, code: Code) -> RegisterResult:
        return RegisterResult(esa_id=self.esa_id, outcome=Outcome.REJECTED, code=code)

    def _enter(self, life: Life, now: Now) -> None:
        if life is not self.life:
            self.life, self.since_mono_ms = life, now.mono_ms
