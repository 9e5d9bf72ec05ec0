"""A crash at any boundary of any write, drawn: volatile, stored, a pulse, and a pulse that cannot be read back.

Only a person wants anything of these devices, so every write that a device takes belongs to one order.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from bench_region import Bench, bench_of, device, replayed, text_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scowl_edge.assembly import assemble
from scowl_edge.control.entry import STANDING, Stage
from scowl_edge.model.command import Verb
from scowl_edge.model.event import Rank, ValueOrder

NAMES = ("volatile", "stored", "pulse", "blind")
VERBS = {"volatile": Verb.LIMIT, "stored": Verb.LIMIT, "pulse": Verb.CONNECT, "blind": Verb.CONNECT}
ROLE = "kind: consumer, rated: 11 kW, interruptible: true, settle: 500 ms"
_LIKE = {
    "volatile": device("volatile", "power limit", ROLE),
    "stored": device("stored", "power limit", ROLE, "limit: write_class: stored"),
    "pulse": device("pulse", "power connect", ROLE, "connect: write_class: pulse"),
    "blind": device("blind", "power connect", ROLE, "connect: write_class: pulse").replace("access: rw", "access: w"),
}


def site_of(names: Sequence[str]) -> str:
    """A configuration of these devices."""
    model = "{model: home, base: 2 kW, deferrable: 0 kW, noise: 0 %}"
    return text_of([_LIKE[name] for name in names], simulated=[f"{name}: {model}" for name in names])


GAP_MS = 6_000
"""Between two orders: enough for every answer, time-out and second look."""


class Died(Exception):
    """The daemon ended here."""


class Course:
    """Orders one after the other, and crashes in between."""

    def __init__(self, crashes: dict[int, tuple[int, bool]], names: Sequence[str] = NAMES) -> None:
        """`crashes`: number of a boundary to (volatile records that survive, whether what is on the wire arrives)."""
        self.world: Bench = bench_of(site_of(names))
        self._names = names
        self._crashes = crashes
        self._boundary = 0
        self.said: list[tuple[int, str, int]] = []
        self.after: Bench | None = None
        self.world.run_for(3_000)
        self._follow(self.world)

    def _follow(self, world: Bench) -> None:
        keep_turns = world.on_boundary

        def at(name: str) -> None:
            if keep_turns is not None:
                keep_turns(name)
            self._boundary += 1
            crash = self._crashes.get(self._boundary)
            if crash is not None:
                volatile = len(world.journal.volatile)
                self.after = world.crashed(keep_volatile=min(crash[0], volatile), delivered=crash[1])
                raise Died

        world.on_boundary = at

    def run(self, ms: int) -> None:
        """Lets time pass, through the crashes that fall into it."""
        until = self.world.now_ms + ms
        while self.world.now_ms < until:
            try:
                self.world.run_until(until)
            except Died:
                assert self.after is not None
                self.world, self.after = self.after, None
                self._follow(self.world)
                until = max(until, self.world.now_ms + GAP_MS)

    def order(self, name: str, value: int) -> None:
        """A person holds a device at a value."""
        verb = VERBS[name].value
        self.said.append((self.world.now_ms, name, value))
        self.world.say(
            ValueOrder(
                device=name, verb=verb, value=value, rank=Rank.OPERATOR, who="ann", why="a drawn day", until_utc_ms=0
            )
        )

    def judge(self) -> None:
        """What must be true of every device at the end."""
        for name in self._names:
            entry = self.world.entry(name, VERBS[name])
            writes = self.world.writes(name)
            orders = [(at, value) for at, of, value in self.said if of == name]
            for place, (at, value) in enumerate(orders):
                end = orders[place + 1][0] if place + 1 < len(orders) else 1 << 60
                same = [w for w in writes if at <= w.at_ms < end and w.value == value]
                assert name == "volatile" or len(same) <= 1, f"{name} = {value} was done {len(same)} times"
            assert {w.value for w in writes} <= {value for _, value in orders}
            held = entry.target
            if held is None:
                continue
            shown = self.world.register(name, VERBS[name].value)
            if name in ("volatile", "stored"):
                assert entry.stage in STANDING
                assert shown == held == entry.confirmed
            elif entry.stage in STANDING:
                assert shown == held
            else:
                assert entry.stage is (Stage.CONTESTED if name == "pulse" else Stage.IN_DOUBT)
                assert self.world.alarms() & {f"contested:{name}", f"in-doubt:{name}"}
            assert entry.writes_total >= len(writes), "a write that may have happened is counted"
        report = replayed(self.world)
        assert report.difference is None, str(report.difference)


ORDERS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)
CRASHES = st.dictionaries(st.integers(1, 90), st.tuples(st.integers(0, 3), st.booleans()), max_size=3)


@settings(max_examples=30, deadline=None)
@example(["volatile", "volatile"], {4: (0, False), 26: (1, False)})
@given(ORDERS, CRASHES)
def test_no_write_is_lost_or_doubled_wherever_the_daemon_dies(
    orders: list[str], crashes: dict[int, tuple[int, bool]]
) -> None:
    course = Course(crashes)
    for number, name in enumerate(orders):
        before = [value for _, of, value in course.said if of == name]
        on = 1 - before[-1] if before else 0
        # Further apart than what a device may round: else the value before would be taken for the new one.
        course.order(name, on if VERBS[name] is Verb.CONNECT else 5_000 + 1_000 * number)
        course.run(GAP_MS)
    course.run(2 * GAP_MS)
    course.judge()


@pytest.mark.parametrize("name", NAMES)
def test_every_single_boundary_of_one_write(name: str) -> None:
    value = 0 if VERBS[name] is Verb.CONNECT else 5_000
    met: set[str] = set()
    for delivered in (False, True):
        for boundary in range(1, 30):
            course = Course({boundary: (boundary % 3, delivered)}, [name])
            course.order(name, value)
            course.run(2 * GAP_MS)
            course.judge()
            met.add(course.world.entry(name, VERBS[name]).stage.value)
    assert "effective" in met or "holding" in met
    if name in ("pulse", "blind"):
        assert met & {"contested", "in_doubt"}, "no crash cut the answer off: nothing was tried"


def test_the_counts_of_writes_outlive_a_restart_and_a_changed_configuration() -> None:
    course = Course({}, ["stored", "pulse"])
    for number in range(3):
        course.order("stored", 5_000 + number)
        course.run(GAP_MS)
    world = course.world
    before = world.entry("stored", Verb.LIMIT)
    assert (before.writes_today, before.writes_total) == (3, 3)
    changed = assemble(site_of(["stored", "pulse"]).replace("settle: 500 ms", "settle: 700 ms"), "bench.yaml")
    after = Bench(changed, plant=world.plant, journal=world.journal.crash(0), now_ms=world.now_ms + 1_000)
    after.run_for(3_000)
    entry = after.entry("stored", Verb.LIMIT)
    assert (entry.writes_today, entry.writes_total, entry.found) == (3, 3, before.found)
    assert entry.day == before.day
    shown = after.actuator("stored", "limit")
    assert (shown.writes_today, shown.writes_total, shown.daily_budget) == (3, 3, 20)


def test_a_held_value_that_a_changed_configuration_does_not_allow_ends_and_is_said() -> None:
    course = Course({}, ["stored"])
    course.order("stored", 9_000)
    course.run(GAP_MS)
    world = course.world
    changed = assemble(site_of(["stored"]).replace("rated: 11 kW", "rated: 7 kW"), "bench.yaml")
    after = Bench(changed, plant=world.plant, journal=world.journal.crash(0), now_ms=world.now_ms + 1_000)
    after.run_for(5_000)
    assert after.actuator("stored", "limit").ordered is None
    assert after.register("stored", "limit") == 9_000, "nothing is cut to fit"
    ended = [e for e in after.view.events if e.kind == "order-ended"]
    assert [str(e.text) for e in ended] == [
        "limit at 9000 by ann has ended: under this configuration only 0 to 7000 can be ordered"
    ]
