"""What a reported population does with input that is absurd, torn, repeated, or far too much of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scowl_edge.assembly import assemble
from scowl_edge.config.fault import ConfigError
from scowl_edge.model.batch import ROWS, Batch, BatchKind
from scowl_edge.model.site import PeerKind
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population import intake as border
from scowl_edge.tracker.population.assign import same_sums
from scowl_edge.tracker.population.changes import Changes
from scowl_edge.tracker.population.intake import JOINS_A_STEP, PARTINGS_A_STEP, WAITING_JOINS, Seats
from scowl_edge.tracker.population.packing import TornArrays
from scowl_edge.tracker.population.population import Population
from scowl_edge.tracker.population.roster import Outcome

TREES = 6
Row = tuple[int, ...]


def declared(consumers: int = 300, seed: int = 1) -> Declared:
    return Declared(
        name="town",
        kind=PeerKind.REPORTED,
        consumers=consumers,
        trees=TREES,
        seed=seed,
        quantum_w=10,
        feeders=3,
        feeder_limit_ppm=0,
        supply_ppm=2_000_000,
        margin_ppm=100_000,
        sigma_milli=0,
        correlated_ppm=0,
        period_ms=1_000,
        fresh_ms=60_000,
        hold_ms=60_000,
        dead_band_ppm=2_000,
        move_budget=50,
    )


class Town:
    """A reported population and what is told to it."""

    def __init__(self, consumers: int = 300) -> None:
        self.it = Population(declared(consumers))
        self.now_ms = 1_000_000
        self.rated: list[int] = self.it.fleet.rated.tolist()
        self.told: list[Batch] = []
        self.sequence: dict[int, int] = {}
        self.changes: Changes | None = None
        self.plants()
        self.step()

    @property
    def intake(self) -> border.Intake:
        assert self.it.intake is not None
        return self.it.intake

    def tell(self, kind: BatchKind, data: bytes | list[Row], sender: int = 1, sequence: int = 0) -> None:
        number = self.sequence[sender] = sequence or self.sequence.get(sender, 0) + 1
        rows = data if isinstance(data, bytes) else np.array(data, ROWS[kind]).tobytes()
        self.told.append(Batch(population=0, kind=kind, sender=sender, sequence=number, at_ms=0, data=rows))

    def plants(self, **other: int) -> None:
        """All plants give all they can, but those that are named (`_3=0`)."""
        self.tell(BatchKind.OUTPUT, [(t, other.get(f"_{t}", w)) for t, w in enumerate(self.rated)], sender=9)

    def step(self) -> Seats | None:
        self.now_ms += 1_000
        self.changes = self.it.step(self.now_ms, self.told, deciding=True, advisory=False)
        self.told.clear()
        return self.it.seats

    def refused(self, why: str) -> int:
        return dict(self.it.view().refused)[why]

    def join(self, identity: tuple[int, int], nominal: int = 100, sender: int = 1, klass: int = 3) -> None:
        self.tell(BatchKind.JOIN, [(*identity, int(self.it.columns.block_zone[0]), klass, nominal)], sender)

    def answer(self) -> tuple[int, int]:
        """(place, outcome) of the only one who is answered in the next step."""
        seats = self.step()
        assert seats is not None and len(seats.place) == 1
        return int(seats.place[0]), int(seats.outcome[0])


NEW = ((1 << 63) + 5, 77)


@pytest.mark.parametrize("nominal", [100, -40, 9_000])
def test_whoever_got_no_answer_asks_again_and_is_told_the_same_place(nominal: int) -> None:
    town = Town()
    town.join(NEW, nominal)
    place, outcome = town.answer()
    assert outcome == Outcome.DONE
    load, members = int(town.it.columns.tree_load.sum()), int(town.intake.people.roster.totals[1])
    town.join(NEW, nominal)
    assert town.answer() == (place, Outcome.DONE)
    assert int(town.it.columns.tree_load.sum()) == load, "it draws once"
    assert int(town.intake.people.roster.totals[1]) == members
    assert town.refused("taken") == 0


@pytest.mark.parametrize(("nominal", "sender", "klass"), [(100, 2, 3), (101, 1, 3), (-100, 1, 3), (100, 1, 2)], ids=str)
@pytest.mark.parametrize("first", [100, 9_000])
def test_another_one_with_that_identity_is_refused_and_is_not_told_the_place(
    first: int, nominal: int, sender: int, klass: int
) -> None:
    town = Town()
    town.join(NEW, first)
    place, _ = town.answer()
    town.join(NEW, nominal * first // 100, sender, klass)
    assert town.answer() == (-1, Outcome.TAKEN)
    assert town.refused("taken") == 1
    who = np.array([NEW], np.uint64).view(np.int64)
    assert town.intake.people.find(who)[0] == place


def test_nobody_asks_for_the_place_of_who_was_there_from_the_start() -> None:
    # Whoever drew these identities knows where they are; who asks under one of them is somebody else.
    town = Town()
    slot = int(np.flatnonzero(town.intake.people.living.nominal)[4])
    high, low = np.array(town.intake.people.identity_at(slot), np.int64).view(np.uint64).tolist()
    block = town.it.columns.row_block[slot // 16]
    nominal = int(town.intake.people.living.nominal[slot])
    zone, klass = int(town.it.columns.block_zone[block]), int(town.it.columns.block_class[block])
    for sender in (0, 1, (1 << 32) - 1):
        town.tell(BatchKind.JOIN, [(high, low, zone, klass, nominal)], sender)
        assert town.answer() == (-1, Outcome.TAKEN)


def test_asking_again_is_answered_after_a_restart_too() -> None:
    town = Town()
    town.join(NEW)
    place, _ = town.answer()
    again = Town()
    again.it.restore(town.it.snapshot())
    again.sequence = dict(town.sequence)
    again.join(NEW)
    assert again.answer() == (place, Outcome.DONE)
    again.join(NEW, sender=2)
    assert again.answer() == (-1, Outcome.TAKEN)


def test_who_left_is_forgotten_with_its_sender() -> None:
    town = Town()
    for nominal, sender in ((100, 1), (9_000, 2)):
        town.join(NEW, nominal, sender)
        town.step()
        town.tell(BatchKind.LEAVE, [NEW], sender)
        town.step()
        town.join(NEW, nominal, sender=3)
        assert town.answer()[1] == Outcome.DONE
        town.join(NEW, nominal, sender)
        assert town.answer()[1] == Outcome.TAKEN
        town.tell(BatchKind.LEAVE, [NEW], sender=3)
        town.step()


def test_only_the_sender_that_brought_somebody_may_let_it_leave_and_is_answered() -> None:
    town = Town()
    for nominal in (100, 9_000):
        town.join(NEW, nominal)
        place, _ = town.answer()
        refused = town.refused("not-yours")
        for sender in (2, 0, (1 << 32) - 1):
            town.tell(BatchKind.LEAVE, [NEW], sender)
            assert town.answer() == (-1, Outcome.NOT_YOURS)
        assert town.refused("not-yours") == refused + 3
        assert town.intake.people.find(np.array([NEW], np.uint64).view(np.int64))[0] == place
        town.tell(BatchKind.LEAVE, [NEW])
        assert town.answer() == (-1, Outcome.LEFT)
        # Its answer may have been lost: it says so once more.
        town.tell(BatchKind.LEAVE, [NEW])
        assert town.answer() == (-1, Outcome.UNKNOWN)
    assert town.refused("nobody-there") == 2


def test_who_was_there_from_the_start_may_leave_through_anybody() -> None:
    town = Town()
    slot = int(np.flatnonzero(town.intake.people.living.nominal)[4])
    high, low = np.array(town.intake.people.identity_at(slot), np.int64).view(np.uint64).tolist()
    town.tell(BatchKind.LEAVE, [(high, low)], sender=7)
    assert town.answer() == (-1, Outcome.LEFT)
    assert town.it.columns.demand[slot] == 0


def test_nobody_takes_another_ones_newcomers_out_of_the_queue() -> None:
    town = Town()
    zone = int(town.it.columns.block_zone[0])
    town.tell(BatchKind.JOIN, [(k, 1, zone, 3, 1) for k in range(JOINS_A_STEP + 50)])
    town.tell(BatchKind.LEAVE, [(JOINS_A_STEP + 7, 1)], sender=2)
    seats = town.step()
    assert seats is not None
    assert (int(seats.low[0]), int(seats.outcome[0])) == (1, Outcome.UNKNOWN)
    assert town.intake.admission.waiting == 50


def test_leaves_without_end_are_answered_at_a_bounded_rate() -> None:
    town = Town()
    town.tell(BatchKind.LEAVE, [(k, 5) for k in range(3 * PARTINGS_A_STEP)])
    town.tell(BatchKind.LEAVE, [(k, 6) for k in range(7)], sender=2)
    seats = town.step()
    assert seats is not None and len(seats.outcome) == PARTINGS_A_STEP
    assert town.refused("turned-away") == 2 * PARTINGS_A_STEP + 7


@pytest.mark.parametrize(("before", "after"), [(100, 60), (60, -40), (100, 9_000), (9_000, 100), (2_000, 3_000)])
def test_a_member_changes_what_it_draws_and_only_its_sender_may_say_so(before: int, after: int) -> None:
    town = Town()
    town.join(NEW, before)
    place, _ = town.answer()
    zone, people = int(town.it.columns.block_zone[0]), town.intake.people
    members = int(people.roster.totals[1])
    town.tell(BatchKind.CHANGE, [(*NEW, zone, 3, after)], sender=2)
    assert town.answer() == (-1, Outcome.NOT_YOURS)
    town.tell(BatchKind.CHANGE, [(*NEW, zone, 3, 0)])
    assert town.answer() == (-1, Outcome.REFUSED)
    town.tell(BatchKind.CHANGE, [(*NEW, zone, 3, after)])
    now, outcome = town.answer()
    assert outcome == Outcome.DONE
    assert int(people.roster.totals[1]) == members
    assert same_sums(town.it.columns)
    assert (now == place) == (abs(before) < 1_000 and abs(after) < 1_000), "in place where its size allows"
    assert people.find(np.array([NEW], np.uint64).view(np.int64))[0] == now
    if now >= 0:
        assert people.living.nominal[now] == after
        assert people.edge.nameplate[now] == 4 * abs(after)
    else:
        run = slice(-2 - now, -2 - now + int(people.roster.feed_run[-2 - now]))
        assert int(people.living.big_nominal[run].sum()) == after
    # In the same words again: the answer may have been lost.
    town.tell(BatchKind.CHANGE, [(*NEW, zone, 3, after)])
    assert town.answer()[1] == Outcome.DONE
    town.tell(BatchKind.LEAVE, [NEW])
    assert town.answer() == (-1, Outcome.LEFT)


def test_a_change_of_nobody_or_without_room_changes_nothing() -> None:
    town = Town()
    zone = int(town.it.columns.block_zone[0])
    town.tell(BatchKind.CHANGE, [(*NEW, zone, 3, 50)])
    assert town.answer() == (-1, Outcome.UNKNOWN)
    town.join(NEW, 100)
    place, _ = town.answer()
    largest = int(town.intake.people.roster.limits[1])
    town.tell(BatchKind.CHANGE, [(*NEW, zone, 3, largest * 900)])
    assert town.answer() == (-1, Outcome.NO_ROOM)
    assert town.it.columns.demand[place] == 100
    assert (town.refused("nobody-there"), town.refused("no-room")) == (1, 1)


def test_who_changes_one_that_was_there_from_the_start_speaks_for_it_from_then_on() -> None:
    town = Town()
    slot = int(np.flatnonzero(town.intake.people.living.nominal > 4)[4])
    high, low = np.array(town.intake.people.identity_at(slot), np.int64).view(np.uint64).tolist()
    block = town.it.columns.row_block[slot // 16]
    zone, klass = int(town.it.columns.block_zone[block]), int(town.it.columns.block_class[block])
    nominal = int(town.intake.people.living.nominal[slot])
    town.tell(BatchKind.CHANGE, [(high, low, zone, klass, nominal - 1)], sender=7)
    assert town.answer() == (slot, Outcome.DONE)
    town.tell(BatchKind.LEAVE, [(high, low)], sender=8)
    assert town.answer() == (-1, Outcome.NOT_YOURS)
    town.tell(BatchKind.LEAVE, [(high, low)], sender=7)
    assert town.answer() == (-1, Outcome.LEFT)


@pytest.mark.parametrize(("name", "value"), [("population", -1), ("population", 1 << 16), ("sender", 1 << 32),
                                             ("sender", -1), ("sequence", 1 << 64), ("sequence", -1)])  # fmt: skip
def test_a_number_that_no_message_can_hold_is_refused_at_the_source(name: str, value: int) -> None:
    numbers = {"population": 0, "sender": 1, "sequence": 1} | {name: value}
    with pytest.raises(ValueError, match=f"the {name} {value}"):
        Batch(kind=BatchKind.DEMAND, at_ms=0, data=b"", **numbers)


def test_who_leaves_while_still_in_the_queue_does_not_get_in_afterwards() -> None:
    town = Town()
    zone = int(town.it.columns.block_zone[0])
    town.tell(BatchKind.JOIN, [(k, 1, zone, 3, 1) for k in range(JOINS_A_STEP + 50)])
    town.tell(BatchKind.LEAVE, [(JOINS_A_STEP + 7, 1), (JOINS_A_STEP + 999, 1)])
    town.step()
    assert town.intake.admission.waiting == 49
    assert town.refused("nobody-there") == 1, "only the one that never was there"
    seats = town.step()
    assert seats is not None
    assert seats.high.tolist() == [k for k in range(JOINS_A_STEP, JOINS_A_STEP + 50) if k != JOINS_A_STEP + 7]


def test_ten_million_joins_are_let_in_at_a_bounded_rate_and_a_lost_plant_is_made_up_for_meanwhile() -> None:
    town = Town()
    zone = int(town.it.columns.block_zone[0])
    crowd = np.zeros(1_000_000, ROWS[BatchKind.JOIN])
    crowd["low"], crowd["zone"], crowd["klass"], crowd["nominal"] = np.arange(len(crowd)), zone, 3, 1
    seated = 0
    for burst in range(10):
        crowd["high"] = burst
        town.tell(BatchKind.JOIN, crowd.tobytes())
        town.plants(_2=0 if burst >= 5 else town.rated[2])
        seats = town.step()
        assert seats is not None and len(seats.outcome) == JOINS_A_STEP
        seated += int(np.count_nonzero(seats.outcome == Outcome.DONE))
        columns = town.it.columns
        assert town.intake.admission.waiting <= WAITING_JOINS
        assert same_sums(columns)
        assert (columns.tree_load <= columns.tree_safe).all(), "nobody waits for the crowd"
        assert (town.it.standing.tree_members[2] == 0) == (burst >= 5)
    assert town.refused("turned-away") + town.intake.admission.waiting + 10 * JOINS_A_STEP == 10_000_000
    assert seated + town.refused("no-room") == 10 * JOINS_A_STEP
    assert seated > 0
    assert town.it.standing.starved.sum() == 0


ENDS = {"u1": [0, 7, 8, 255], "<u2": [0, 3, 65_534, 65_535], "<u4": [0, 5, (1 << 31) - 1, 1 << 31, (1 << 32) - 1],
        "<i4": [-(1 << 31), -1, 0, 1, (1 << 31) - 1], "<u8": [0, 1, 1 << 63, (1 << 64) - 1],
        "<i8": [-(1 << 63), -1, 0, (1 << 63) - 1]}  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> tuple[BatchKind, bytes]:
    """Any kind, with rows of the ends of their types, at random, or bytes that are no rows at all."""
    kind = draw(st.sampled_from(list(BatchKind)))
    dtype = ROWS[kind]
    if draw(st.integers(0, 9)) == 0:
        return kind, draw(st.binary(max_size=60))
    rows = np.zeros(draw(st.integers(0, 6)), dtype)
    for name in dtype.names or ():
        field = np.dtype(dtype[name])
        low, high = int(np.iinfo(field).min), int(np.iinfo(field).max)
        ends = st.sampled_from(ENDS[field.str.replace("|", "")])
        rows[name] = [draw(ends | st.integers(0, min(high, 400)) | st.integers(low, high)) for _ in rows]
    return kind, rows.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(messages(), max_size=4), max_size=4))
def test_nothing_that_is_told_breaks_a_law(steps: list[list[tuple[BatchKind, bytes]]]) -> None:
    town = Town(120)
    for told in steps:
        for kind, data in told:
            town.tell(kind, data)
        town.plants()
        town.step()
        columns, people = town.it.columns, town.intake.people
        assert same_sums(columns)
        assert (np.abs(columns.demand.astype(int)) <= people.edge.nameplate).all()
        assert (np.abs(columns.big_demand.astype(int)) <= people.edge.big_nameplate).all()
        assert ((town.it.output >= 0) & (town.it.output <= town.it.fleet.rated)).all()
        repaired = town.it.repaired
        over = np.maximum(0, columns.tree_load - columns.tree_safe).sum()
        assert int(over) <= repaired.over + repaired.uncovered
        demand, tree, klass = single_places(town.it)
        assert int(demand.sum()) == int(columns.tree_load.sum()) + int(demand[tree >= TREES].sum())
        assert not ((tree >= TREES) & (klass == 0) & (demand > 0)).any() or repaired.uncovered or repaired.stuck
    again = Town(120)
    again.it.restore(town.it.snapshot())
    assert again.it.snapshot() == town.it.snapshot()


def single_places(it: Population) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(demand, tree, class) of every slot and feed."""
    columns = it.columns
    sizes = np.diff(columns.block_start)
    tree = np.repeat(columns.block_tree, sizes).astype(np.int64)
    tree = np.where(tree == 65_534, columns.tree, tree)
    klass = np.concatenate([np.repeat(columns.block_class, sizes), columns.big_class]).astype(np.int64)
    demand = np.concatenate([columns.demand, columns.big_demand]).astype(np.int64)
    return demand, np.concatenate([tree, columns.big_tree]).astype(np.int64), klass


