"""A population that tells what it draws: latest message counts, clamped, confirmed, repeated; joins and leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scowl_edge.assembly import assemble
from scowl_edge.control import Core
from scowl_edge.inbox import Inbox
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.replay import replay
from scowl_edge.model.batch import ROWS, Assign, Batch, BatchKind, Seated
from scowl_edge.model.effect import Plan
from scowl_edge.model.site import PeerKind, Site
from scowl_edge.tracker.population import assign
from scowl_edge.tracker.population.columns import NO_TREE
from scowl_edge.tracker.population.holding import REPEAT_MS
from scowl_edge.tracker.population.intake import identities
from scowl_edge.turn import Clocks, Turn, resume

TEXT = "{site: {id: district}, region: {mode: auto}, populations: {town: {consumers: 400, trees: 10, feeders: 4}}}"


def site() -> Site:
    made = assemble(TEXT, "district.yaml").site
    town = replace(made.populations[0], kind=PeerKind.REPORTED, fresh_ms=90_000, hold_ms=120_000)
    return replace(made, populations=(town,))


class District:
    """A tracker and what is told to it, at the times a test says."""

    def __init__(
        self,
        journal: MemoryJournal | None = None,
        now_ms: int = 1_000_000,
        *,
        utc_ok: bool = True,
        utc_shift_ms: int = 0,
    ) -> None:
        self.now_ms, self.utc_ok, self.utc_shift_ms = now_ms, utc_ok, utc_shift_ms
        self.journal = journal or MemoryJournal()
        self.inbox = Inbox(0, [], [], [], lambda: None)
        self.core = Core(site())
        self.turn: Turn = resume(
            self.journal.recover(),
            self.core,
            lambda _: Core(site()),
            self.inbox,
            self.journal,
            self.clocks(),
            version="test",
            seed=1,
            text=TEXT,
            fingerprint="x",
            snapshot_every=5,
        )
        self.sequence: dict[int, int] = {}

    @property
    def town(self):  # type: ignore[no-untyped-def]
        return self.core.populations[0]

    def clocks(self) -> Clocks:
        return Clocks(
            mono_ms=self.now_ms, utc_ms=1_900_000_000_000 + self.now_ms + self.utc_shift_ms, utc_ok=self.utc_ok
        )

    def tell(self, kind: BatchKind, rows: list[tuple[int, ...]], sender: int = 1, sequence: int | None = None) -> None:
        number = self.sequence[sender] = sequence or self.sequence.get(sender, 0) + 1
        data = np.array(rows, ROWS[kind]).tobytes()
        taken = self.inbox.batch(
            Batch(population=0, kind=kind, sender=sender, sequence=number, at_ms=self.now_ms, data=data)
        )
        assert taken

    def tell_plants(self, share: float = 1.0) -> None:
        rated = self.town.fleet.rated.tolist()
        self.tell(BatchKind.OUTPUT, [(t, int(w * share)) for t, w in enumerate(rated)], sender=2)

    def step(self, after_ms: int = 1_000) -> Plan:
        self.now_ms += after_ms
        plan = self.turn.decide(self.clocks())
        assert not self.turn.failure, self.turn.failure
        assert self.journal.commit(200)
        self.turn.settled(True)
        assert assign.same_sums(self.town.columns)
        return plan

    def everybody_holds(self, plan: Plan) -> None:
        for effect in plan.effects:
            if isinstance(effect, Assign):
                rows = zip(effect.kind.tolist(), effect.number.tolist(), effect.tree.tolist(), strict=True)
                self.tell(BatchKind.HELD, list(rows), sender=3)


def started() -> District:
    district = District()
    district.step()
    district.tell_plants()
    district.everybody_holds(district.step())
    district.step()
    return district


def assignments(plan: Plan) -> list[Assign]:
    return [e for e in plan.effects if isinstance(e, Assign)]


def identity(number: int) -> tuple[int, int]:
    high, low = identities(site().populations[0].seed, 400)[number].view(np.uint64).tolist()
    return high, low


def slots(district: District) -> NDArray[np.int64]:
    return np.flatnonzero(district.town.intake.people.living.nominal != 0)


def test_nobody_is_assigned_before_a_plant_is_known() -> None:
    district = District()
    assert assignments(district.step()) == []
    district.tell_plants()
    sent = assignments(district.step())
    assert len(sent) == 1
    assert district.town.standing.starved.sum() == 0


def test_what_is_confirmed_is_not_repeated_and_what_is_not_is() -> None:
    district = District()
    district.tell_plants()
    first = district.step()
    assert assignments(first)
    district.tell_plants()
    assert assignments(district.step()) == []
    district.now_ms += REPEAT_MS
    district.tell_plants()
    again = district.step()
    assert set(assignments(again)[0].number.tolist()) <= set(assignments(first)[0].number.tolist())
    district.everybody_holds(again)
    district.tell_plants()
    assert assignments(district.step()) == []
    district.now_ms += REPEAT_MS
    district.tell_plants()
    assert assignments(district.step()) == []


def test_the_latest_message_counts_and_an_older_or_torn_one_is_refused() -> None:
    district = started()
    at = int(slots(district)[3])
    nominal = int(district.town.intake.people.living.nominal[at])
    district.tell(BatchKind.DEMAND, [(at, nominal * 2)], sequence=7)
    district.tell(BatchKind.DEMAND, [(at, nominal)], sequence=6)
    district.tell(BatchKind.DEMAND, [(at, nominal)], sequence=7)
    district.inbox.batch(Batch(population=0, kind=BatchKind.DEMAND, sender=9, sequence=1, at_ms=0, data=b"seven b"))
    district.step()
    assert district.town.columns.demand[at] == nominal * 2
    refused = dict(district.town.view().refused)
    assert refused["older"] == 2
    assert refused["torn"] == 1


def test_more_than_the_nameplate_is_clamped_and_nonsense_refused() -> None:
    district = started()
    at = int(slots(district)[3])
    nominal = int(district.town.intake.people.living.nominal[at])
    district.tell(BatchKind.DEMAND, [(at, 2**31 - 1), (len(district.town.columns.demand) + 5, 3)])
    district.tell(BatchKind.OUTPUT, [(0, -5), (1, 2**62), (99, 4)], sender=4)
    district.step()
    assert district.town.columns.demand[at] == min(4 * nominal, 32_767)
    assert district.town.output[1] == district.town.fleet.rated[1]
    refused = dict(district.town.view().refused)
    assert refused["nobody-there"] == 1
    assert refused["clamped"] == 2
    assert refused["below-nothing"] == 1
    assert refused["no-such-plant"] == 1


def test_a_plant_that_goes_silent_keeps_its_members_and_takes_nobody() -> None:
    district = started()
    members = int(district.town.standing.tree_members[0])
    assert members > 0
    rated = district.town.fleet.rated.tolist()
    for _ in range(4):
        district.now_ms += 60_000
        district.tell(BatchKind.OUTPUT, [(t, rated[t]) for t in range(1, 10)], sender=2)
        district.step()
    assert not district.town.fresh[0]
    assert district.town.columns.tree_alive[0] == 1
    assert int(district.town.standing.tree_members[0]) == members
    assert district.town.columns.tree_safe[0] == district.town.columns.tree_load[0]


def test_a_plant_that_says_it_stands_still_loses_its_members_at_once() -> None:
    district = started()
    rated = district.town.fleet.rated.tolist()
    largest = int(np.argmax(rated))
    district.tell(BatchKind.OUTPUT, [(t, 0 if t == largest else w) for t, w in enumerate(rated)], sender=2)
    plan = district.step()
    assert district.town.columns.tree_alive[largest] == 0
    assert district.town.standing.tree_members[largest] == 0
    assert largest not in set(assignments(plan)[0].tree.tolist())


def test_whoever_joins_gets_a_place_and_a_second_one_of_that_name_does_not() -> None:
    district = started()
    new = (1 << 63) + 5, 77
    zone = int(district.town.columns.block_zone[0])
    district.tell(BatchKind.JOIN, [(*new, zone, 3, 100), (*new, zone, 3, 120), (*identity(3), zone, 3, 90)], sender=5)
    plan = district.step()
    seated = next(e for e in plan.effects if isinstance(e, Seated))
    assert seated.outcome.tolist() == [0, 1, 1]
    slot = int(seated.place[0])
    assert district.town.columns.demand[slot] == 100
    assert dict(district.town.view().refused)["taken"] == 2
    district.tell(BatchKind.LEAVE, [new, (1, 2)], sender=5)
    district.step()
    assert district.town.columns.demand[slot] == 0
    assert dict(district.town.view().refused)["nobody-there"] == 1


def test_a_burst_of_joins_is_let_in_at_a_bounded_rate_while_control_goes_on() -> None:
    district = started()
    zone = int(district.town.columns.block_zone[0])
    rows = [(k, 9, zone, 3, 1) for k in range(1, 30_001)]
    for first in range(0, 90_000, 30_000):
        district.tell(BatchKind.JOIN, [(k + first, 9, zone, 3, 1) for k, *_ in rows], sender=5)
    sizes = []
    for _ in range(4):
        district.tell_plants()
        sizes += [len(e.outcome) for e in district.step().effects if isinstance(e, Seated)]
    assert sizes == [2_000] * 4
    assert dict(district.town.view().refused)["turned-away"] == 90_000 - 65_536


def test_a_crash_finds_all_of_it_and_the_journal_repeats_it() -> None:
    district = started()
    zone = int(district.town.columns.block_zone[0])
    district.tell(BatchKind.JOIN, [(5, 6, zone, 3, 100)], sender=5)
    for k in range(7):
        at = slots(district)[k::11]
        nominal = district.town.intake.people.living.nominal[at]
        district.tell(BatchKind.DEMAND, list(zip(at.tolist(), (nominal * (k % 3)).tolist(), strict=True)))
        district.tell_plants(1.0 - 0.1 * k)
        district.everybody_holds(district.step())
    before = district.town.snapshot()
    after = District(district.journal.crash(0), district.now_ms + 500)
    assert after.town.snapshot() == before
    report = replay(after.journal.durable, lambda _: Core(site()))
    assert report.identical, str(report.difference)
    assert report.steps > 5
    after.step()


@pytest.mark.parametrize(("utc_ok", "fresh"), [(True, True), (False, False)])
def test_what_was_heard_before_a_gap_of_unknown_length_is_not_fresh(utc_ok: bool, fresh: bool) -> None:
    """A machine that started anew, with a clock that nobody set: nobody can tell for how long it was off."""
    district = started()
    members = district.town.standing.tree_members.tolist()
    district.tell_plants()
    district.step()
    assert district.town.fresh.all()
    # The monotonic clock begins anew; where UTC is to be trusted, it says that a second has passed.
    shift_ms = district.now_ms + 1_000 - 3_000
    after = District(district.journal.crash(0), 3_000, utc_ok=utc_ok, utc_shift_ms=shift_ms)
    after.step()
    assert after.town.fresh.all() if fresh else not after.town.fresh.any()
    assert after.town.standing.tree_members.tolist() == members, "each keeps whom it has"
    after.sequence = district.sequence
    after.tell_plants()
    after.step()
    assert after.town.fresh.all()


def test_those_who_starve_are_told_so() -> None:
    district = started()
    district.tell_plants(0.4)
    plan = district.step()
    told = assignments(plan)[0]
    assert (told.tree == NO_TREE).any()
    assert district.town.standing.starved.sum() > 0
    assert district.town.standing.starved[0] == 0
