"""A crash at boundaries of the journal, while simulated appliances register, are selected and report.

They are a sample of a long story with real plans; of a shorter one all are taken, in `test_flex_boundaries`.
What was acknowledged is known after the recovery; no selection is there twice; the site is never above its fail-safe
limit before its provider is heard; and every boundary's journal repeats.
"""

from __future__ import annotations

import pytest
from flex_evening import FAILSAFE_W, MIN, MOST, Evening

from scowl_edge.dsr.mirror import Mirror
from scowl_edge.model.exchange import Message, Register, SelectStatus
from scowl_edge.model.flexibility import LimitState, OfferSet

SHARES = 2
"""Parts that the boundaries are dealt into, so that several processes can take them."""
EVERY = 37
"""Of the boundaries each so many is taken; prime to what repeats, they are of all kinds."""
REPLAY_EVERY = 3
"""Each so many crashed worlds have their own journal run again; the recovery itself re-ran what came before."""


@pytest.mark.parametrize("share", range(SHARES))
def test_a_crash_at_boundaries(share: int) -> None:
    world = Evening(2, start_h=18, snapshot_every=15)
    number = 0
    seen: set[str] = set()

    def at_boundary(name: str) -> None:
        nonlocal number
        number += 1
        if number % (SHARES * EVERY) != share:
            return
        seen.add(name)
        drawn = number // SHARES // EVERY
        keep = drawn % (len(world.journal.volatile) + 1)
        live_on(
            world.crashed(keep),
            number // SHARES // EVERY % REPLAY_EVERY == 0,
            f"boundary {number}, {name}, {keep} volatile kept",
        )

    world.on_boundary = at_boundary
    world.run_for(20 * MIN)
    assert number > 300, "the story has too few boundaries to mean anything"
    assert {"decided", "durable", "Send"} <= seen
    assert len(world.provider.portfolio.asked) >= 2


def live_on(after: Evening, replayed: bool, where: str) -> None:
    """The recovered state, the first step of the new boot, and the time until all is told again."""
    acked = sorted(after.acked.values(), key=lambda m: m.ts_ms)
    if acked:
        for message in acked:
            knows(after, message, where)
    after.turns()
    if acked:
        fails_safe(after, where)
    after.reconnect()
    after.run_for(MIN)
    once_each(after, where)
    report = after.replayed() if replayed else None
    assert report is None or report.identical, f"{where}: {report and report.difference}"


def knows(after: Evening, message: Message, where: str) -> None:
    """Manager and provider have what was acknowledged."""
    body = message.body
    esa_id = message.src.removeprefix("esa:")
    member = after.cem.members.get(esa_id)
    assert member is not None, f"{where}: {esa_id} registered, and nobody knows it"
    mirrors: list[Mirror] = [member.mirror]
    if esa_id in after.provider.mirrors:
        mirrors.append(after.provider.mirrors[esa_id])
    for mirror in mirrors:
        if isinstance(body, Register):
            assert mirror.register is not None, where
        elif isinstance(body, OfferSet):
            assert mirror.rev >= body.rev, f"{where}: {esa_id} offered {body.rev}, known is {mirror.rev}"
        elif isinstance(body, SelectStatus):
            copy = mirror.find(body.select_id)
            assert copy is not None, f"{where}: {esa_id} told {body.state} of a selection that nobody knows"
            told = [body.state, copy.state]
            assert copy.state.terminal or not body.state.terminal, f"{where}: {esa_id}: {told}"


def fails_safe(after: Evening, where: str) -> None:
    """Whoever restarts is blind until it hears its provider; here that is the same step, and no limit was set."""
    site = after.cem.site
    assert site.state is not LimitState.LIMITED, where
    for envelope in site.envelopes(after.now):
        assert envelope.p_upper_w is not None and envelope.p_upper_w <= MOST * FAILSAFE_W, where


def once_each(after: Evening, where: str) -> None:
    """Appliance, manager and provider agree on what is selected, and nothing is selected twice."""
    for esa_id, home in after.homes.items():
        open_ones = home.appliance.esa.selections.open()
        assert len(open_ones) <= 1, f"{where}: {esa_id} runs {[s.select_id for s in open_ones]}"
        there = {s.select_id for s in open_ones}
        mirror = after.provider.mirrors[esa_id]
        known = {c.select_id for c in mirror.open()}
        assert there <= known, f"{where}: {esa_id} runs {there}, its provider knows {known}"
        assert len(known) <= 1, f"{where}: {esa_id} is selected twice: {known}"
        asked = {s for s, a in after.provider.portfolio.asked.items() if a.pick.esa_id == esa_id and s in known}
        assert asked == known, f"{where}: {esa_id}: {known} are selected, {asked} are in the books"
        assert not home.open, f"{where}: {esa_id} was never answered {[m.body for m in home.open.values()]}"
