"""Offers as a rung: what counts and when, who waits for whom and how long; promised relief is nobody's room."""

from __future__ import annotations

import copy

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.assembly import assemble
from scowl_edge.capacity import Book, Call, CallState
from scowl_edge.capacity.offers import SEARCH_MS, SHOWS_MS
from scowl_edge.model.signal import Image, Quality
from scowl_edge.model.site import NONE
from scowl_edge.tracker import Steering, Tracker
from scowl_edge.tracker.region import RegionState

FAR_MS = 1 << 40
SITE = """
site: {id: quarter}
region: {mode: auto, dead_band: 500 W, restore_after: 60 s, restore_every: 10 s, restore_step: 5 kW, ride_through: RIDE}
links: {plc: {type: modbus-tcp, host: 127.0.0.1}}
ratings:
  grid: {kind: grid, import: 60 A, export: 60 A, phases: 3, meter: grid-meter, margin: 0 %}
  street: {kind: feeder, limit: 60 A, phases: 3, within: grid, meter: street-meter, margin: 0 %}
  works: {kind: feeder, limit: 60 A, phases: 3, within: grid, meter: works-meter, margin: 0 %}
devices:
  grid-meter: {link: plc, points: {power: {address: 0, type: int32, unit: W}}, role: {kind: grid}}
  street-meter: {link: plc, unit: 2, points: {power: {address: 0, type: int32, unit: W}}, role: {kind: feeder}}
  works-meter: {link: plc, unit: 3, points: {power: {address: 0, type: int32, unit: W}}, role: {kind: feeder}}
  hall:
    link: plc
    unit: 4
    points:
      power: {address: 0, type: int32, unit: W}
      shed_request: {address: 2, type: int32, unit: W, access: rw}
      shed_granted: {address: 4, type: int32, unit: W}
    role: {kind: consumer, rated: 30 kW, deferrable: 20 kW, demand_responsive: 20 kW, on: grid}
flex:
  listen: 127.0.0.1:0
  tls: {certificate: {file: c.pem}, key: {file: k.pem}, authority: {file: a.pem}}
  provider: {node: "dsrsp:quarter", failsafe: {import: 8 kW, export: 0 W}, within: street}
"""
LIMIT_W = 60 * 230 * 3
HALL_W = 25_000


class Region:
    """Looked at with meters that were all read just now."""

    def __init__(self, ride_through: str = "2 s") -> None:
        self.site = assemble(SITE.replace("RIDE", ride_through), "quarter.yaml").site
        self.tracker = Tracker(self.site)
        self.state, self.book = RegionState.new(self.site), Book()
        self.street, self.works = (
            next(i for i, r in enumerate(self.site.ratings) if r.name == name) for name in ("street", "works")
        )

    def steering(self, now_ms: int, **power_w: int) -> Steering:
        size = len(self.site.signals)
        image = Image(np.zeros(size, np.int64), np.full(size, Quality.GOOD, np.uint8), np.full(size, now_ms))
        for r in self.site.ratings:
            image.value[r.power] = power_w.get(r.name, 0)
        image.value[self.site.consumers[0].power] = HALL_W
        usable = [True] * len(self.site.actuators)
        seen = self.tracker.observe(image, now_ms, {})
        return Steering(self.site, self.tracker.rating_tree, self.state, self.book, seen, usable, 1)

    def step(self, now_ms: int, **power_w: int) -> Steering:
        at = self.steering(now_ms, **power_w)
        return self.tracker.step(self.state, self.book, at.seen, at.usable, 1, 10)[0]

    def call(self, name: str, relief_w: int, begins_at: int, now_ms: int = 0, ends_at: int = FAR_MS) -> Call:
        call = Call(
            esa_id=name,
            device=NONE,
            rating=self.street,
            phases=7,
            relief_w=relief_w,
            asked_at=now_ms,
            answer_by_at=now_ms + 10_000,
            begins_at=begins_at,
            effect_by_at=begins_at + 130_000,
            ends_at=ends_at,
        )
        assert self.book.offers.ask(f"select-{name}", call)
        return call

    def missing(self, now_ms: int, name: str = "grid", **power_w: int) -> tuple[int, int]:
        """(in the end, within the ride-through) of a scope, W for three phases."""
        scope = next(s for s in self.tracker.scopes if s.name == name)
        need = self.tracker.need(self.steering(now_ms, **power_w), scope)
        return need.final_w(7), need.soon_w(7)

    def free_w(self, now_ms: int, **power_w: int) -> int:
        scope = next(s for s in self.tracker.scopes if s.name == "grid")
        return self.tracker.free_w(self.steering(now_ms, **power_w), scope)


