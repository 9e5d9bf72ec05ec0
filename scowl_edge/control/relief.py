"""What the region asks of its provider, between the book of commitments and the provider's selections.

The tracker says how much relief is wanted; the provider is given that as a goal (a change of what was intended, as a
response), and what it selects for it is entered into the book with what it is worth, where it begins and until when. So
is what was selected for other goals, once an appliance has accepted it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scowl_edge.capacity import Call, CallState, OfferCalls
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.mirror import ACCEPT_MS, Copy
from scowl_edge.dsr.portfolio import Asked
from scowl_edge.dsr.provider import Provider, Step
from scowl_edge.dsr.room import Room
from scowl_edge.dsr.settlement import Account
from scowl_edge.model.flexibility import Mode, SelectionState
from scowl_edge.model.profile import flat
from scowl_edge.model.site import NONE

REGION = "region"
"""Event of selections that the region itself asked for."""
RELIEF_MS = 3_600_000
"""How long relief is asked for; what still lacks then is asked for anew."""
RECENT_MS = 300_000
"""A report of power not older than this says what an appliance draws now."""
ALL_PHASES = 7
BESIDE_EACH_MS = 5_000
"""How often selections for other goals are looked through: there may be thousands."""


def aims(provider: Provider) -> bool:
    """Whether the provider's present goal is the region's."""
    return provider.goal is not None and provider.goal.event_ref == REGION


def aim(provider: Provider, offers: OfferCalls, relief_w: int, now: Now) -> Step:
    """Gives the provider a goal of so much more relief than is agreed already."""
    wall_ms = provider.clock.read(now)
    if wall_ms is None or not provider.mirrors:
        offers.sought()
        return Step()
    search = offers.search
    if search is not None and search.fruitless:
        # Less than one appliance was wanted, and none was chosen: rather one too many than a shed, small ones first.
        free = (m.register for e, m in provider.mirrors.items() if e not in offers.appliances)
        sizes = sorted({r.p_max_w for r in free if r is not None})
        relief_w = max([relief_w, *sizes[: search.fruitless]])
    length_ms = max(RELIEF_MS, 2 * provider.terms.slot_ms)
    # A change of what was intended: what changes it already is not the relief that lacks now. And what a broken meter
    # tells may be more than all appliances together could ever give.
    changed_w = offers.standing_w(now.mono_ms) + _changed_w(provider, wall_ms)
    registers = [m.register for m in provider.mirrors.values() if m.register is not None]
    most_w = sum(max(0, r.p_max_w) - min(0, r.p_min_w) for r in registers)
    curve = flat(wall_ms, length_ms, -min(most_w, changed_w + relief_w))
    return provider.aim(curve, now, relative=True, mode=Mode.RESPONSE, event_ref=REGION)


def _changed_w(provider: Provider, utc_ms: int) -> int:
    """W by which selections for other goals take less now than was intended; negative: more."""
    total = 0
    for asked in provider.portfolio.asked.values():
        account = asked.account
        if asked.booked and not asked.cancelling and account.event_ref != REGION:
            total += (account.baseline.power_w(utc_ms) or 0) - (account.promised.power_w(utc_ms) or 0)
    return total


def over(provider: Provider, now: Now) -> bool:
    """Whether the time of the region's goal is over."""
    wall_ms = provider.clock.read(now)
    return provider.goal is not None and wall_ms is not None and wall_ms >= provider.goal.curve.end_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Hanging:
    """Where appliances hang in the region."""

    room: Room
    """Names the rating of each."""
    devices: Mapping[str, int]
    """Appliances that are devices of this site -> device."""
    region: bool
    """Whether there is a region here; else only what it asked for itself is entered."""