def test_a_sequence_at_the_end_of_its_type_is_kept_over_a_restart() -> None:
    town = Town()
    town.tell(BatchKind.DEMAND, [], sender=4, sequence=(1 << 64) - 1)
    town.step()
    again = Town()
    again.it.restore(town.it.snapshot())
    assert again.intake.senders[4] == (1 << 64) - 1


def test_made_up_senders_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(border, "MOST_SENDERS", 10)
    town = Town()
    for sender in range(100, 150):
        town.tell(BatchKind.DEMAND, [(0, 1)], sender)
    town.step()
    assert len(town.intake.senders) == 10
    assert town.refused("too-many-senders") == 50 - 9
    town.plants(_0=0)
    town.step()
    assert town.it.columns.tree_alive[0] == 0, "those who are known are heard"


def test_a_peer_above_its_nameplate_is_held_to_it_counted_by_place_and_shown() -> None:
    town = Town()
    slot = int(np.flatnonzero(town.intake.people.living.nominal > 0)[0])
    plate = int(town.intake.people.edge.nameplate[slot])
    for _ in range(3):
        town.tell(BatchKind.DEMAND, [(slot, plate + 1), (slot, plate)])
    town.tell(BatchKind.OUTPUT, [(0, town.rated[0] + 1)], sender=9)
    town.step()
    assert town.it.columns.demand[slot] == plate
    assert town.it.output[0] == town.rated[0]
    assert town.intake.people.edge.clamped[slot] == 3
    assert town.refused("clamped") == 4
    high, low = town.intake.people.identity_at(slot)
    who = f"{high & (1 << 64) - 1:016x}{low & (1 << 64) - 1:016x}"
    shown = [(each.place, each.identity, each.times, each.most_w) for each in town.it.view().clamped]
    assert shown == [(f"slot {slot}", who, 3, plate * 10), ("town/0", "", 1, town.rated[0] * 10)]
    town.tell(BatchKind.DEMAND, [(slot, plate)])
    town.step()
    assert [each.times for each in town.it.view().clamped] == [3, 1], "who keeps to it adds nothing"