def rungs(steering: Steering) -> list[str]:
    return [d.rung for d in steering.decisions]


def test_an_offer_counts_nothing_before_the_yes_once_after_it_and_by_the_meter_when_measured() -> None:
    region = Region()
    over = LIMIT_W + 9_000
    call = region.call("car", 9_000, begins_at=60_000)
    assert region.missing(1_000, grid=over) == (9_000, 9_000)
    assert region.book.offers.accepted("select-car", 9_000, 2_000)
    assert region.missing(2_000, grid=over) == (0, 9_000), "it comes, and not within the ride-through"
    assert region.missing(59_000, grid=over) == (0, 0)
    late = 60_000 + SHOWS_MS
    assert region.missing(late, grid=over) == (0, 9_000), "what does not show is missing for who cannot wait"
    call.reported_w = 0
    region.step(late, grid=LIMIT_W)
    assert call.state is CallState.EFFECTIVE
    assert region.missing(late, grid=LIMIT_W) == (0, 0)
    assert region.missing(late, grid=over) == (9_000, 9_000), "a new need is not hidden behind it"


def test_appliances_of_one_street_relieve_what_is_above_them_and_nothing_else() -> None:
    region = Region()
    region.call("car", 9_000, begins_at=1_000)
    region.book.offers.accepted("select-car", 9_000, 1_000)
    for name, left in (("grid", 0), ("street", 0), ("works", 9_000)):
        assert region.missing(1_000, name, **{name: LIMIT_W + 9_000})[0] == left
    steering = Region().step(1_000, works=LIMIT_W + 9_000)
    assert steering.want_offers_w == 0
    assert "activate-offers" not in rungs(steering)


def test_a_shortage_inside_and_outside_is_asked_for_once() -> None:
    region = Region()
    steering = region.step(1_000, street=LIMIT_W + 3_000, grid=LIMIT_W + 9_000)
    assert steering.want_offers_w == 9_501, "the larger need and the dead band, not the sum of both"
    assert region.book.offers.awaited_w(1_000) == 9_501


def test_who_cannot_wait_is_bridged_by_a_shed_at_once() -> None:
    region = Region(ride_through="2 s")
    steering = region.step(1_000, grid=LIMIT_W + 9_000)
    assert rungs(steering) == ["activate-offers", "shed"]


def test_a_shed_waits_for_offers_within_the_ride_through_and_not_beyond_the_deadline() -> None:
    region = Region(ride_through="30 s")
    over = LIMIT_W + 9_000
    assert rungs(region.step(1_000, grid=over)) == ["activate-offers"]
    for now_ms in range(2_000, 1_000 + SEARCH_MS, 1_000):
        assert rungs(region.step(now_ms, grid=over)) == []
    steering = region.step(1_000 + SEARCH_MS, grid=over)
    assert rungs(steering) == ["shed"]
    assert steering.want_offers_w == 0, "nobody is asked again so soon"


def test_a_question_lapses_is_cancelled_and_waited_for_no_longer() -> None:
    region = Region(ride_through="30 s")
    region.call("car", 9_500, begins_at=12_000)
    over = LIMIT_W + 9_000
    assert rungs(region.step(9_000, grid=over)) == []
    steering = region.step(10_000, grid=over)
    assert steering.cancel_offers == ["select-car"]
    assert "activate-offers" in rungs(steering)
    assert region.step(11_000, grid=over).cancel_offers == []


