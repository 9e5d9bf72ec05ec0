"""The arbiter: envelopes intersected from the highest class down, the highest wish inside them, the loser told why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.control.arbiter import Claim, Klass, rule
from scowl_edge.model.command import Verb, WriteClass
from scowl_edge.model.reason import Reason
from scowl_edge.model.site import NONE, Actuator, OnStop

WHY = Reason("law")
BOUNDS = st.tuples(st.integers(-200, 200), st.integers(-200, 200)).map(sorted)


def actuator(low: int = -100, high: int = 100) -> Actuator:
    return Actuator(
        device=0,
        verb=Verb.SETPOINT,
        feedback=NONE,
        effect=NONE,
        tolerance=0,
        settle_ms=0,
        hold_polls=1,
        write_class=WriteClass.VOLATILE,
        low=low,
        high=high,
        ramp_w_s=0,
        daily_budget=0,
        failsafe=None,
        device_timeout_ms=0,
        heartbeat_ms=0,
        on_stop=OnStop.HOLD,
    )


def claim(klass: Klass, low: int, high: int, wish: int | None = None, safety: bool = False) -> Claim:
    return Claim(klass=klass, low=low, high=high, wish=wish, reason=WHY, safety=safety)


CLAIMS = st.lists(
    st.builds(
        lambda klass, bounds, wish: claim(klass, bounds[0], bounds[1], wish),
        st.sampled_from(Klass),
        BOUNDS,
        st.none() | st.integers(-300, 300),
    ),
    max_size=6,
)


@given(CLAIMS)
def test_the_target_is_within_the_actuator_and_within_the_highest_class(claims: list[Claim]) -> None:
    ruling = rule(actuator(), claims)
    if all(c.wish is None for c in claims):
        assert ruling is None
        return
    assert ruling is not None
    if ruling.target is None:
        assert all(c.wish is None or abs(c.wish) > 100 for c in claims)
        return
    assert -100 <= ruling.target <= 100
    highest = min(claims, key=lambda c: c.klass)
    alone = [c.klass for c in claims].count(highest.klass) == 1
    if alone and max(-100, highest.low) <= min(100, highest.high):
        assert highest.low <= ruling.target <= highest.high


@given(CLAIMS)
def test_the_highest_class_that_wishes_wins(claims: list[Claim]) -> None:
    ruling = rule(actuator(), claims)
    wishing = [c for c in claims if c.wish is not None]
    possible = [c for c in wishing if -100 <= c.wish <= 100]  # type: ignore[operator]
    assert (ruling is None) == (not wishing)
    if ruling is not None:
        assert (ruling.target is None) == (not possible)
        if possible:
            assert ruling.klass == min(c.klass for c in possible)


@given(CLAIMS)
def test_whoever_does_not_get_the_wish_is_told(claims: list[Claim]) -> None:
    ruling = rule(actuator(), claims)
    if ruling is not None:
        wishes = [c.wish for c in claims if c.klass == ruling.klass and c.wish is not None]
        assert ruling.target in wishes or ruling.conflict is not None


@pytest.mark.parametrize("wish", [-101, 101, 1_000_000])
def test_a_wish_beyond_what_can_be_set_is_refused_and_not_cut(wish: int) -> None:
    alone = rule(actuator(), [claim(Klass.ECONOMY, -100, 100, wish)])
    assert alone is not None
    assert alone.target is None
    assert alone.conflict == Reason("impossible", (Klass.ECONOMY.words, wish, -100, 100))
    beside = rule(actuator(), [claim(Klass.USER, -100, 100, wish), claim(Klass.ECONOMY, -100, 100, 7)])
    assert beside is not None
    assert (beside.target, beside.klass) == (7, Klass.ECONOMY)
    assert beside.conflict is not None


def test_envelopes_are_intersected() -> None:
    ruling = rule(
        actuator(), [claim(Klass.ECONOMY, -100, 100, 90), claim(Klass.CONTRACT, -100, 40), claim(Klass.SAFETY, -5, 60)]
    )
    assert ruling is not None
    assert (ruling.target, ruling.klass) == (40, Klass.ECONOMY)
    assert ruling.conflict == Reason("overruled", (Klass.CONTRACT.words, 40, Klass.ECONOMY.words, 90))


def test_where_nothing_is_left_the_higher_class_keeps_its_bound() -> None:
    ruling = rule(actuator(), [claim(Klass.SAFETY, -100, 20), claim(Klass.USER, 50, 100, 70)])
    assert ruling is not None
    assert ruling.target == 20
    assert ruling.conflict == Reason("overruled", (Klass.SAFETY.words, 20, Klass.USER.words, 50))


def test_one_safety_claim_makes_the_command_a_safety_command() -> None:
    claims = [claim(Klass.ECONOMY, -100, 100, 5), claim(Klass.SAFETY, -100, 100, None, True)]
    ruling = rule(actuator(), claims)
    assert ruling is not None and ruling.safety
    plain = rule(actuator(), claims[:1])
    assert plain is not None and not plain.safety
    assert rule(actuator(), []) is None
