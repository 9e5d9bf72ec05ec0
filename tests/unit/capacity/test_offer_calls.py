"""Selections in the book: nothing before a yes, once on the way, never beside the meter, and no waiting for ever."""

from __future__ import annotations

from scowl_edge.capacity.offers import Call, CallState, OfferCalls
from scowl_edge.model.codec import decode, encode

DEVICE = 4


def call(esa_id: str = "e", *, relief_w: int = 2_000, begins_at: int = 5_000) -> Call:
    return Call(
        esa_id=esa_id,
        device=DEVICE,
        rating=1,
        phases=7,
        relief_w=relief_w,
        asked_at=0,
        answer_by_at=10_000,
        begins_at=begins_at,
        effect_by_at=60_000,
        ends_at=600_000,
    )


def counted(book: OfferCalls, power_w: int, now_ms: int) -> int:
    return book.pledged_w({DEVICE: power_w}, now_ms, 100_000)


def test_nothing_counts_before_the_yes_but_nobody_asks_twice() -> None:
    book = OfferCalls()
    assert book.ask("s", call())
    assert not book.ask("s", call("other"))
    assert not book.ask("t", call())
    assert counted(book, 3_000, 1_000) == 0
    assert book.awaited_w(1_000) == 2_000
    assert book.awaited_w(1_000, frozenset((2,))) == 0
    assert book.wake_at(1_000) == 10_000


def test_pledged_until_the_meter_shows_it_and_then_counted_by_the_meter_alone() -> None:
    book = OfferCalls()
    book.ask("s", call())
    assert book.accepted("s", 3_000, 2_000)
    assert book.awaited_w(2_000) == 0
    assert counted(book, 3_000, 2_000) == 2_000
    assert book.pledged_w({DEVICE: 3_000}, 2_000, 4_000) == 0, "it begins later than that"
    assert counted(book, 1_800, 20_000) == 800
    assert book.settle({DEVICE: 1_050}, 20_000, 100) == []
    assert book.calls["s"].state is CallState.EFFECTIVE
    assert counted(book, 1_050, 20_000) == 0
    book.settle({DEVICE: 1_050}, 600_000, 100)
    assert not book.calls


def test_a_stale_meter_shows_no_effect() -> None:
    book = OfferCalls()
    book.ask("s", call())
    book.accepted("s", 3_000, 2_000)
    book.settle({}, 20_000, 100)
    assert book.calls["s"].state is CallState.PLEDGED
    assert book.pledged_w({}, 20_000, 100_000) == 2_000


def test_a_promise_that_no_meter_shows_counts_nothing_after_its_deadline() -> None:
    book = OfferCalls()
    book.ask("s", call())
    book.accepted("s", 3_000, 2_000)
    book.settle({DEVICE: 3_000}, 60_000, 100)
    assert book.calls["s"].state is CallState.FAILED
    assert counted(book, 3_000, 60_000) == 0
    assert "e" in book.appliances
    book.settle({DEVICE: 1_000}, 70_000, 100)
    assert book.calls["s"].state is CallState.EFFECTIVE


def test_an_unanswered_question_opens_the_need_again_and_a_late_yes_is_refused() -> None:
    book = OfferCalls()
    book.ask("s", call())
    assert book.settle({}, 9_999, 100) == []
    assert book.settle({}, 10_000, 100) == ["s"]
    assert book.settle({}, 10_001, 100) == []
    assert book.awaited_w(10_001) == 0
    assert not book.ask("t", call()), "nobody knows whether it is off"
    assert not book.accepted("s", 3_000, 11_000)
    assert counted(book, 3_000, 11_000) == 0
    book.ended("s")
    assert book.ask("t", call())


def test_a_yes_at_the_very_deadline_is_late() -> None:
    book = OfferCalls()
    book.ask("s", call())
    assert not book.accepted("s", 3_000, 10_000)
    assert book.calls["s"].state is CallState.UNANSWERED


def test_a_yes_told_twice_pledges_once_and_an_unknown_one_not_at_all() -> None:
    book = OfferCalls()
    book.ask("s", call())
    assert book.accepted("s", 3_000, 2_000)
    assert book.accepted("s", 9_000, 3_000)
    assert counted(book, 3_000, 3_000) == 2_000
    assert not book.accepted("x", 1, 1)


def test_nothing_waits_for_ever() -> None:
    book = OfferCalls()
    book.ask("s", call())
    at, seen = 0, 0
    while (wake := book.wake_at(at)) is not None:
        at, seen = wake, seen + 1
        book.settle({DEVICE: 3_000}, at, 100)
        assert seen < 10
    assert not book.calls


def test_the_state_survives_the_codec() -> None:
    book = OfferCalls()
    book.ask("s", call())
    book.accepted("s", 3_000, 2_000)
    assert decode(OfferCalls, encode(book)) == book
