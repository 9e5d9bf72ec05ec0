"""A link's state machine, case by case, in virtual time."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from scowl_edge.drivers.flex import Envelope, Refused, frame, parse
from scowl_edge.drivers.flex.session import Close, Deliver, Effect, LinkState, Transmit
from scowl_edge.drivers.flex.session_intake import Intake, Rate
from scowl_edge.drivers.flex.session_outbox import MANY
from scowl_edge.drivers.flex.session_timing import DAY_MS, Now, Timers, back_off_ms
from scowl_edge.model.exchange import Ack, AckStatus, Body, Cancel, Code, Hello, Message, NodeRole
from tests.unit.drivers.flex_session_pair import CEM, DSRSP, End, Pair, ok, state, uuid


def up() -> Pair:
    """A pair in session, with nothing on the way."""
    pair = Pair()
    pair.connect()
    pair.settle()
    assert [end.session.state for end in pair.ends] == [LinkState.UP] * 2
    return pair


def put(end: End, now: Now, message: Message, seq: int) -> list[Effect]:
    """Effects of one message."""
    return end.session.received(now, Envelope(v="1.0", type="", id=message.id, seq=seq), message, 300)


def from_cem(number: int, body: Body, now: Now, *, ts_ms: int | None = None, src: str = CEM) -> Message:
    return Message(id=uuid(number), ts_ms=now.utc_ms if ts_ms is None else ts_ms, src=src, dst=DSRSP, body=body)


def acks(effects: list[Effect]) -> list[Ack]:
    return [one.message.body for one in effects if isinstance(one, Transmit) and isinstance(one.message.body, Ack)]


def cancel(number: int) -> Cancel:
    return Cancel(select_id=uuid(number), esa_id="esa-00000001")


def test_greeting_and_heartbeats() -> None:
    pair = up()
    assert pair.a.session.session_id == pair.b.session.session_id != ""
    for _ in range(20):
        pair.pass_time(15_000)
        pair.settle(1)
    assert all(8 <= end.beats <= 11 and end.session.state is LinkState.UP for end in pair.ends)


def test_silence_is_told_and_ends_the_link() -> None:
    pair = up()
    pair.pass_time(70_000)
    assert pair.a.states[-1][0] is LinkState.STALE
    for end in pair.ends:
        pair.other(end).wire[:] = pair.other(end).wire[-1:]
        pair.arrive(end)
    assert pair.a.states[-1][0] is LinkState.UP
    pair.pass_time(119_000)
    assert pair.a.states[-1][0] is LinkState.STALE
    pair.pass_time(2_000)
    assert "link_lost: silent for 120000 ms" in [end.closed for end in pair.ends]
    assert pair.a.session.state is LinkState.DOWN


def test_a_machine_that_slept_does_not_call_its_peer_silent() -> None:
    pair = up()
    assert pair.a.session.wake_ms() is not None
    pair.mono_ms += 600_000
    effects = pair.a.session.tick(pair.now)
    assert not any(isinstance(one, Close) for one in effects)
    pair.do(pair.a, effects)
    pair.pass_time(130_000)
    assert any(end.closed.startswith("link_lost") for end in pair.ends)


def test_no_greeting_ends_it() -> None:
    pair = Pair()
    pair.connect()
    pair.a.wire.clear()
    pair.pass_time(10_000)
    assert "no greeting within 10000 ms" in [end.closed for end in pair.ends]


@pytest.mark.parametrize(
    ("hello", "code", "said"),
    [
        (Hello(versions=("2.0", "3.1"), role=NodeRole.CEM), Code.UNSUPPORTED, "VERSION"),
        (Hello(versions=("1.0",), role=NodeRole.DSRSP), Code.AUTH_FAILED, "body.role"),
    ],
)
def test_a_greeting_that_does_not_fit(hello: Hello, code: Code, said: str) -> None:
    pair = Pair()
    pair.connect()
    effects = put(pair.b, pair.now, from_cem(1, hello, pair.now), 1)
    assert acks(effects)[0].code is code
    assert isinstance(effects[-1], Close) and said in effects[-1].cause
    assert pair.b.session.state is LinkState.HELLO


def test_a_foreign_sender_is_refused_for_good() -> None:
    pair = up()
    seq = pair.b.session.last_seq + 1
    effects = put(pair.b, pair.now, from_cem(1, state(1), pair.now, src="cem:two"), seq)
    assert acks(effects)[0].code is Code.AUTH_FAILED
    assert isinstance(effects[-1], Close) and effects[-1].permanent
    pair.b.session.behind.add("esa:one")
    effects = put(pair.b, pair.now, from_cem(2, state(1), pair.now, src="esa:one"), seq)
    assert isinstance(effects[-1], Deliver)


def test_the_same_message_again_gets_the_same_answer() -> None:
    pair = up()
    seq = pair.b.session.last_seq
    message = from_cem(1, cancel(1), pair.now)
    assert any(isinstance(one, Deliver) for one in put(pair.b, pair.now, message, seq + 1))
    # Not stored yet: nothing is said.
    assert put(pair.b, pair.now, message, seq + 2) == []
    first = acks(pair.b.session.refused(pair.now, message.id, Code.UNKNOWN_SELECT, "body.select_id: none such"))
    later = replace(message, ts_ms=message.ts_ms + 60_000)
    pair.mono_ms += 60_000
    assert acks(put(pair.b, pair.now, later, seq + 3)) == first
    other = put(pair.b, pair.now, replace(later, body=cancel(2)), seq + 4)
    assert acks(other)[0].code is Code.DUPLICATE_ID and len(other) == 1


def test_an_id_is_free_again_after_a_day_and_an_old_message_is_not_taken() -> None:
    pair = up()
    seq = pair.b.session.last_seq
    message = from_cem(1, state(1), pair.now)
    put(pair.b, pair.now, message, seq + 1)
    pair.b.session.stored(pair.now, message.id)
    pair.mono_ms += DAY_MS + 5_001
    replay = put(pair.b, pair.now, message, seq + 2)
    assert acks(replay)[0].code in (Code.EXPIRED, None) and not any(isinstance(one, Deliver) for one in replay)
    put(pair.b, pair.now, from_cem(2, state(2), pair.now), seq + 3)
    replay = put(pair.b, pair.now, message, seq + 4)
    assert [one.code for one in acks(replay)] == [Code.EXPIRED]
    fresh = put(pair.b, pair.now, from_cem(1, state(9), pair.now), seq + 5)
    assert any(isinstance(one, Deliver) for one in fresh)


def test_ids_are_bounded_and_what_was_forgotten_is_not_taken_again() -> None:
    pair = up()
    pair.b.session.keep_ids(10)
    seq, first = pair.b.session.last_seq, from_cem(1, state(1), pair.now)
    for number in range(1, 31):
        pair.mono_ms += 100
        message = first if number == 1 else from_cem(number, state(number), pair.now)
        seq += 1
        assert any(isinstance(one, Deliver) for one in put(pair.b, pair.now, message, seq))
        pair.b.session.stored(pair.now, message.id)
    assert pair.b.session.ids <= 13
    assert [one.code for one in acks(put(pair.b, pair.now, first, seq + 1))] == [Code.EXPIRED]


@pytest.mark.parametrize(("off_ms", "good", "taken"), [(5_001, True, False), (5_001, False, True), (4_000, True, True)])
def test_a_clock_that_is_ahead(off_ms: int, good: bool, taken: bool) -> None:
    pair = up()
    now = replace(pair.now, utc_ok=good)
    effects = put(pair.b, now, from_cem(1, cancel(1), now, ts_ms=now.utc_ms + off_ms), pair.b.session.last_seq + 1)
    assert any(isinstance(one, Deliver) for one in effects) is taken
    assert taken or acks(effects)[0].code is Code.CLOCK_SKEW


def test_a_clock_that_is_behind_is_told_from_a_message_that_was_long_on_its_way() -> None:
    pair = up()
    seq = pair.b.session.last_seq
    late = put(pair.b, pair.now, from_cem(1, cancel(1), pair.now, ts_ms=pair.now.utc_ms - 9_000), seq + 1)
    assert any(isinstance(one, Deliver) for one in late)
    # Reports are bound to no time; after a minute in which nothing showed the right time, it is the clock.
    pair.mono_ms += 61_000
    for number, body, taken in ((2, state(2), True), (3, cancel(3), False)):
        got = put(pair.b, pair.now, from_cem(number, body, pair.now, ts_ms=pair.now.utc_ms - 9_000), seq + number)
        assert any(isinstance(one, Deliver) for one in got) is taken


def test_a_flood_is_refused_and_left_unread() -> None:
    pair = Pair(rate=Rate(per_s=10, burst=20))
    pair.connect()
    pair.settle()
    seq, codes = pair.b.session.last_seq, []
    for number in range(1, 31):
        effects = put(pair.b, pair.now, from_cem(number, state(number), pair.now), seq + number)
        codes += [one.code for one in acks(effects)]
        pair.b.session.stored(pair.now, uuid(number))
    assert codes.count(Code.RATE) >= 10 and set(codes) == {Code.RATE}
    assert 0 < pair.b.session.pause_ms(pair.now) <= 1_000
    pair.mono_ms += 1_000
    assert pair.b.session.pause_ms(pair.now) == 0


def test_what_is_not_stored_bounds_what_is_taken() -> None:
    pair = Pair(rate=Rate(pending=3))
    pair.connect()
    pair.settle()
    for _ in range(5):
        pair.send(pair.a)
    while pair.a.wire:
        pair.arrive(pair.b)
    assert len(pair.b.waiting) == 3
    pair.settle()
    assert len(ok(pair.a)) == 5


def test_a_message_is_sent_again_and_given_up() -> None:
    pair = up()
    pair.send(pair.a)
    times = []
    for _ in range(40):
        times += [pair.mono_ms for data in pair.a.wire if parse(data)[1].id == uuid(1)]
        # The peer lives, and its heartbeats come; ours are lost.
        pair.a.wire.clear()
        while pair.b.wire:
            pair.arrive(pair.a)
        pair.pass_time(1_000)
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == 4
    for pause_ms, least_ms in zip(pauses, (6_000, 7_000, 9_000), strict=True):
        assert least_ms <= pause_ms <= least_ms + (least_ms - 5_000) // 2 + 1_000
    assert pair.a.answered[uuid(1)].ack is None
    assert "sent 4 times" in pair.a.answered[uuid(1)].cause


def test_room_for_what_waits_is_bounded_and_told() -> None:
    pair = Pair()
    taken = 0
    while not (fault := pair.send(pair.a)):
        taken += 1
    assert taken == MANY.most and f"{MANY.most} messages wait already" in fault
    pair.pass_time(120_000)
    assert len(pair.a.answered) == MANY.most and pair.a.session.waiting == 0
    assert "did not come up" in pair.a.answered[uuid(1)].cause


def test_answers_do_not_wait_behind_messages() -> None:
    pair = up()
    for _ in range(3):
        pair.send(pair.a)
    effects = put(pair.a, pair.now, replace(from_cem(99, state(1), pair.now), src=DSRSP, dst=CEM), 2)
    effects += pair.a.session.stored(pair.now, uuid(99))
    assert [one.ahead for one in effects if isinstance(one, Transmit)] == [True]


def test_a_bad_frame_is_answered_and_its_number_is_no_gap() -> None:
    pair = up()
    seq = pair.b.session.last_seq
    effects = pair.b.session.malformed(pair.now, Refused(Code.SCHEMA, "body.rev", "is missing", uuid(5)), 300)
    assert acks(effects)[0].detail == "body.rev: is missing"
    put(pair.b, pair.now, from_cem(1, state(1), pair.now), seq + 2)
    assert pair.b.session.gaps_total == 0
    put(pair.b, pair.now, from_cem(2, state(2), pair.now), seq + 4)
    assert pair.b.session.gaps_total == 1


def test_a_gap_makes_both_sides_resync_and_asks_once_in_a_while() -> None:
    pair = up()
    before = [len(end.resyncs) for end in pair.ends]
    for _ in range(3):
        pair.send(pair.a)
        pair.send(pair.a)
        del pair.a.wire[0]
        pair.arrive(pair.b)
    pair.settle()
    after = [len(end.resyncs) for end in pair.ends]
    assert after[1] - before[1] == 3 and after[0] - before[0] == 1
    assert "the peer asks for it" in pair.a.resyncs[-1]
    assert len(ok(pair.a)) == 6


def test_a_snapshot_of_ids_survives() -> None:
    pair = up()
    pair.send(pair.a)
    pair.arrive(pair.b)
    pair.store(pair.b)
    pair.b.wire.clear()
    pair.restart(pair.b, remembered=10)
    pair.settle()
    assert len(pair.b.delivered) == 1 and ok(pair.a) == {uuid(1)}


def test_pauses_between_attempts_double_with_full_jitter() -> None:
    timers = Timers()
    for failures, bound in ((0, 1_000), (3, 8_000), (8, 256_000), (30, 300_000)):
        drawn = [back_off_ms(timers, failures, seed) for seed in range(400)]
        assert 0 <= min(drawn) < bound // 10 and bound * 9 // 10 < max(drawn) <= bound
    assert back_off_ms(timers, 3, 7, "x") == back_off_ms(timers, 3, 7, "x")


def test_a_message_too_long_for_a_frame_is_not_taken() -> None:
    pair = up()
    assert "longer than" in pair.send(pair.a, replace(state(1), esa_id="x" * (1 << 20)))


def test_a_permanent_refusal_closes() -> None:
    pair = up()
    ack = Message(
        id=uuid(7), ts_ms=0, src=DSRSP, dst=CEM, body=Ack(status=AckStatus.PERMANENT_ERROR, code=Code.CONSENT_MISSING)
    )
    effects = put(pair.a, pair.now, ack, 2)
    assert isinstance(effects[0], Close) and effects[0].permanent
    assert frame(ack, 2)


def test_who_speaks_for_many_may_say_more_and_is_remembered_longer() -> None:
    plain = Intake(Timers(), Rate(per_s=10, burst=20))
    many = Intake(Timers(), Rate(per_s=10, burst=20))
    many.carries(100)
    now = Now(0, 0, True)
    taken = {intake: next(n for n in range(10_000) if intake.spend(100, now)) for intake in (plain, many)}
    assert taken == {plain: 20, many: 320}
    assert many.lack_ms(now) * 10 < plain.lack_ms(now)
    assert many.seen.most >= plain.seen.most
    many.carries(20_000)
    assert many.seen.most == 160_000
