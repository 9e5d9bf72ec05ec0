"""What ratings leave for appliances, and who is left out where it is not enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.dsr.room import UNBOUNDED_W, Change, Place, Room, Slots, caps, crowded, sums
from scowl_edge.model.flexibility import Element, Profile, ProfileKind
from scowl_edge.model.profile import flat, of_elements

SLOT = 900_000
SLOTS = Slots(start_ms=0, slot_ms=SLOT, count=4)


def place(name: str, within: int, upper_w: int = UNBOUNDED_W, lower_w: int = -UNBOUNDED_W) -> Place:
    return Place(name=name, within=within, upper_w=upper_w, lower_w=lower_w)


TREE = Room(
    places=(place("grid", -1, 10_000, 0), place("hall", 0), place("feeder", 1, 4_000, -4_000), place("other", 0, 1)),
    below={"cem:a": 2, "esa:car": 0},
    rest=1,
)


def test_an_appliance_is_where_it_is_said_to_be_else_where_its_manager_is() -> None:
    assert [TREE.place("car", "cem:a"), TREE.place("x", "cem:a"), TREE.place("x", "cem:b")] == [0, 2, 1]
    assert TREE.chain(2) == [2, 1, 0] and TREE.chain(-1) == []


def test_bounds_are_those_with_a_limit_and_somebody_below_less_what_others_take() -> None:
    fixed = sums(TREE, [(2, flat(0, SLOT, 1_000)), (1, flat(SLOT, SLOT, 500)), (-1, flat(0, SLOT, 9))], SLOTS)
    assert fixed[0] == [1_000, 500, 0, 0] and fixed[2] == [1_000, 0, 0, 0]
    found, below = caps(TREE, [2, 1, -1], fixed)
    assert [(c.name, c.within) for c in found] == [("grid", -1), ("feeder", 0)]
    assert below == (1, 0, -1), "who is below a rating without a limit is below the one around it"
    assert found[0].upper_w == (9_000, 9_500, 10_000, 10_000) and found[0].lower_w == (-1_000, -500, 0, 0)
    assert found[1].upper_w[0] == 3_000 and found[1].lower_w[0] == -5_000


def test_means_keep_the_energy_and_delays_spread_it() -> None:
    element = Element(dur_s=1_800, p_nom_w=2_000, p_min_w=0, p_max_w=2_000)
    profile = Profile(profile_id="p", kind=ProfileKind.IO, elements=(element,))
    course = of_elements(profile.elements, SLOT // 2)
    assert SLOTS.means(course) == {0: 1_000, 1: 2_000, 2: 1_000}
    assert SLOTS.delayed(profile, SLOT // 2, (), 0) == {0: 1_000, 1: 2_000, 2: 1_000}
    late = SLOTS.delayed(profile, SLOT // 2, (), 600)
    assert sum(late.values()) == 4_000 and late[0] < 1_000 < late[2]
    assert SLOTS.delayed(profile, -SLOT, (1_000,), 0) == {0: 1_000}


def test_who_does_not_fit_is_left_out_and_who_makes_room_is_not() -> None:
    before = [[9_000] * 4, [0] * 4, [3_900] * 4, [0] * 4]
    more = Change(key="more", place=2, by_w={1: 2_000})
    less = Change(key="less", place=2, by_w={1: -2_000, 2: 100})
    assert crowded(TREE, before, [more]) == {"more": "feeder"}
    assert crowded(TREE, before, [more, less]) == {}
    aside = Change(key="aside", place=0, by_w={1: 3_000})
    assert crowded(TREE, before, [less, aside]) == {}
    assert crowded(TREE, before, [aside, more]) == {"aside": "grid", "more": "feeder"}


def test_what_is_too_much_anyway_leaves_nobody_out_who_does_not_add_to_it() -> None:
    before = [[20_000] * 4, [0] * 4, [9_000] * 4, [0] * 4]
    less = Change(key="less", place=2, by_w={1: -1})
    swap = Change(key="swap", place=2, by_w={2: 500, 3: -500})
    assert crowded(TREE, before, [less, swap]) == {"swap": "feeder"}


CHANGES = st.lists(
    st.tuples(st.integers(0, 3), st.dictionaries(st.integers(0, 3), st.integers(-6_000, 6_000), max_size=4)), max_size=8
)
LOADS = st.lists(st.lists(st.integers(-9_000, 15_000), min_size=4, max_size=4), min_size=4, max_size=4)


@given(CHANGES, LOADS)
def test_what_is_left_in_exceeds_no_rating_that_nothing_exceeded(
    drawn: list[tuple[int, dict[int, int]]], before: list[list[int]]
) -> None:
    changes = [Change(key=str(n), place=at, by_w=by_w) for n, (at, by_w) in enumerate(drawn)]
    out = crowded(TREE, before, changes)
    after = [list(row) for row in before]
    for change in changes:
        if change.key not in out:
            for around in TREE.chain(change.place):
                for slot, power_w in change.by_w.items():
                    after[around][slot] += power_w
    for bounds, row, was in zip(TREE.places, after, before, strict=True):
        for power_w, then_w in zip(row, was, strict=True):
            assert min(bounds.lower_w, then_w) <= power_w <= max(bounds.upper_w, then_w)
