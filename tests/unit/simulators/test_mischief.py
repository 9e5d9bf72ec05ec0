"""What each fault makes of a reply, without a socket."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from simulators.faults import Fault, FaultKind
from simulators.wire.frames import Frame, Framing
from simulators.wire.mischief import Mischief, Send

READ = Frame(3, bytes.fromhex("03006e0001"), 7)
OTHER = Frame(3, bytes.fromhex("0300640001"), 8)
WRITE = Frame(3, bytes.fromhex("06006e0032"), 9)
REPLY = Frame(3, bytes.fromhex("03020064"), 7)
OTHER_REPLY = Frame(3, bytes.fromhex("03020065"), 8)
ON_TCP = bytes.fromhex("0007 0000 0005 03 03020064")
OTHER_ON_TCP = bytes.fromhex("0008 0000 0005 03 03020065")


class Tally:
    """Counts."""

    def __init__(self) -> None:
        self.struck: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()

    def strike(self, fault: Fault) -> None:
        self.struck[fault.kind] += 1

    def count(self, fault: Fault) -> None:
        self.injected[fault.kind] += 1


class Bench:
    """One connection with a device that always answers."""

    def __init__(self, framing: Framing = Framing.TCP) -> None:
        self.tally = Tally()
        self.mischief = Mischief(framing, random.Random(5), self.tally)

    def ask(self, request: Frame, reply: Frame, *faults: Fault) -> list[Send]:
        fate = self.mischief.fate(request, faults)
        if not fate.carried_out and fate.answer is None:
            return fate.released
        return fate.released + self.mischief.reply(fate, fate.answer or reply)


def fault(kind: str, **parameters: object) -> Fault:
    return Fault(kind=FaultKind(kind), **parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (fault("delay", ms=50), [Send(ON_TCP, 50)]),
        (fault("late", ms=50), [Send(ON_TCP, 50, overtaken=True)]),
        (fault("late"), [Send(ON_TCP, 1000, overtaken=True)]),
        (fault("bytewise", ms=2), [Send(ON_TCP, gap_ms=2)]),
        (fault("duplicate"), [Send(ON_TCP), Send(ON_TCP)]),
        (fault("duplicate", ms=9), [Send(ON_TCP), Send(ON_TCP, 9, overtaken=True)]),
        (fault("wrong-id"), [Send(bytes.fromhex("0008 0000 0005 03 03020064"))]),
        (fault("wrong-unit"), [Send(bytes.fromhex("0007 0000 0005 04 03020064"))]),
        (fault("truncate"), [Send(ON_TCP[:5])]),
        (fault("truncate", keep=8), [Send(ON_TCP[:8])]),
        (fault("reset", at="reply", keep=3), [Send(ON_TCP[:3], reset=True)]),
        (fault("busy"), [Send(bytes.fromhex("0007 0000 0003 03 8306"))]),
        (fault("gateway"), [Send(bytes.fromhex("0007 0000 0003 03 830b"))]),
        (fault("gateway", code=10), [Send(bytes.fromhex("0007 0000 0003 03 830a"))]),
        (fault("exception", code=2), [Send(bytes.fromhex("0007 0000 0003 03 8302"))]),
        (fault("silence"), []),
        (fault("shifted"), []),
    ],
)
def test_a_fault_of_one_reply(given: Fault, sent: list[Send]) -> None:
    bench = Bench()
    assert bench.ask(READ, REPLY, given) == sent
    assert bench.tally.injected == {given.kind: 1}
    assert bench.tally.struck == {given.kind: 1}
    bench.mischief.forget()
    assert bench.ask(OTHER, OTHER_REPLY) == [Send(OTHER_ON_TCP)], "what comes after it is whole"


def test_shifted_replies_with_their_own_id_or_with_that_of_the_wrong_request() -> None:
    bench = Bench()
    bench.ask(READ, REPLY, fault("shifted"))
    assert bench.ask(OTHER, OTHER_REPLY, fault("shifted")) == [Send(ON_TCP)]
    assert bench.mischief.owes
    assert bench.ask(READ, REPLY) == [Send(ON_TCP)], "the line has found itself again"
    bench.ask(READ, REPLY, fault("shifted", renumber=True))
    renumbered = bytes.fromhex("0008 0000 0005 03 03020064")
    assert bench.ask(OTHER, OTHER_REPLY, fault("shifted", renumber=True)) == [Send(renumbered)]


def test_units_are_shifted_each_for_itself() -> None:
    bench = Bench()
    fourth, its_reply = Frame(4, READ.pdu, 20), Frame(4, bytes.fromhex("03020001"), 20)
    third = fault("shifted", unit=3)
    assert bench.ask(READ, REPLY, third) == []
    assert len(bench.ask(fourth, its_reply, third)) == 1, "not struck"
    assert bench.ask(OTHER, OTHER_REPLY, third) == [Send(ON_TCP)], "although another unit was asked between"


def test_the_rest_of_a_cut_reply_comes_before_the_next() -> None:
    bench = Bench()
    assert bench.ask(READ, REPLY, fault("truncate", keep=9, rest="next")) == [Send(ON_TCP[:9])]
    assert bench.ask(OTHER, OTHER_REPLY) == [Send(ON_TCP[9:] + OTHER_ON_TCP)]


def test_a_reply_is_held_for_three_requests() -> None:
    bench = Bench()
    assert bench.ask(READ, REPLY, fault("late", hold=3)) == []
    for _ in range(2):
        assert bench.ask(OTHER, OTHER_REPLY) == [Send(OTHER_ON_TCP)]
    assert bench.ask(OTHER, OTHER_REPLY) == [Send(ON_TCP), Send(OTHER_ON_TCP)]


def test_garbage_is_never_a_frame() -> None:
    for _ in range(200):
        (sent,) = Bench().ask(READ, REPLY, fault("garbage"))
        assert len(sent.data) == len(ON_TCP)
        assert sent.data[2] != 0, "no protocol of ours"
    bench = Bench(Framing.RTU)
    whole = REPLY.encoded(Framing.RTU)
    for _ in range(200):
        (sent,) = bench.ask(READ, REPLY, fault("garbage"))
        flipped = sum((a ^ b).bit_count() for a, b in zip(sent.data, whole, strict=True))
        assert 1 <= flipped <= 3


def test_a_loss_takes_the_request_or_the_reply_and_jitter_varies() -> None:
    bench = Bench()
    arrived = [bench.mischief.fate(READ, [fault("loss")]) for _ in range(100)]
    assert 20 < sum(fate.carried_out for fate in arrived) < 80
    assert all(bench.mischief.reply(fate, REPLY) == [] for fate in arrived if fate.carried_out)
    assert bench.tally.injected["loss"] == 100
    waits = {bench.ask(READ, REPLY, fault("jitter", ms=40))[0].after_ms for _ in range(50)}
    assert len(waits) == 50
    assert all(0 <= wait < 40 for wait in waits)


def test_a_share_of_the_requests_or_only_some_are_struck() -> None:
    bench = Bench()
    struck = [bench.ask(READ, REPLY, fault("silence", probability=0.3)) == [] for _ in range(400)]
    assert 80 < sum(struck) < 160
    assert bench.ask(READ, REPLY, fault("silence", only="writes")) == [Send(ON_TCP)]
    assert bench.ask(READ, REPLY, fault("silence", unit=4)) == [Send(ON_TCP)]
    assert bench.ask(READ, REPLY, fault("silence", address=100)) == [Send(ON_TCP)]
    assert bench.ask(READ, REPLY, fault("lost-answer")) == [Send(ON_TCP)]
    assert bench.ask(WRITE, WRITE, fault("lost-answer")) == []
    assert bench.ask(WRITE, WRITE, fault("refusal")) == [Send(bytes.fromhex("0009 0000 0003 03 8604"))]


def test_several_faults_of_one_reply() -> None:
    bench = Bench()
    sent = bench.ask(READ, REPLY, fault("delay", ms=10), fault("wrong-unit"), fault("truncate", keep=8))
    assert sent == [Send(bytes.fromhex("0007 0000 0005 04 03"), 10)]
    assert bench.tally.injected == {"delay": 1, "wrong-unit": 1, "truncate": 1}


def test_half_open_and_reset_end_the_request_there() -> None:
    bench = Bench()
    assert bench.mischief.fate(READ, [fault("half-open")]).dead
    fate = bench.mischief.fate(READ, [fault("reset")])
    assert fate.reset
    assert not fate.carried_out
