"""A crash at every boundary of the journal while flexibility is busy: none is left out.

The boundaries of a turn: its records are appended (any prefix of them may have reached the disk), they are durable and
nothing left, and between any two effects. The story has registrations, offers, a plan and its answer, selections by
plan and by hand, limits, an override, a cancellation, a report and an end of its own; manager and provider are one
core, or two with a wire between them, and either dies.

| What holds after the restart | Where |
|---|---|
| what was acknowledged (messages, orders) is known | `World.nothing_lost`, `orders_stand` |
| ends are for ever, at the appliance and in both copies; at most one selection is open | `World.check` |
| no message is done twice | `told_once` |
| no appliance sees one id with two meanings; nobody is refused for it | `World._arrive`, `Hub.hears` |
| after the resync both copies equal the appliance, and nothing is unanswered | `World.equal` |
| nobody is above the fail-safe value before a proof of life | `blind` |
| the journal run again gives the same digests | `test_the_story_itself` |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache

import pytest
from flex_boundaries import CEM, DSRSP, ESAS, FAILSAFE_W, GRID, HOUSE, ONE, UTC, Hub, World, core_of

from scowl_edge.contracts import Record
from scowl_edge.journal.records import ANSWERED, INPUTS, PLAN, read_inputs
from scowl_edge.journal.replay import replay
from scowl_edge.model.event import FlexAim, FlexCancel, FlexLimit, FlexOverride, FlexSelect, FlexStretch, Told
from scowl_edge.model.exchange import Ack, CancelAt, Heartbeat, Report, ReportKind, ReportSlot, SlotQuality
from scowl_edge.model.flexibility import LimitClass, LimitState, Mode, OverrideScope, SelectionState

A, B = ESAS
BY = {"who": "ann", "why": "test"}
SHARES = 3
"""Parts that the boundaries are dealt into, so that several processes can take them."""


def select(world: World, node: str, start_s: int) -> None:
    esa = world.esas[node].appliance
    offer = esa.offer_set.offers[0]  # type: ignore[union-attr]
    start_ms = max(offer.start_earliest_ms, world.now.utc_ms + 1_000 * start_s)
    order = FlexSelect(
        esa_id=esa.esa_id, offer_id=offer.offer_id, profile_id="md", start_utc_ms=start_ms, setpoints_w=(),
        mode=Mode.RESPONSE, **BY,
    )  # fmt: skip
    world.order(DSRSP, order)


def cancel(world: World, node: str) -> None:
    for one in world.esas[node].appliance.selections.open():
        world.order(DSRSP, FlexCancel(select_id=one.select_id, at=CancelAt.NOW, **BY))


def limit(world: World, klass: LimitClass, power_w: int) -> None:
    order = FlexLimit(
        esa_id=A.removeprefix("esa:"), cem="", klass=klass, active=True, p_upper_w=power_w, p_lower_w=None, dur_s=None,
        **BY,
    )  # fmt: skip
    world.order(DSRSP, order)


def override(world: World, scope: OverrideScope) -> None:
    world.order(CEM, FlexOverride(esa_id=A.removeprefix("esa:"), scope=scope, until_utc_ms=0, **BY))


def aim(world: World) -> None:
    order = FlexAim(
        begin_utc_ms=0, curve=(FlexStretch(dur_s=1_800, power_w=-1_000),), relative=True, mode=Mode.RESPONSE,
        event_ref="e", emergency=False, until_utc_ms=0, **BY,
    )  # fmt: skip
    world.order(DSRSP, order)


def report(world: World) -> None:
    slots = (ReportSlot(p_avg_w=1_000, q=SlotQuality.OK),)
    start_ms = UTC + world.now_ms // 60_000 * 60_000 - 60_000
    body = Report(esa_id=B.removeprefix("esa:"), kind=ReportKind.ACTUAL, start_ms=start_ms, slot_s=60, slots=slots)
    world.tell(B, (body,))
    world.settle()


STORY: list[Callable[[World], None]] = [
    lambda w: w.connect(),
    lambda w: w.beat(),
    lambda w: w.offer(A, 1, 20),
    lambda w: w.offer(B, 1, 8),
    aim,
    lambda w: w.wait(3_500),
    lambda w: limit(w, LimitClass.CONTRACT, 5_000),
    lambda w: w.wait(4_000),
    report,
    lambda w: cancel(w, B),
    lambda w: override(w, OverrideScope.THIS),
    lambda w: override(w, OverrideScope.NONE),
    lambda w: w.offer(B, 2, 2),
    lambda w: select(w, B, 3),
    lambda w: limit(w, LimitClass.SAFETY, 2_000),
    lambda w: w.wait(25_000),
    lambda w: w.beat(),
]


def play(texts: tuple[str, ...], on_boundary: Callable[[World, Hub, str], None] | None = None) -> World:
    world = World(texts)
    world.on_boundary = on_boundary
    for act in STORY:
        act(world)
        world.check("the story")
    return world


TWO = (HOUSE, GRID)


@pytest.mark.parametrize("texts", [(ONE,), TWO])
def test_the_story_itself(texts: tuple[str, ...]) -> None:
    world = play(texts)
    world.equal("at its end")
    world.nothing_lost("at its end")
    ends = {(n, s.state) for n, e in world.esas.items() for s in e.appliance.selections.kept}
    assert ends == {
        (A, SelectionState.OVERRIDDEN), (B, SelectionState.CANCELLED), (B, SelectionState.COMPLETED)
    }, ends  # fmt: skip
    assert len(world.ordered) == 7
    for hub in world.hubs:
        kinds = [r.kind for r in hub.journal.durable]
        assert kinds.count(PLAN) > 20 and kinds.count(ANSWERED) > 5
        found = replay(hub.journal.durable, core_of)
        assert found.identical and found.steps > 20, found.difference


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("texts", [(ONE,), TWO])
def test_a_crash_at_every_boundary(texts: tuple[str, ...], share: int) -> None:
    number = 0
    names: set[str] = set()

    def at_boundary(world: World, hub: Hub, name: str) -> None:
        nonlocal number
        volatile = len(hub.journal.volatile)
        # Right after the appends nothing is durable, or a part of them, or (which is the next boundary) all of them.
        for keep in range(volatile) if name == "decided" else (0,):
            number += 1
            if number % SHARES == share:
                names.add(name)
                # Half of them are back before anybody's patience is over.
                after = world.crashed(hub, keep, (300, 4_000)[number // SHARES % 2])
                live_on(after, f"boundary {number}: {name}, {keep} of {volatile} records kept")

    play(texts, at_boundary)
    assert number > 160, "the story has too few boundaries to mean anything"
    assert {"decided", "durable", "Send"} <= names


def live_on(after: World, where: str) -> None:
    """The recovered state; the first step of the new boot; all told again; and the rest of the story's time."""
    after.nothing_lost(where)
    orders_stand(after, where)
    for hub in after.hubs:
        after.now_ms += 1
        hub.step()
    blind(after, where)
    after.check(where)
    after.connect()
    after.check(where)
    after.beat()
    after.equal(where)
    after.nothing_lost(where)
    after.wait(30_000)
    after.beat()
    after.check(where)
    after.equal(where)
    told_once(after, where)
    for message in after.acked:
        if isinstance(message.body, Report):
            books = after.provider.portfolio.books.reported
            assert message.body.esa_id in books, f"{where}: a report was acknowledged, and its provider never got it"