def test_offers_end_when_there_has_been_room_and_their_load_is_nobody_elses_room() -> None:
    region = Region()
    for n in range(3):
        call = region.call(f"car-{n}", 7_000, begins_at=0)
        call.state = CallState.EFFECTIVE
    free = LIMIT_W - 18_000
    ended: list[tuple[int, str]] = []
    for now_ms in range(1_000, 120_000, 1_000):
        before = region.free_w(now_ms, grid=free)
        steering = region.step(now_ms, grid=free)
        assert "activate-offers" not in rungs(steering)
        for select_id in steering.cancel_offers:
            ended.append((now_ms, select_id))
            assert region.free_w(now_ms, grid=free) == before - 7_000
    times = [now_ms for now_ms, _ in ended]
    assert len(ended) == 2, "the third would not find room if the two that were let go came back"
    assert times[0] >= 61_000
    assert times[1] - times[0] >= 10_000


def test_too_much_generation_lets_the_offers_end_first() -> None:
    region = Region()
    region.call("car", 7_000, begins_at=0).state = CallState.EFFECTIVE
    steering = region.step(1_000, grid=-LIMIT_W - 3_000)
    assert rungs(steering)[0] == "end-offers"
    assert steering.cancel_offers == ["select-car"]
    assert region.step(2_000, grid=-LIMIT_W - 3_000).cancel_offers == []


CALLS = st.lists(
    st.tuples(
        st.integers(1, 12_000),
        st.integers(0, 200_000),
        st.integers(1, 400_000),
        st.sampled_from(CallState),
        st.none() | st.integers(-12_000, 12_000),
    ),
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(calls=CALLS, load_w=st.integers(-60_000, 80_000), now_ms=st.integers(1, 400_000))
def test_whatever_is_in_the_book_relief_is_counted_once_at_most_and_room_never(
    calls: list[tuple[int, int, int, CallState, int | None]], load_w: int, now_ms: int
) -> None:
    region = REGION
    region.state, region.book = RegionState.new(region.site), Book()
    bare = region.missing(now_ms, grid=load_w)
    room = region.free_w(now_ms, grid=load_w)
    agreed = 0
    for n, (relief_w, begins_at, lasts_ms, state, reported_w) in enumerate(calls):
        call = region.call(f"{n}", relief_w, begins_at, ends_at=begins_at + lasts_ms)
        if state is not CallState.ASKED:
            region.book.offers.accepted(f"select-{n}", 5_000, 0)
        if state is CallState.ENDING:
            region.book.offers.end(f"select-{n}", begins_at, begins_at + lasts_ms)
        call.state, call.reported_w = state, reported_w
        agreed += relief_w if state is CallState.PLEDGED else 0
    final, soon = region.missing(now_ms, grid=load_w)
    rounding = 6
    assert bare[0] - agreed <= final <= bare[0] + rounding
    assert bare[1] - agreed <= soon <= bare[1] + rounding
    if not agreed:
        assert (final, soon) == bare, "what is not agreed, is measured or has failed counts nothing"
    assert region.free_w(now_ms, grid=load_w) <= room, "relief that is promised is nobody's room"
    before = copy.deepcopy(region.book.offers)
    steering = region.step(now_ms, grid=load_w)
    after = region.book.offers
    assert set(after.calls) <= set(before.calls)
    assert sorted(after.appliances) == sorted(c.esa_id for c in after.calls.values())
    assert all(before.calls[s].state is CallState.ASKED or s in after.calls for s in steering.cancel_offers)
    if steering.want_offers_w:
        assert steering.want_offers_w <= max(bare) + region.site.policy.dead_band_w + 3
        awaited = after.awaited_w(now_ms)
        again = region.step(now_ms + 1_000, grid=load_w)
        assert again.want_offers_w == 0, "the same need asks nobody twice"
        assert awaited >= steering.want_offers_w


REGION = Region()
