"""Laws of a link, over whatever may happen between two sessions: in virtual time, from Hypothesis' seeds."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scowl_edge.drivers.flex import parse
from scowl_edge.drivers.flex.session import LinkState
from tests.unit.drivers.flex_session_pair import End, Pair, number_of, ok

SIDES = st.sampled_from([0, 1])


class Link(RuleBasedStateMachine):
    """Frames are lost, doubled and swapped; connections are cut; processes die."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.pair.connect()

    def end(self, side: int) -> End:
        return self.pair.ends[side]

    @rule(side=SIDES, count=st.integers(1, 5))
    def send(self, side: int, count: int) -> None:
        for _ in range(count):
            self.pair.send(self.end(side))

    @precondition(lambda self: not self.pair.connected)
    @rule()
    def connect(self) -> None:
        self.pair.connect()

    @rule()
    def cut(self) -> None:
        self.pair.cut()

    @rule(side=SIDES, index=st.integers(0, 3), keep=st.booleans())
    def arrive(self, side: int, index: int, keep: bool) -> None:
        end = self.end(side)
        if not (wire := self.pair.other(end).wire):
            return
        index = min(index, len(wire) - 1)
        before, resyncs = end.session.gaps_total, len(end.resyncs)
        envelope, _ = parse(wire[index])
        last, greeted = end.session.last_seq, end.session.state is not LinkState.HELLO
        self.pair.arrive(end, index, keep=keep)
        if envelope.seq > last + 1:
            assert end.session.gaps_total == before + 1
            assert len(end.resyncs) > resyncs or not greeted
        else:
            assert end.session.gaps_total == before

    @rule(side=SIDES)
    def all_arrive(self, side: int) -> None:
        end = self.end(side)
        while self.pair.other(end).wire:
            self.pair.arrive(end)

    @rule(side=SIDES, index=st.integers(0, 3))
    def lose(self, side: int, index: int) -> None:
        if wire := self.end(side).wire:
            del wire[min(index, len(wire) - 1)]

    @rule(side=SIDES)
    def store(self, side: int) -> None:
        self.pair.store(self.end(side))

    @rule(ms=st.sampled_from([10, 1_000, 6_000, 20_000, 130_000]))
    def wait(self, ms: int) -> None:
        self.pair.pass_time(ms)

    @rule(side=SIDES, remembered=st.integers(0, 20))
    def restart(self, side: int, remembered: int) -> None:
        self.pair.restart(self.end(side), remembered)

    @invariant()
    def each_message_is_delivered_at_most_once_and_kept_once_acknowledged(self) -> None:
        for end in self.pair.ends:
            ids = [one.id for one in end.delivered]
            assert len(ids) == len(set(ids)), "delivered twice"
            assert ok(self.pair.other(end)) <= set(end.journal), "acknowledged before it was stored"

    @invariant()
    def a_state_follows_from_the_one_before(self) -> None:
        allowed = {
            LinkState.DOWN: {LinkState.HELLO},
            LinkState.HELLO: {LinkState.UP, LinkState.DOWN},
            LinkState.UP: {LinkState.STALE, LinkState.DOWN},
            LinkState.STALE: {LinkState.UP, LinkState.DOWN},
        }
        for end in self.pair.ends:
            names = [LinkState.DOWN, *(name for name, _ in end.states)]
            assert all(b in allowed[a] for a, b in itertools.pairwise(names)), names

    def teardown(self) -> None:
        """On a good link, all that was taken ends: acknowledged and stored, or given up after its time."""
        self.pair.settle()
        for end in self.pair.ends:
            assert end.session.waiting == 0
            assert {one.id for one in end.sent} <= set(end.answered)
            assert ok(end) <= set(self.pair.other(end).journal)
        assert all(end.session.state is LinkState.UP for end in self.pair.ends)


class CleanCuts(RuleBasedStateMachine):
    """Only connections break, as TCP's do: then order holds from end to end, and nothing in time is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.pair.connect()

    @rule(side=SIDES, count=st.integers(1, 40))
    def send(self, side: int, count: int) -> None:
        for _ in range(count):
            self.pair.send(self.pair.ends[side])

    @rule(side=SIDES, count=st.integers(1, 30))
    def arrive(self, side: int, count: int) -> None:
        end = self.pair.ends[side]
        for _ in range(min(count, len(self.pair.other(end).wire))):
            self.pair.arrive(end)

    @rule(side=SIDES)
    def store(self, side: int) -> None:
        self.pair.store(self.pair.ends[side])

    @rule()
    def reconnect(self) -> None:
        self.pair.connect()

    @rule(ms=st.integers(0, 900))
    def wait(self, ms: int) -> None:
        self.pair.pass_time(ms)

    @invariant()
    def order_holds(self) -> None:
        for end in self.pair.ends:
            numbers = [number_of(one) for one in end.delivered]
            assert numbers == sorted(numbers)
            sent = [number_of(one) for one in self.pair.other(end).sent]
            assert numbers == sent[: len(numbers)]
            assert end.session.gaps_total == 0

    def teardown(self) -> None:
        self.pair.settle()
        for end in self.pair.ends:
            assert [one.id for one in end.delivered] == [one.id for one in self.pair.other(end).sent]
            assert ok(self.pair.other(end)) == {one.id for one in end.delivered}


QUICK = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestLink = Link.TestCase
TestLink.settings = QUICK
TestCleanCuts = CleanCuts.TestCase
TestCleanCuts.settings = QUICK