def test_of_many_above_their_nameplates_the_worst_are_shown_and_their_counts_outlive_a_restart() -> None:
    town = Town()
    members = np.flatnonzero(town.intake.people.living.nominal > 0)[:40].tolist()
    for number, slot in enumerate(members):
        town.tell(BatchKind.DEMAND, [(slot, 32_767 + 1 + k) for k in range(number + 1)])
    town.join(NEW, nominal=9_000)
    place, _ = town.answer()
    feed = -2 - place
    run = int(town.intake.people.roster.feed_run[feed])
    town.tell(BatchKind.FEED, [(feed + run - 1, (1 << 31) - 1)] * 300)
    town.step()
    shown = town.it.view().clamped
    assert shown[0].place == f"feed {feed + run - 1}"
    assert shown[0].identity == f"{NEW[0]:016x}{NEW[1]:016x}", "a feed is called by whose it is"
    assert shown[0].times == 255
    assert [each.place for each in shown[1:]] == [f"slot {slot}" for slot in members[:-20:-1]]
    assert [each.times for each in shown[1:]] == list(range(40, 21, -1))
    again = Town()
    again.it.restore(town.it.snapshot())
    assert again.it.view().clamped == shown
    town.tell(BatchKind.LEAVE, [NEW])
    town.step()
    assert all(each.place.startswith("slot") for each in town.it.view().clamped), "who left is not blamed"


