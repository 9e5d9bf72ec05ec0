"""What peers say and are told: bounded on its way in, and not said before what it rests on is durable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scowl_edge.inbox
from scowl_edge.assembly import load
from scowl_edge.control import Core
from scowl_edge.inbox import LEADING_FIFTHS, MESSAGES_A_STEP, MOST_MESSAGES, Inbox
from scowl_edge.model.codec import decode, encode
from scowl_edge.model.effect import Ask, Effect, Inputs, Plan, Send
from scowl_edge.model.event import Event, LinkChanged, Stopping, Told
from scowl_edge.model.exchange import Ack, AckStatus, Heartbeat, Message
from scowl_edge.model.flexibility import LimitState
from scowl_edge.model.tick import Tick
from scowl_edge.turn import Clocks
from simulators.serving import settings_of
from simulators.world import World

DEMO = Path(__file__).parents[3] / "examples" / "demo.yaml"


def told(number: int) -> Told:
    body = Heartbeat(limit_state=LimitState.LIMITED, rev=number)
    return Told(link="cem:a", at_ms=number, message=Message(id=str(number), ts_ms=0, src="cem:a", dst="x", body=body))


def answer(to: Message, safety: bool = False) -> Send:
    body = Ack(status=AckStatus.OK)
    return Send(link=to.src, message=replace(to, id=f"re {to.id}", body=body, corr=to.id), safety=safety)


class Polite(Core):
    """The real core, which acknowledges whatever it is told; a message from a limit's keeper at once."""

    def step(self, inputs: Inputs) -> Plan:
        plan = super().step(inputs)
        said = [answer(e.message, e.message.id == "7") for e in inputs.events if isinstance(e, Told)]
        return replace(plan, effects=(*plan.effects, *said))


def sends(effects: list[Effect]) -> list[str]:
    return [e.message.corr for e in effects if isinstance(e, Send)]


def test_what_is_not_durable_is_not_acknowledged_until_it_is() -> None:
    assembly = load(DEMO)
    world = World(assembly, settings_of(assembly))
    world.run_for(5_000)
    polite = Polite(world.site)
    polite.restore(world.core.snapshot())
    turn = world.turn
    turn.core = polite

    def turned(numbers: list[int], durable: bool) -> list[str]:
        for number in numbers:
            assert turn.inbox.message(told(number))
        plan = turn.decide(Clocks(mono_ms=world.now_ms, utc_ms=0, utc_ok=False))
        turn.settled(durable)
        return sends(turn.may_leave(plan, durable))

    assert turned([1, 2], True) == ["1", "2"]
    assert turned([3], False) == []
    assert turned([4, 7], False) == ["7"], "safety does not wait"
    assert turned([5], True) == ["3", "4", "5"], "in their order"
    assert turned([], True) == []
    assert turn.lost_sends == 0


def test_too_much_at_once_is_refused_where_it_comes_from() -> None:
    inbox = Inbox(0, [], [], [])
    assert all(inbox.message(told(n)) for n in range(MOST_MESSAGES))
    assert not inbox.message(told(0))
    assert inbox.refused_messages == 1
    tick = Tick(step=1, mono_ms=0, utc_ms=0, utc_ok=True, journal_ok=True, move_budget=1)
    assert len(inbox.freeze(tick).events) == MESSAGES_A_STEP
    assert inbox.message(told(0))


@given(
    st.lists(st.sampled_from(["told", "up", "stop"]), max_size=40),
    st.lists(st.integers(0, 12), max_size=8),
    st.integers(1, 5),
)
def test_what_is_too_much_for_one_step_is_taken_by_the_next_ones_in_order(
    kinds: list[str], pauses: list[int], most: int
) -> None:
    """Whatever comes when: each step takes so much of what peers said, none of it is lost or overtaken by another, and
    what people order waits for nobody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scowl_edge.inbox, "MESSAGES_A_STEP", most)
        inbox, ordered = Inbox(0, [], [], []), 0
        seen: list[int] = []
        coming, steps = list(enumerate(kinds)), 0

        def step() -> None:
            nonlocal ordered
            tick = Tick(step=1, mono_ms=0, utc_ms=0, utc_ok=True, journal_ok=True, move_budget=1)
            events = inbox.freeze(tick).events
            talk = [e.at_ms for e in events if isinstance(e, Told | LinkChanged)]
            assert len(talk) <= most
            seen.extend(talk)
            ordered += sum(isinstance(e, Stopping) for e in events)

        for pause in [*pauses, len(kinds)]:
            for number, kind in coming[:pause]:
                if kind == "told":
                    assert inbox.message(told(number))
                elif kind == "up":
                    inbox.event(LinkChanged(link="cem:a", device="", up=True, at_ms=number, cause="up"))
                else:
                    inbox.event(Stopping(why=str(number)))
            sent, coming = coming[:pause], coming[pause:]
            before = ordered
            step()
            assert ordered - before == sum(kind == "stop" for _, kind in sent), "an order was held up"
        while inbox.waiting:
            steps += 1
            assert steps <= len(kinds)
            step()
    assert seen == [number for number, kind in enumerate(kinds) if kind != "stop"]


@given(st.lists(st.sampled_from(["dsrsp:a", "dsrsp:b", "cem:a", "esa:a", "esa:b"]), max_size=60), st.integers(1, 9))
def test_what_providers_order_goes_first_and_no_link_is_out_of_order_or_left_waiting(
    links: list[str], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scowl_edge.inbox, "MESSAGES_A_STEP", most)
        inbox = Inbox(0, [], [], [])
        for number, link in enumerate(links):
            assert inbox.message(replace(told(number), link=link))
        seen: list[list[Told]] = []
        while inbox.spoken:
            tick = Tick(step=1, mono_ms=0, utc_ms=0, utc_ok=True, journal_ok=True, move_budget=1)
            seen.append([e for e in inbox.freeze(tick).events if isinstance(e, Told)])
    for link in set(links):
        assert [e.at_ms for events in seen for e in events if e.link == link] == [
            n for n, of in enumerate(links) if of == link
        ]
    assert [len(events) for events in seen[:-1]] == [most] * (len(seen) - 1), "no step takes less than it may"
    waiting = sum(not link.startswith("dsrsp:") for link in links)
    for events in seen:
        kinds = [e.link.startswith("dsrsp:") for e in events]
        assert kinds == sorted(kinds, reverse=True), "orders go first"
        others = kinds.count(False)
        assert others >= min(waiting, most - most * LEADING_FIFTHS // 5), "nobody waits for ever"
        waiting -= others


def test_the_journal_gives_back_what_was_told_and_asked() -> None:
    event = told(3)
    assert decode(Event, encode(event, Event)) == event
    for effect in (answer(event.message), Ask(job="selection", revision=3, by_ms=9)):
        assert decode(Effect, encode(effect, Effect)) == effect
