"""Hypothesis strategies for every message of `scowl-flex/1` that may be sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from scowl_edge.model import exchange as ex
from scowl_edge.model import flexibility as fx
from scowl_edge.model.flexibility import UNSET

FIRST_MS = 946_684_800_000
LAST_MS = 7_258_118_399_999
POWER_W = 1_000_000_000
LONG_S = 31 * 86_400
ALPHABET = "ABCXYZabcxyz0189._:-"

uuids = st.integers(0, 2**128 - 1).map(lambda number: str(UUID(int=number)))
esa_ids = st.text(ALPHABET, min_size=8, max_size=64)
times = st.integers(FIRST_MS, LAST_MS)
powers = st.integers(-POWER_W, POWER_W)
lengths = st.integers(1, LONG_S)
waits = st.integers(0, LONG_S)
counts = st.integers(0, 2**53 - 1)
energies = st.integers(-(10**12), 10**12)
stored = st.integers(0, 10**12)
ramps = st.integers(1, POWER_W)
offsets = st.integers(0, 1_800)
calm = st.characters(exclude_categories=("Cs", "Cc"))
words = st.text(calm, min_size=1, max_size=64)
codes = st.none() | st.sampled_from(ex.Code)
money = st.integers(-999_999_999_999_999, 999_999_999_999_999)
currencies = st.text("AEGRUZ", min_size=3, max_size=3)
modes = st.lists(st.sampled_from(fx.Mode), min_size=1, max_size=2, unique=True).map(tuple)


def maybe(strategy: SearchStrategy[Any], otherwise: object = None) -> SearchStrategy[Any]:
    return st.just(otherwise) | strategy


def several(strategy: SearchStrategy[Any], least: int = 0, most: int = 4) -> SearchStrategy[Any]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


@st.composite
def elements(draw: Callable[[Any], Any]) -> fx.Element:
    low, nominal, high = sorted(draw(st.tuples(powers, powers, powers)))
    if draw(st.booleans()):
        low = high = nominal
    return fx.Element(dur_s=draw(lengths), p_nom_w=nominal, p_min_w=low, p_max_w=high)


end_states = st.builds(
    fx.EndState, kind=st.sampled_from(fx.EndKind), value_milli=st.integers(-(10**12), 10**12), unit=words
)


@st.composite
def costs(draw: Callable[[Any], Any]) -> fx.Cost:
    currency = draw(maybe(currencies, ""))
    return fx.Cost(
        financial_micro=draw(money) if currency else 0,
        currency=currency,
        co2_g=draw(st.integers(-(10**12), 10**12)),
        comfort=draw(st.integers(0, 10)),
    )


@st.composite
def profiles(draw: Callable[[Any], Any]) -> fx.Profile:
    e_min_wh, e_max_wh = draw(maybe(st.tuples(energies, energies).map(sorted), (None, None)))
    return fx.Profile(
        profile_id=draw(uuids),
        kind=draw(st.sampled_from(fx.ProfileKind)),
        elements=draw(several(elements(), 1)),
        start_fixed_ms=draw(maybe(times, UNSET)),
        e_min_wh=e_min_wh,
        e_max_wh=e_max_wh,
        interruptible=draw(st.booleans()),
        max_pause_s=draw(waits),
        min_activation_ppm=draw(st.integers(10_000, 1_000_000)),
        freq_n=draw(st.integers(0, 5)),
        abnormal_only=draw(st.booleans()),
        end_state=draw(maybe(end_states)),
        cost=draw(maybe(costs())),
    )


@st.composite
def offers(draw: Callable[[Any], Any]) -> fx.Offer:
    valid_from_ms, valid_until_ms, start_latest_ms = sorted(draw(st.tuples(times, times, times)))
    offered = draw(st.lists(profiles(), min_size=1, max_size=3, unique_by=lambda p: p.profile_id))
    ends = max(
        (start_latest_ms if p.start_fixed_ms == UNSET else p.start_fixed_ms) + 1_000 * p.length_s for p in offered
    )
    return fx.Offer(
        offer_id=draw(uuids),
        valid_from_ms=valid_from_ms,
        valid_until_ms=valid_until_ms,
        start_earliest_ms=draw(st.integers(FIRST_MS, start_latest_ms)),
        start_latest_ms=start_latest_ms,
        min_notice_s=draw(waits),
        modes=draw(modes),
        default_profile_id=draw(st.sampled_from(offered)).profile_id,
        profiles=tuple(offered),
        accept_before_ms=draw(maybe(times, UNSET)),
        end_latest_ms=draw(maybe(st.integers(ends, LAST_MS), UNSET)) if ends <= LAST_MS else UNSET,
    )


offer_sets = st.builds(
    fx.OfferSet,
    esa_id=esa_ids,
    rev=counts,
    offers=st.lists(offers(), max_size=3, unique_by=lambda offer: offer.offer_id).map(tuple),
)


@st.composite
def slots(draw: Callable[[Any], Any], granted: bool) -> tuple[ex.Slot, ...]:
    found, start_ms = [], draw(st.integers(FIRST_MS, FIRST_MS * 2))
    for _ in range(draw(st.integers(1, 4))):
        lower, upper = draw(maybe(st.tuples(powers, powers).map(sorted), (None, None)))
        if granted and upper is None:
            upper = draw(powers)
        slot = ex.Slot(
            start_ms=start_ms,
            dur_s=draw(lengths),
            p_upper_w=upper,
            p_lower_w=lower,
            want=draw(st.sampled_from(ex.Want)),
        )
        found.append(slot)
        start_ms += 1_000 * slot.dur_s + draw(st.integers(0, 10**9))
    return tuple(found)


@st.composite
def constraints(draw: Callable[[Any], Any]) -> ex.Constraint:
    currency = draw(maybe(currencies, ""))
    return ex.Constraint(
        constraint_id=draw(uuids),
        esa_id=draw(esa_ids),
        slots=draw(slots(granted=False)),
        offers_by_ms=draw(times),
        value_micro_per_kwh=draw(money) if currency else 0,
        currency=currency,
    )


@st.composite
def requests(draw: Callable[[Any], Any]) -> ex.CapacityRequest:
    mode = draw(st.sampled_from(ex.CapacityMode))
    energy, power, by, time = stored, powers, times, lengths
    for_power, by_time = mode is ex.CapacityMode.POWER_FOR, mode is ex.CapacityMode.ENERGY_BY
    return ex.CapacityRequest(
        request_id=draw(uuids),
        mode=mode,
        energy_wh=draw(maybe(energy) if for_power else energy),
        power_w=draw(power if for_power else maybe(power)),
        by_ms=draw(by if by_time else maybe(by, UNSET)),
        duration_s=draw(time if for_power else maybe(time)),
        min_ok_ppm=draw(st.integers(0, 1_000_000)),
    )


@st.composite
def limits(draw: Callable[[Any], Any]) -> ex.Limit:
    active = draw(st.booleans())
    upper = draw(powers if active else maybe(powers))
    return ex.Limit(
        limit_id=draw(uuids),
        esa_id=draw(maybe(esa_ids, "")),
        active=active,
        klass=draw(st.sampled_from(fx.LimitClass)),
        p_upper_w=upper,
        p_lower_w=draw(maybe(st.integers(-POWER_W, 0 if upper is None else min(0, upper)))),
        dur_s=draw(maybe(lengths)),
        ramp_w_per_s=draw(maybe(ramps)),
    )


@st.composite
def report_slots(draw: Callable[[Any], Any]) -> ex.ReportSlot:
    quality = draw(st.sampled_from(ex.SlotQuality))
    figures = {
        ex.SlotQuality.MISSING: st.none(),
        ex.SlotQuality.BAD: maybe(powers),
    }
    return ex.ReportSlot(
        p_avg_w=draw(figures.get(quality, powers)), q=quality, e_wh=draw(maybe(energies)), p_peak_w=draw(maybe(powers))
    )


@st.composite
def reports(draw: Callable[[Any], Any]) -> ex.Report:
    reported = draw(several(report_slots(), 1, 6))
    soc_wh, soc_max_wh = draw(maybe(st.tuples(stored, stored).map(sorted), (None, None)))
    return ex.Report(
        esa_id=draw(esa_ids),
        kind=draw(st.sampled_from(ex.ReportKind)),
        start_ms=draw(times),
        slot_s=draw(lengths),
        slots=reported,
        select_id=draw(maybe(uuids, "")),
        baseline_w=draw(maybe(several(powers, len(reported), len(reported)), ())),
        soc_wh=soc_wh,
        soc_max_wh=soc_max_wh,
    )


@st.composite
def registers(draw: Callable[[Any], Any]) -> ex.Register:
    low, high = sorted(draw(st.tuples(powers, powers)))
    return ex.Register(
        esa_id=draw(esa_ids),
        esa_type=draw(st.sampled_from(fx.EsaType)),
        p_max_w=high,
        p_min_w=low,
        modes=draw(modes),
        controls=tuple(draw(st.lists(st.sampled_from(fx.Control), unique=True))),
        consent_ref=draw(words),
        cert_fp=draw(st.text("0123456789abcdef", min_size=64, max_size=64)),
        ramp_w_per_s=draw(maybe(ramps)),
        meter_class=draw(maybe(words, "")),
        fw=draw(maybe(words, "")),
        model=draw(maybe(words, "")),
    )


versions = st.tuples(st.integers(0, 999), st.integers(0, 999)).map(lambda pair: f"{pair[0]}.{pair[1]}")

BODIES: dict[str, SearchStrategy[Any]] = {
    "hello": st.builds(
        ex.Hello, versions=several(versions, 1), role=st.sampled_from(ex.NodeRole), last_seq=maybe(counts)
    ),
    "hello_ack": st.builds(ex.HelloAck, version=versions, session_id=words, heartbeat_s=st.integers(5, 60)),
    "heartbeat": st.builds(ex.Heartbeat, limit_state=st.sampled_from(fx.LimitState), rev=counts),
    "ack": st.builds(
        ex.Ack,
        status=st.sampled_from(ex.AckStatus),
        code=codes,
        detail=st.text(calm, max_size=200),
        retry_after_s=maybe(waits),
    ),
    "register": registers(),
    "register_result": st.builds(ex.RegisterResult, esa_id=esa_ids, outcome=st.sampled_from(ex.Outcome), code=codes),
    "deregister": st.builds(ex.Deregister, esa_id=esa_ids, reason=st.sampled_from(ex.DeregisterReason)),
    "init": st.builds(
        ex.Init,
        esa_id=esa_ids,
        failsafe_p_upper_w=powers,
        report_actual_s=st.integers(1, 3600),
        report_forecast_s=lengths,
        horizon_s=lengths,
        slot_s=lengths,
        random_offset_max_s=offsets,
        failsafe_p_lower_w=maybe(st.integers(-POWER_W, 0)),
        failsafe_min_s=st.integers(7_200, 86_400),
        on_link_loss=st.sampled_from(fx.OnLinkLoss),
        hold_max_s=lengths,
    ),
    "init_done": st.builds(ex.InitDone, esa_id=esa_ids, code=codes),
    "offer_set": offer_sets,
    "offer_withdraw": st.builds(
        ex.OfferWithdraw, esa_id=esa_ids, offer_ids=several(uuids, 1), reason=st.sampled_from(ex.WithdrawReason)
    ),
    "select": st.builds(
        ex.Select,
        select_id=uuids,
        esa_id=esa_ids,
        offer_id=uuids,
        profile_id=uuids,
        rev=counts,
        start_ms=times,
        mode=st.sampled_from(fx.Mode),
        setpoints_w=several(powers),
        random_offset_max_s=maybe(offsets),
        priority=counts,
        event_ref=maybe(words, ""),
        emergency=st.booleans(),
    ),
    "select_status": st.builds(
        ex.SelectStatus,
        select_id=uuids,
        esa_id=esa_ids,
        state=st.sampled_from(fx.SelectionState),
        code=codes,
        applied_offset_s=maybe(offsets),
        progress_s=maybe(waits),
    ),
    "cancel": st.builds(ex.Cancel, select_id=uuids, esa_id=esa_ids, at=st.sampled_from(ex.CancelAt)),
    "override": st.builds(
        ex.Override,
        esa_id=esa_ids,
        scope=st.sampled_from(fx.OverrideScope),
        by=st.sampled_from(fx.OverrideBy),
        until_ms=maybe(times, UNSET),
        expected=several(elements()),
    ),
    "constraint": constraints(),
    "capacity_request": requests(),
    "capacity_grant": st.builds(
        ex.CapacityGrant, request_id=uuids, slots=maybe(slots(granted=True), ()), expires_ms=times
    ),
    "limit": limits(),
    "limit_status": st.builds(
        ex.LimitStatus,
        limit_id=uuids,
        esa_id=maybe(esa_ids, ""),
        applied=st.booleans(),
        p_now_w=powers,
        code=codes,
    ),
    "report": reports(),
    "state": st.builds(
        ex.State,
        esa_id=esa_ids,
        value=st.sampled_from(ex.Running),
        override=st.sampled_from(fx.OverrideScope),
        freq_mhz=maybe(st.integers(1_000, 1_000_000)),
    ),
}
"""Bodies by the type that a frame names."""

nodes = st.tuples(st.sampled_from(("dsrsp", "cem", "esa")), st.text(ALPHABET, min_size=1, max_size=64)).map(":".join)


def messages(bodies: SearchStrategy[Any]) -> SearchStrategy[ex.Message]:
    return st.builds(ex.Message, id=uuids, ts_ms=times, src=nodes, dst=nodes, body=bodies, corr=maybe(uuids, ""))


any_message = st.sampled_from(sorted(BODIES)).flatmap(lambda name: messages(BODIES[name]))