@cache
def told_in(inputs: bytes) -> tuple[str, ...]:
    """Ids of messages that a step was told."""
    events = read_inputs(Record(boot=1, step=1, kind=INPUTS, payload=inputs)).events
    return tuple(
        e.message.id for e in events if isinstance(e, Told) and not isinstance(e.message.body, Ack | Heartbeat)
    )


def told_once(world: World, where: str) -> None:
    """No message was done twice: what was answered by a step that survived is answered again, not told again."""
    for hub in world.hubs:
        told = Counter(
            one for record in hub.journal.durable if record.kind == INPUTS for one in told_in(record.payload)
        )
        twice = [one for one, times in told.items() if times > 1]
        assert not twice, f"{where}: {len(twice)} messages were told twice"


def orders_stand(world: World, where: str) -> None:
    """What people were told is done is not forgotten."""
    flexible = world.hub(DSRSP).core.flexible
    assert flexible is not None
    for order in world.ordered:
        if isinstance(order, FlexLimit):
            mirror = world.provider.mirrors[order.esa_id]
            wanted = mirror.safety if order.klass is LimitClass.SAFETY else mirror.contract
            assert wanted is not None and wanted.limit.p_upper_w == order.p_upper_w, f"{where}: {order} is forgotten"
        elif isinstance(order, FlexAim):
            held = flexible.talks.aim
            assert held is not None and held.curve == order.curve, f"{where}: {order} is forgotten"
        elif isinstance(order, FlexCancel):
            asked = world.provider.portfolio.asked.get(order.select_id)
            assert asked is None or asked.cancelling, f"{where}: {order} is forgotten"


def blind(world: World, where: str) -> None:
    """Whoever restarted keeps to the fail-safe value until it hears its provider."""
    site = world.cem.site
    if world.restarted == (CEM,) or site.heard_mono_ms is None:
        assert site.state in (LimitState.INIT, LimitState.FAILSAFE, LimitState.AUTONOMOUS), where
        for envelope in site.envelopes(world.now):
            assert envelope.p_upper_w is not None and envelope.p_upper_w <= 4 * FAILSAFE_W, where


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("texts", [(ONE,), TWO])
def test_what_is_not_durable_is_not_said_and_a_crash_then_loses_only_that(texts: tuple[str, ...], full: bool) -> None:
    """For the length of one act the disk answers late, or the journal takes nothing; then it does, or the core dies."""
    for late_at in range(1, len(STORY)):
        for dies in (False, True):
            world, where = World(texts), f"late in act {late_at}, {'dies' if dies else 'goes on'}"
            for act in STORY[:late_at]:
                act(world)
            for hub in world.hubs:
                hub.journal.delay_ms, hub.journal.full = 1_000, full
            said = len(world.acked)
            safety = late_at == 14
            STORY[late_at](world)
            assert len(world.acked) == said, f"{where}: acknowledged what may be lost"
            if safety:
                limits = {h.limit.p_upper_w for h in world.esas[A].appliance.limiting.limits}
                assert 2_000 in limits, f"{where}: a safety limit does not wait for the disk"
            if dies:
                for index in range(len(world.hubs)):
                    world = world.crashed(world.hubs[index], 0)
            for hub in world.hubs:
                hub.journal.delay_ms, hub.journal.full = 0, False
            live_on(world, where)