def follow(provider: Provider, offers: OfferCalls, hanging: Hanging, now: Now) -> list[str]:
    """Carries into the book what became of selections: of the region's own, and of those for other goals beside them.

    Args:
        provider: Whose selections they are.
        offers: The book.
        hanging: Below which ratings the appliances are.
        now: The time.

    Returns:
        Selections that nobody counts on any more: they are to be cancelled.
    """
    search = offers.search
    if search is not None and search.open and search.asked_at < now.mono_ms:
        planning = provider.job is not None or provider.plan_due_mono_ms <= now.mono_ms
        if not aims(provider) or not planning:
            offers.sought()
    wall_ms = provider.clock.read(now)
    if wall_ms is None:
        return []
    now = replace(now, utc_ms=wall_ms)
    all_asked = provider.portfolio.asked
    refused: list[str] = []
    standing: set[str] = set()
    for select_id in sorted(s for s, a in all_asked.items() if a.account.event_ref == REGION):
        asked, copy = all_asked[select_id], _copy(provider, select_id)
        if copy is None or not copy.open:
            continue
        standing.add(select_id)
        if asked.cancelling:
            continue
        call = offers.calls.get(select_id)
        if call is None:
            _make_way(provider, offers, asked.pick.esa_id)
            call = _call(provider, asked, copy, hanging, now)
            if call is None or not offers.ask(select_id, call):
                continue
        begins_ms = now.utc_ms + call.begins_at - now.mono_ms
        if copy.state is not SelectionState.PENDING:
            promised_w = asked.account.promised.power_w(begins_ms) or 0
            if not offers.accepted(select_id, promised_w + call.relief_w, now.mono_ms):
                refused.append(select_id)
        call.reported_w = reported_w(provider, call.esa_id, begins_ms)
    for select_id in [s for s, call in offers.calls.items() if call.own and s not in standing]:
        offers.ended(select_id)
    if hanging.region and (offers.looked_at < 0 or now.mono_ms - offers.looked_at >= BESIDE_EACH_MS):
        offers.looked_at = now.mono_ms
        _follow_beside(provider, offers, hanging, now)
    return refused


def _follow_beside(provider: Provider, offers: OfferCalls, hanging: Hanging, now: Now) -> None:
    """Selections for other goals: in the book from their acceptance on, at most an hour before they begin."""
    standing: set[str] = set()
    for select_id in sorted(provider.portfolio.asked):
        asked, copy = provider.portfolio.asked[select_id], _copy(provider, select_id)
        accepted = copy is not None and copy.open and copy.state is not SelectionState.PENDING
        if copy is None or not accepted or asked.cancelling or asked.account.event_ref == REGION:
            continue
        standing.add(select_id)
        call = offers.calls.get(select_id)
        if call is not None and call.state is CallState.PLEDGED and now.mono_ms < call.begins_at:
            # Until it begins it is worth what is drawn.
            offers.ended(select_id)
            call = None
        if call is None:
            call = _beside(provider, asked, copy, hanging, now)
            if call is None or not offers.ask(select_id, call):
                continue
            promised_w = asked.account.promised.power_w(now.utc_ms + call.begins_at - now.mono_ms) or 0
            offers.accepted(select_id, promised_w + call.relief_w, now.mono_ms)
        call.reported_w = reported_w(provider, call.esa_id, now.utc_ms + call.begins_at - now.mono_ms)
    for select_id in [s for s, call in offers.calls.items() if not call.own and s not in standing]:
        offers.ended(select_id)


def _copy(provider: Provider, select_id: str) -> Copy | None:
    mirror = provider.mirrors.get(provider.portfolio.asked[select_id].pick.esa_id)
    return None if mirror is None else mirror.find(select_id)


def _make_way(provider: Provider, offers: OfferCalls, esa_id: str) -> None:
    """What was selected for another goal and is taken back for the region's is off the book: nothing counts twice."""
    before = offers.appliances.get(esa_id, "")
    if before and not offers.calls[before].own:
        asked, copy = provider.portfolio.asked.get(before), None
        if asked is not None:
            copy = _copy(provider, before)
        if asked is None or asked.cancelling or copy is None or not copy.open:
            offers.ended(before)


