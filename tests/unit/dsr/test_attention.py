"""A manager looks only at appliances of whom something came or is due, and says what one says that looks at all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.dsr.attention import SHARED_PER_MS, Attention, SiteBounds
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.model.codec import decode, encode
from scowl_edge.model.exchange import (
    Body,
    Cancel,
    CancelAt,
    Heartbeat,
    Init,
    InitDone,
    Limit,
    LimitStatus,
    Message,
    Register,
    Running,
    Select,
    State,
)
from scowl_edge.model.flexibility import (
    Control,
    EsaType,
    LimitClass,
    LimitState,
    Mode,
    OverrideScope,
)

PROVIDER, CEM = "dsrsp:grid", "cem:house"
FALLBACK = Fallback(failsafe_p_upper_w=4_200, failsafe_p_lower_w=-1_000, failsafe_min_s=7_200)
UTC_MS = 1_800_000_000_000
NAMES = ("appliance-a", "appliance-b", "appliance-c")
names = st.sampled_from(NAMES)
powers = st.sampled_from([None, 0, 3_000, 9_000, 50_000])
lengths = st.sampled_from([None, 20, 400])
OFTEN = ("alive", "register", "site")
WHAT = (
    *(*OFTEN, "authenticated", "init", "done", "state", "up", "down", "heartbeat", "refuse"),
    *(*OFTEN, "bound", "select", "cancel", "link", "unlink", "restart", "stored"),
)


@dataclass(frozen=True)
class Happens:
    """One thing, after a time."""

    after_ms: int
    what: str
    esa: str
    power_w: int | None
    lasts_s: int | None
    klass: LimitClass
    state: LimitState


happenings = st.builds(
    Happens,
    after_ms=st.sampled_from([0, 1, 50, 1_000, 11_000, 30_000, 121_000]),
    what=st.sampled_from(WHAT),
    esa=names,
    power_w=powers,
    lasts_s=lengths,
    klass=st.sampled_from(LimitClass),
    state=st.sampled_from(LimitState),
)


def _at_once(what: str, esa: str = NAMES[0], power_w: int | None = 7_000) -> Happens:
    return Happens(0, what, esa, power_w, None, LimitClass.CONTRACT, LimitState.UNLIMITED)


BEGINNING = (
    *(_at_once(what, esa) for esa in NAMES for what in ("register", "authenticated")),
    *(_at_once("link"), _at_once("alive"), _at_once("site", power_w=None)),
)


class House:
    """A manager, and what it is told."""

    def __init__(self, *, looks_at_all: bool) -> None:
        self.all = looks_at_all
        self.cem = Cem.first(CEM, PROVIDER, FALLBACK, Now(mono_ms=0, utc_ms=UTC_MS, utc_ok=True), seed=1)
        self.ids = count(1)

    def hear(self, src: str, body: Body, now: Now) -> list[Message]:
        message = Message(id=f"m{next(self.ids)}", ts_ms=now.utc_ms, src=src, dst=CEM, body=body)
        return self.cem.receive(message, now)

    def happens(self, one: Happens, now: Now) -> list[Message]:
        cem, esa, node = self.cem, one.esa, f"esa:{one.esa}"
        known = esa in cem.members
        match one.what:
            case "alive":
                return self.hear(PROVIDER, Heartbeat(limit_state=LimitState.UNLIMITED, rev=0), now)
            case "register":
                wanted = Register(
                    esa_id=esa,
                    esa_type=EsaType.EVSE,
                    p_max_w=one.power_w or 7_000,
                    p_min_w=-(one.power_w or 0),
                    modes=(Mode.RESPONSE,),
                    controls=(Control.PROFILE,),
                    consent_ref="c",
                    cert_fp="0" * 64,
                )
                return self.hear(node, wanted, now)
            case "authenticated" if known:
                return cem.authenticated(esa, one.power_w is not None, now)
            case "init":
                return self.hear(PROVIDER, Init(esa_id=esa, failsafe_p_upper_w=one.power_w or 0), now)
            case "done":
                return self.hear(node, InitDone(esa_id=esa), now)
            case "state":
                return self.hear(node, State(esa_id=esa, value=Running.IDLE, override=OverrideScope.NONE), now)
            case "heartbeat":
                return self.hear(node, Heartbeat(limit_state=one.state, rev=0), now)
            case "refuse":
                return self.hear(node, LimitStatus(limit_id="x", esa_id=esa, applied=False, p_now_w=0), now)
            case "site" | "bound":
                limit = Limit(
                    limit_id=f"l{next(self.ids)}",
                    esa_id="" if one.what == "site" else esa,
                    active=one.power_w is not None,
                    klass=one.klass,
                    p_upper_w=one.power_w,
                    p_lower_w=None,
                    dur_s=one.lasts_s,
                )
                return self.hear(PROVIDER, limit, now)
            case "select":
                wanted_select = Select(
                    select_id=f"s{one.power_w}",
                    esa_id=esa,
                    offer_id="o",
                    profile_id="p",
                    rev=1,
                    start_ms=now.utc_ms,
                    mode=Mode.RESPONSE,
                )
                return self.hear(PROVIDER, wanted_select, now)
            case "cancel":
                return self.hear(PROVIDER, Cancel(select_id=f"s{one.power_w}", esa_id=esa, at=CancelAt.NOW), now)
            case "up" | "down" if known:
                return cem.link_of(esa, one.what == "up", now)
            case "link" | "unlink":
                return cem.link(one.what == "link", now)
            case "restart":
                return cem.restarted(Restart(mono_base_ms=0, gap_known=True), now)
            case "stored":
                self.cem = decode(Cem, encode(cem))
        return []

    def advance(self, now: Now) -> list[Message]:
        if self.all:
            attention = self.cem.attention
            attention.touched = dict.fromkeys(self.cem.members, True)
            attention.due_mono_ms, attention.next_due_mono_ms = dict.fromkeys(self.cem.members, 0), 0
        return self.cem.advance(now)


@settings(max_examples=150, deadline=None)
@given(st.lists(happenings, max_size=30))
def test_who_is_not_looked_at_has_nothing_to_be_told(story: list[Happens]) -> None:
    few, everybody = House(looks_at_all=False), House(looks_at_all=True)
    now_ms = 0
    for one in [*BEGINNING, *story]:
        now_ms += one.after_ms
        now = Now(mono_ms=now_ms, utc_ms=UTC_MS + now_ms, utc_ok=True)
        assert few.happens(one, now) == everybody.happens(one, now)
        assert few.advance(now) == everybody.advance(now)
    for _ in range(3):
        now_ms += 130_000
        now = Now(mono_ms=now_ms, utc_ms=UTC_MS + now_ms, utc_ok=True)
        assert few.advance(now) == everybody.advance(now)
    assert {e: m.life.life for e, m in few.cem.members.items()} == {
        e: m.life.life for e, m in everybody.cem.members.items()
    }


def test_claims_of_thousands_are_shared_out_now_and_then_and_bounds_at_once() -> None:
    attention, members = Attention(), 5_000
    bounds = SiteBounds(state=LimitState.LIMITED, other_w=0, bounds_w=(None, 9_000))
    assert attention.shares_due(bounds, members, 0)
    attention.share(bounds, 0)
    attention.moved = True
    rest_ms = members // SHARED_PER_MS
    assert not attention.shares_due(bounds, members, rest_ms - 1)
    assert attention.shares_due(bounds, members, rest_ms)
    assert attention.shares_due(bounds, 3, 1), "a small site waits for nothing that anybody notices"
    less = SiteBounds(state=LimitState.LIMITED, other_w=0, bounds_w=(None, 5_000))
    assert attention.shares_due(less, members, 1)
    attention.share(SiteBounds(state=LimitState.UNLIMITED, other_w=0, bounds_w=(None, None)), 0)
    attention.moved = True
    assert not attention.shares_due(attention.shared or bounds, members, 10 * rest_ms), "there is nothing to share"
