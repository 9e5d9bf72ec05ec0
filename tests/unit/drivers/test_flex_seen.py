"""The memory of a peer's ids against a plain dictionary that forgets nothing, and what an id costs."""

from __future__ import annotations

import gc
import tracemalloc
from random import Random
from uuid import UUID

import pytest
from flex_session_pair import CEM, state

from scowl_edge.drivers.flex.session_seen import FRESH, ID_BYTES, MOST_REFUSED, OK, Seen, SeenIds, digest
from scowl_edge.drivers.flex.session_timing import DAY_MS
from scowl_edge.model.exchange import Ack, Answered, Code, Message

UTC = 1_790_000_000_000
STALE = Ack(status=Code.STALE_REV.status, code=Code.STALE_REV, detail="body.rev: gone")


def message(number: int, ts_ms: int, body: int = 0) -> Message:
    return Message(
        id=str(UUID(int=number, version=4)), ts_ms=ts_ms, src=CEM, dst="dsrsp:one", body=state(body or number)
    )


def known(one: Message, answer: Ack = OK) -> Answered:
    return Answered(
        peer=CEM, message_id=one.id, digest=digest(one), ts_ms=one.ts_ms, code=answer.code, detail=answer.detail
    )


@pytest.mark.parametrize("seed", range(6))
def test_it_knows_for_a_day_what_a_dictionary_knows(seed: int) -> None:
    dice = Random(seed)
    seen, plain = SeenIds(keep_ms=DAY_MS), dict[int, tuple[Message, Ack]]()
    answers: list[Answered] = []
    now = UTC
    for number in range(1, 1_500):
        now += dice.randrange(1, 160_000)
        one = message(number, now - dice.randrange(0, 4_000))
        found = digest(one)
        assert seen.look(one, found) == (Seen.NEW, None)
        seen.delivered(one, found)
        assert seen.look(one, found)[0] is Seen.PENDING
        answer = STALE if dice.random() < 0.02 else OK
        assert seen.answered(one.id, answer) and not seen.answered(one.id, answer)
        seen.tidy(now, True)
        plain[number] = one, answer
        answers.append(known(one, answer))
        if number % 499 == 0:
            # The process ends: all that is known comes out of the journal, some of it twice.
            seen = SeenIds(keep_ms=DAY_MS)
            half = dice.randrange(len(answers))
            seen.remember(answers[: half + 20], 0, now, True)
            seen.remember(answers[half:], 0, now, True)
        old = dice.randrange(1, number + 1)
        told, answer = plain[old]
        if told.ts_ms + DAY_MS > now:
            assert seen.look(told, digest(told)) == (Seen.AGAIN, answer), f"{number - old} ago"
            other = message(old, now, body=number + 7)
            assert seen.look(other, digest(other)) == (Seen.OTHER, None)
    assert now - UTC > 1.2 * DAY_MS
    assert seen.forgotten_total == 0 and len(seen) < 1_499, "a day's ids, and hardly more"


def test_an_id_costs_what_is_said(count: int = 40_000) -> None:
    past = [known(message(number, UTC + 1_000 * number)) for number in range(count)]
    gc.collect()
    tracemalloc.start()
    seen = SeenIds(keep_ms=DAY_MS)
    seen.remember(past, 0, UTC + 1_000 * count, True)
    seen.tidy(UTC + 1_000 * count, True)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(seen) == count
    assert taken / count < 1.25 * ID_BYTES, f"{taken / count:.1f} bytes an id"


def test_what_is_too_much_is_forgotten_in_order_and_not_taken_again() -> None:
    seen = SeenIds(keep_ms=DAY_MS, most=1_000)
    for number in range(5_000):
        one = message(number, UTC + 1_000 * number)
        seen.delivered(one, digest(one))
        seen.answered(one.id, OK)
        seen.tidy(UTC + 1_000 * number, True)
        assert len(seen) <= 1_000 + FRESH
    assert seen.forgotten_total >= 3_900
    for number in range(5_000):
        one = message(number, UTC + 1_000 * number)
        found = seen.look(one, digest(one))[0]
        assert found in ((Seen.AGAIN,) if number >= 4_300 else (Seen.AGAIN, Seen.FORGOTTEN)), number
    refused = [message(number, UTC + 5_000_000) for number in range(10_000, 10_000 + 3 * MOST_REFUSED)]
    for one in refused:
        seen.delivered(one, digest(one))
        seen.answered(one.id, STALE)
    assert [seen.look(one, digest(one))[0] for one in refused[-MOST_REFUSED:]] == [Seen.AGAIN] * MOST_REFUSED
    assert seen.look(refused[0], digest(refused[0]))[0] is Seen.NEW, "it did nothing, and is judged anew"


def test_what_a_journal_no_longer_has_is_not_taken_again() -> None:
    seen = SeenIds(keep_ms=DAY_MS)
    seen.remember([known(message(1, UTC))], UTC - 60_000, UTC, True)
    old, new = message(2, UTC - 60_000), message(3, UTC - 59_999)
    assert seen.look(old, digest(old))[0] is Seen.FORGOTTEN
    assert seen.look(new, digest(new))[0] is Seen.NEW


def test_a_refusal_for_now_is_not_remembered() -> None:
    seen, one = SeenIds(keep_ms=DAY_MS), message(1, UTC)
    seen.delivered(one, digest(one))
    assert seen.awaited(one.id) == (digest(one), UTC)
    seen.answered(one.id, Ack(status=Code.BUSY.status, code=Code.BUSY))
    assert seen.look(one, digest(one))[0] is Seen.NEW and seen.awaited(one.id) is None and len(seen) == 0
