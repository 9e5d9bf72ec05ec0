"""Laws of the site's own devices, whatever signals show: no step fails, bounds hold, and all of it repeats."""

from __future__ import annotations

from flex_own import House
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.control.flex_devices_meter import SlotMeter
from scowl_edge.model.effect import Write
from scowl_edge.model.event import DeviceMode, Event, FlexLimit, Order, RegionMode, Veto
from scowl_edge.model.exchange import SlotQuality
from scowl_edge.model.flexibility import LimitClass, ProfileKind

ALL = ("battery", "car", "sun", "heat", "freezer", "washer")
EXTREME = [0, 1, -1, 999_999, 1_000_001, 2**31, -(2**31), 2**53, -(2**53), 250_000]
SHOWN = [
    ("battery", "soc"), ("car", "soc"), ("car", "present"), ("sun", "available"), ("heat", "temperature"),
    ("freezer", "temperature"), ("washer", "job"), *((name, "power") for name in ALL),
]  # fmt: skip
WHO = {"who": "law", "why": "law", "until_utc_ms": 0}


@st.composite
def turns(draw: st.DrawFn) -> list[tuple[int, list[tuple[tuple[str, str], int]], list[tuple[str, str]], str]]:
    """(length in s, what shows what, of what nothing is heard, what happens)."""
    happenings = ["", "", "select", "select", "limit", "manual", "auto", "hold", "region-auto", "veto", "down", "up"]
    turn = st.tuples(
        st.sampled_from([1, 15, 60, 900, 5_000]),
        st.lists(st.tuples(st.sampled_from(SHOWN), st.sampled_from(EXTREME)), max_size=3),
        st.lists(st.sampled_from(SHOWN), max_size=2),
        st.sampled_from(happenings),
    )
    return draw(st.lists(turn, min_size=4, max_size=16))


def happens(house: House, name: str, what: str) -> list[Event]:
    match what:
        case "limit":
            return [
                FlexLimit(
                    esa_id=f"house.{name}", cem="", klass=LimitClass.SAFETY, active=True, p_upper_w=1_000,
                    p_lower_w=-1_000, dur_s=None, **WHO,
                )
            ]  # fmt: skip
        case "manual" | "auto":
            return [Order(target=name, mode=DeviceMode(what), **WHO)]
        case "hold" | "region-auto":
            return [Order(target="", mode=RegionMode(what.removeprefix("region-")), **WHO)]
        case "veto":
            return [Veto(device="battery", active=True, **WHO)]
        case _:
            return []


@settings(max_examples=5, deadline=None)
@given(turns(), st.integers(0, 5))
def test_whatever_signals_show(course: list[tuple[int, list, list, str]], first: int) -> None:  # type: ignore[type-arg]
    house = House(ALL)
    house.run(180_000)
    for number, (length_s, shown, silent, what) in enumerate(course):
        name = ALL[(first + number) % len(ALL)]
        house.claimed_w = {key[0]: value for key, value in shown if key[1] == "power"}
        for key, value in shown:
            house.values[key] = value
            house.values.pop((key[0], "exact"), None)
        house.bad = set(silent)
        if what in ("down", "up"):
            house.down(name, up=what == "up")
        offered = house.appliance(name).offer_set
        if what == "select" and offered is not None and offered.offers:
            house.select(name, ProfileKind.IO)
        house.events += happens(house, name, what)
        house.step_ms = 1_000 * length_s
        site = house.core.site
        for effect in house.step().effects:
            if isinstance(effect, Write):
                a = site.actuators[effect.command.actuator]
                assert a.low <= effect.command.value <= a.high
        assert house.core.memory.situation.failed_steps == 0
        for esa_id, member in house.cem.members.items():
            open_ones = [s for s in member.appliance.selections.open() if s.began] if member.appliance else []
            assert len(open_ones) <= 1, f"{esa_id} runs two at once"
    house.replayed()


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 500, 1_000, 59_000, 60_000, 61_000, 400_000, -5_000]), st.booleans(),
                  st.none() | st.integers(-(10**8), 10**8)),
        min_size=1, max_size=60,
    )
)  # fmt: skip
def test_a_meter_never_makes_up_power(looks: list[tuple[int, bool, int | None]]) -> None:
    meter, wall_ms = SlotMeter(), 1_700_000_000_123
    for dur_ms, fresh, power_w in looks:
        wall_ms += dur_ms
        ended = meter.count(power_w, fresh=fresh, wall_ms=wall_ms, slot_ms=60_000)
        if ended is None:
            continue
        begin_ms, slot, whole = ended
        assert begin_ms < wall_ms and (not whole or begin_ms % 60_000 == 0)
        known = [w for _, _, w in looks if w is not None]
        if slot.p_avg_w is None:
            assert slot.q is SlotQuality.MISSING
        else:
            assert min(known) <= slot.p_avg_w <= max(known)