def relief_of(account: Account, from_ms: int) -> tuple[int, int, int] | None:
    """(begin, end, W) of the first stretch in which a selection draws less than what it stands instead of: the least
    that it draws less; UTC ms. None if it never does."""
    begin = end = relief = 0
    for segment in (account.baseline - account.promised).clip(from_ms).segments:
        least = min(segment.begin_w, segment.end_w)
        if relief == 0:
            if least > 0:
                begin, end, relief = segment.start_ms, segment.end_ms, least
        elif segment.start_ms == end and least >= relief:
            end = segment.end_ms
        else:
            break
    return (begin, end, relief) if relief else None


def _call(provider: Provider, asked: Asked, copy: Copy, hanging: Hanging, now: Now) -> Call | None:
    """What a selection is worth for the region; None if nothing within the time that relief was asked for."""
    found = relief_of(asked.account, now.utc_ms)
    if found is None or found[0] > now.utc_ms + RELIEF_MS:
        return None
    begins_ms, ends_ms, relief_w = found
    drawn_w = reported_w(provider, asked.pick.esa_id, now.utc_ms - RECENT_MS)
    if drawn_w is not None and begins_ms <= now.utc_ms + RECENT_MS:
        # Who draws less than he meant to can give up no more than that.
        relief_w = min(relief_w, drawn_w - (asked.account.promised.power_w(begins_ms) or 0))
        if relief_w <= 0:
            return None
    return _entry(provider, asked, copy, hanging, (begins_ms, ends_ms, relief_w), now)


def _beside(provider: Provider, asked: Asked, copy: Copy, hanging: Hanging, now: Now) -> Call | None:
    """What a selection for another goal counts for; None before the last hour, and when it is over.

    It takes off what is drawn now, or nothing: what would have come and does not come is no relief of what flows.
    Load that it brings is for the meters to show.
    """
    account = asked.account
    begins_ms, ends_ms, relief_w = relief_of(account, now.utc_ms) or (
        max(now.utc_ms, account.begin_ms),
        account.end_ms,
        0,
    )
    if begins_ms > now.utc_ms + RELIEF_MS or ends_ms <= now.utc_ms:
        return None
    drawn_w = reported_w(provider, asked.pick.esa_id, now.utc_ms - RECENT_MS) or 0
    relief_w = max(0, min(relief_w, drawn_w - (account.promised.power_w(begins_ms) or 0)))
    call = _entry(provider, asked, copy, hanging, (begins_ms, ends_ms, relief_w), now)
    call.own = False
    return call


def _entry(
    provider: Provider, asked: Asked, copy: Copy, hanging: Hanging, found: tuple[int, int, int], now: Now
) -> Call:
    begins_ms, ends_ms, relief_w = found
    begins_at, esa_id = now.mono_ms + begins_ms - now.utc_ms, asked.pick.esa_id
    call = Call(
        esa_id=esa_id,
        device=hanging.devices.get(esa_id, NONE),
        rating=hanging.room.place(esa_id, provider.cems.get(esa_id, "")),
        phases=ALL_PHASES,
        relief_w=relief_w,
        asked_at=now.mono_ms,
        answer_by_at=now.mono_ms + ACCEPT_MS,
        begins_at=begins_at,
        effect_by_at=begins_at + 2_000 * provider.terms.report_actual_s + ACCEPT_MS,
        ends_at=now.mono_ms + ends_ms - now.utc_ms,
    )
    if copy.state in (SelectionState.ACTIVE, SelectionState.INTERRUPTED):
        # It began before the book knew of it: the meters show it.
        call.state = CallState.EFFECTIVE
    return call


def reported_w(provider: Provider, esa_id: str, since_ms: int) -> int | None:
    """What an appliance last said that it drew in a slot that began since then; None if it said nothing."""
    readings = provider.portfolio.books.reported.get(esa_id)
    if readings is None or not readings.begins_ms or readings.begins_ms[-1] < since_ms:
        return None
    return readings.by_begin[readings.begins_ms[-1]].power_w