@pytest.mark.parametrize("cut", [1, 8, 100, 5_000])
def test_a_snapshot_that_was_cut_anywhere_is_noticed(cut: int) -> None:
    town = Town(60)
    whole = town.it.snapshot()
    for torn in (whole[:-cut], whole + bytes(cut), whole[cut:]):
        with pytest.raises(TornArrays):
            Town(60).it.restore(torn)


def test_a_bit_that_flipped_anywhere_in_a_snapshot_is_noticed_and_nothing_is_taken_over() -> None:
    town, other = Town(60), Town(60)
    town.tell(BatchKind.OUTPUT, [(0, 0)], sender=9)
    town.step()
    whole, before = town.it.snapshot(), other.it.snapshot()
    for bit in range(0, 8 * len(whole), max(1, 8 * len(whole) // 400)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TornArrays, match="snapshot"):
            other.it.restore(bytes(flipped))
    assert other.it.snapshot() == before
    other.it.restore(whole)
    assert other.it.snapshot() == whole


def test_a_snapshot_of_the_time_before_checksums_is_refused_with_words() -> None:
    town = Town(60)
    whole = town.it.snapshot()
    # It had no checksum behind its first eight letters.
    with pytest.raises(TornArrays, match="earlier version"):
        town.it.restore(b"scowlpop" + whole[12:])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("consumers", "-5"), ("consumers", ".nan"), ("consumers", ".inf"), ("consumers", "1e30"), ("consumers", "1.5"),
        ("trees", "-1"), ("trees", "0"), ("trees", ".inf"), ("trees", "100000"), ("feeders", "-2"), ("feeders", ".nan"),
        ("supply", "-10 %"), ("supply", ".nan"), ("supply", ".inf"), ("supply", "nan %"), ("supply", "inf %"),
        ("supply", "1e30 %"), ("margin", "-1 %"), ("margin", "101 %"), ("margin", ".nan"), ("stores", "-1 %"),
        ("stores", ".inf"), ("period", "-1 s"), ("period", "0 s"), ("period", ".nan"), ("period", "inf s"),
        ("seed", "-1"), ("seed", ".inf"),
    ],
)  # fmt: skip
def test_an_absurd_rating_is_refused_with_its_key(key: str, value: str) -> None:
    keys = {"consumers": "300"} | {key: value}
    body = ", ".join(f"{k}: {v}" for k, v in keys.items())
    text = f"{{site: {{id: s}}, populations: {{town: {{{body}}}}}}}"
    with pytest.raises(ConfigError) as refused:
        assemble(text, "s.yaml")
    at = text.index(value, text.index(f"{key}:")) + 1
    said = str(refused.value)
    assert f"`{key}`" in said
    assert f"s.yaml:1:{at}: " in said or f"s.yaml:1:{text.index(f'{key}:') + 1}: " in said
