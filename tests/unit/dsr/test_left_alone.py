"""A manager that loses its provider tells every appliance what it then keeps to, over links that are still there."""

from __future__ import annotations

import pytest

from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.limiting import SILENCE_MS, Fallback
from scowl_edge.model.exchange import Body, Heartbeat, Init, Limit, Message, Register
from scowl_edge.model.flexibility import Control, EsaType, LimitClass, LimitState, Mode

NODE, PROVIDER, UTC_MS = "cem:house", "dsrsp:grid", 1_700_000_000_000
BIG, SMALL = "esa-big-0001", "esa-small-01"
RATED_W = {BIG: 11_000, SMALL: 6_000}
FAILSAFE = Fallback(failsafe_p_upper_w=4_200, failsafe_p_lower_w=-1_000, failsafe_min_s=7_200)


class House:
    """A manager with two appliances on links; what it says is kept."""

    def __init__(self, fallback: Fallback = FAILSAFE, *, rooms: int = 20) -> None:
        self.mono_ms, self.number, self.said = 0, 0, list[Message]()
        site = Fallback(
            failsafe_p_upper_w=rooms * fallback.failsafe_p_upper_w,
            failsafe_p_lower_w=rooms * fallback.failsafe_p_lower_w,
            failsafe_min_s=fallback.failsafe_min_s,
            autonomous_p_upper_w=None
            if fallback.autonomous_p_upper_w is None
            else rooms * fallback.autonomous_p_upper_w,
            autonomous_unlimited=fallback.autonomous_unlimited,
        )
        self.cem = Cem.first(NODE, PROVIDER, site, self.now, seed=1)
        self.cem.each = fallback
        for esa_id, rated_w in RATED_W.items():
            self.hear(
                f"esa:{esa_id}",
                Register(
                    esa_id=esa_id,
                    esa_type=EsaType.EVSE,
                    p_max_w=rated_w,
                    p_min_w=-rated_w,
                    modes=(Mode.RESPONSE,),
                    controls=(Control.LIMIT,),
                    consent_ref="consent",
                    cert_fp="0" * 64,
                ),
            )
            self.said += self.cem.authenticated(esa_id, True, self.now)
        self.said += self.cem.link(True, self.now)

    @property
    def now(self) -> Now:
        """The same clocks for all."""
        return Now(mono_ms=self.mono_ms, utc_ms=UTC_MS + self.mono_ms, utc_ok=True)

    def hear(self, src: str, body: Body) -> None:
        """A message from a peer."""
        self.number += 1
        told = Message(id=f"{self.number}", ts_ms=self.now.utc_ms, src=src, dst=NODE, body=body)
        self.said += self.cem.receive(told, self.now)

    def led(self, active: bool = False, upper_w: int | None = None) -> None:
        """The provider lives, and says what holds for the site."""
        self.hear(PROVIDER, Heartbeat(limit_state=LimitState.UNLIMITED, rev=0))
        self.hear(
            PROVIDER,
            Limit(limit_id="site", esa_id="", active=active, klass=LimitClass.CONTRACT, p_upper_w=upper_w),
        )

    def run_for(self, ms: int, *, alive: bool = False) -> None:
        """A step a second."""
        for _ in range(ms // 1_000):
            self.mono_ms += 1_000
            if alive and self.mono_ms % 30_000 == 0:
                self.hear(PROVIDER, Heartbeat(limit_state=LimitState.UNLIMITED, rev=0))
            self.said += self.cem.advance(self.now)

    def bounds(self, klass: LimitClass = LimitClass.SAFETY) -> dict[str, tuple[int | None, int | None] | None]:
        """(lower, upper) of the latest limit that each appliance was told; None: none is in force."""
        found: dict[str, tuple[int | None, int | None] | None] = dict.fromkeys(RATED_W)
        for message in self.said:
            if isinstance(message.body, Limit) and message.body.klass is klass:
                limit = message.body
                found[limit.esa_id] = (limit.p_lower_w, limit.p_upper_w) if limit.active else None
        return found


def led_house(fallback: Fallback = FAILSAFE) -> House:
    house = House(fallback)
    house.led()
    house.run_for(60_000, alive=True)
    assert house.cem.site.state is LimitState.UNLIMITED
    assert house.bounds() == dict.fromkeys(RATED_W)
    return house


def test_each_appliance_is_bounded_as_soon_as_the_provider_counts_as_lost() -> None:
    house = led_house()
    house.run_for(SILENCE_MS - 1_000)
    assert house.bounds() == dict.fromkeys(RATED_W)
    house.run_for(1_000)
    # 20 may connect, so the site's own fail-safe limit, 84 kW, would hold back neither.
    assert house.bounds() == dict.fromkeys(RATED_W, (-1_000, 4_200))


def test_the_bound_is_lifted_by_life_and_a_word_about_limits_together() -> None:
    house = led_house()
    house.run_for(SILENCE_MS)
    house.hear(PROVIDER, Heartbeat(limit_state=LimitState.UNLIMITED, rev=0))
    house.run_for(10_000)
    assert house.bounds() == dict.fromkeys(RATED_W, (-1_000, 4_200))
    house.led()
    house.run_for(1_000)
    assert house.bounds() == dict.fromkeys(RATED_W)


def test_before_anybody_was_heard_the_fail_safe_limit_holds() -> None:
    house = House()
    house.run_for(1_000)
    assert house.bounds() == dict.fromkeys(RATED_W, (-1_000, 4_200))


@pytest.mark.parametrize(
    ("fallback", "then"),
    [
        (FAILSAFE, (-1_000, 4_200)),
        (Fallback(failsafe_p_upper_w=4_200, failsafe_p_lower_w=0, autonomous_p_upper_w=5_500), (0, 5_500)),
        (Fallback(failsafe_p_upper_w=4_200, failsafe_p_lower_w=0, autonomous_unlimited=True), None),
    ],
)
def test_left_alone_for_long_its_own_values_hold(fallback: Fallback, then: tuple[int, int] | None) -> None:
    house = House(fallback)
    house.run_for(SILENCE_MS)
    assert house.cem.site.state is LimitState.AUTONOMOUS
    assert house.bounds() == dict.fromkeys(RATED_W, then)


def test_a_provider_may_set_a_lower_fail_safe_limit_for_one_but_no_higher_one() -> None:
    house = House()
    house.hear(PROVIDER, Init(esa_id=BIG, failsafe_p_upper_w=2_000))
    house.hear(PROVIDER, Init(esa_id=SMALL, failsafe_p_upper_w=9_000))
    house.run_for(1_000)
    assert house.bounds() == {BIG: (-1_000, 2_000), SMALL: (-1_000, 4_200)}


def test_a_restart_while_led_bounds_all_until_there_is_proof_of_life() -> None:
    house = led_house()
    house.said.clear()
    house.said += house.cem.restarted(Restart(mono_base_ms=0, gap_known=True), house.now)
    for esa_id in RATED_W:
        house.said += house.cem.link_of(esa_id, True, house.now)
    house.run_for(1_000)
    assert house.bounds() == dict.fromkeys(RATED_W, (-1_000, 4_200))


def test_an_appliance_that_went_by_its_own_values_is_told_its_limits_anew() -> None:
    house = House()
    house.led(active=True, upper_w=5_000)
    house.run_for(1_000)
    assert house.bounds(LimitClass.CONTRACT) == {BIG: (None, 3_235), SMALL: (None, 1_764)}
    house.said.clear()
    house.run_for(5_000)
    assert not [m for m in house.said if isinstance(m.body, Limit)], "what stands is not told again"
    house.hear(f"esa:{BIG}", Heartbeat(limit_state=LimitState.FAILSAFE, rev=0))
    house.run_for(1_000)
    again = [m for m in house.said if isinstance(m.body, Limit)]
    assert {m.dst for m in again} == {f"esa:{BIG}"}


def test_appliances_hear_in_heartbeats_what_the_site_is_in() -> None:
    house = led_house()
    house.said.clear()
    house.run_for(SILENCE_MS)
    said = [(m.dst, m.body.limit_state) for m in house.said if isinstance(m.body, Heartbeat)]
    assert said == [(f"esa:{e}", LimitState.FAILSAFE) for e in sorted(RATED_W)]
