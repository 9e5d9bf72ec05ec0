"""One message of every type, as somebody who writes an appliance may meet them on a winter's evening."""

from __future__ import annotations

from scowl_edge.drivers.flex.bodies import TYPES
from scowl_edge.drivers.flex.fields import time_ms
from scowl_edge.model import exchange as ex
from scowl_edge.model import flexibility as fx

_PROVIDER, _MANAGER, _ESA = "dsrsp:north", "cem:house-12", "ev-7f3a91c2"


def _id(number: int) -> str:
    return f"4b1e0f00-0000-4000-8000-{number:012}"


def _at(clock: str) -> int:
    return time_ms(f"2026-01-31T{clock}Z")


_OFFER, _INTENDED, _LATEST = _id(101), _id(111), _id(112)
_SELECT, _LIMIT, _REQUEST, _CONSTRAINT = _id(121), _id(131), _id(141), _id(151)

_OFFERS = fx.OfferSet(
    esa_id=_ESA,
    rev=42,
    offers=(
        fx.Offer(
            offer_id=_OFFER,
            valid_from_ms=_at("17:00:00"),
            valid_until_ms=_at("17:15:00"),
            start_earliest_ms=_at("17:30:00"),
            start_latest_ms=_at("21:00:00"),
            end_latest_ms=_at("23:00:00"),
            min_notice_s=60,
            modes=(fx.Mode.ROUTINE, fx.Mode.RESPONSE),
            default_profile_id=_INTENDED,
            profiles=(
                fx.Profile(
                    profile_id=_INTENDED,
                    kind=fx.ProfileKind.IO,
                    elements=(
                        fx.Element(dur_s=3_600, p_nom_w=7_000, p_min_w=1_400, p_max_w=7_000),
                        fx.Element(dur_s=1_800, p_nom_w=3_500, p_min_w=3_500, p_max_w=3_500),
                    ),
                    e_min_wh=8_500,
                    e_max_wh=9_000,
                    interruptible=True,
                    max_pause_s=900,
                    min_activation_ppm=200_000,
                    end_state=fx.EndState(kind=fx.EndKind.SOC, value_milli=40_500, unit="kWh"),
                    cost=fx.Cost(financial_micro=0, currency="GBP", co2_g=0, comfort=0),
                ),
                fx.Profile(
                    profile_id=_LATEST,
                    kind=fx.ProfileKind.MD,
                    elements=(fx.Element(dur_s=5_400, p_nom_w=5_900, p_min_w=5_900, p_max_w=5_900),),
                    start_fixed_ms=_at("21:00:00"),
                    cost=fx.Cost(financial_micro=-350_000, currency="GBP", co2_g=-420, comfort=2),
                ),
            ),
        ),
    ),
)

_DOWN: tuple[ex.Body, ...] = (
    ex.HelloAck(version="1.0", session_id="s-20260131-1", heartbeat_s=30),
    ex.RegisterResult(esa_id=_ESA, outcome=ex.Outcome.ACCEPTED),
    ex.Init(esa_id=_ESA, failsafe_p_upper_w=4_200, failsafe_p_lower_w=0),
    ex.Select(
        select_id=_SELECT,
        esa_id=_ESA,
        offer_id=_OFFER,
        profile_id=_INTENDED,
        rev=42,
        start_ms=_at("20:00:00"),
        mode=fx.Mode.ROUTINE,
        setpoints_w=(6_000, 3_500),
        event_ref="evening-peak-31",
    ),
    ex.Cancel(select_id=_SELECT, esa_id=_ESA),
    ex.Constraint(
        constraint_id=_CONSTRAINT,
        esa_id=_ESA,
        slots=(
            ex.Slot(start_ms=_at("17:00:00"), dur_s=7_200, p_upper_w=1_400, want=ex.Want.DOWN),
            ex.Slot(start_ms=_at("21:00:00"), dur_s=3_600, want=ex.Want.UP),
        ),
        offers_by_ms=_at("16:45:00"),
        value_micro_per_kwh=120_000,
        currency="GBP",
    ),
    ex.CapacityGrant(
        request_id=_REQUEST,
        slots=(
            ex.Slot(start_ms=_at("20:00:00"), dur_s=1_800, p_upper_w=7_000),
            ex.Slot(start_ms=_at("20:30:00"), dur_s=1_800, p_upper_w=3_500),
        ),
        expires_ms=_at("21:00:00"),
    ),
    ex.Limit(
        limit_id=_LIMIT,
        esa_id=_ESA,
        active=True,
        klass=fx.LimitClass.SAFETY,
        p_upper_w=2_300,
        p_lower_w=0,
        dur_s=900,
    ),
)
_UP: tuple[ex.Body, ...] = (
    ex.Hello(versions=("1.0",), role=ex.NodeRole.CEM, last_seq=811),
    ex.Heartbeat(limit_state=fx.LimitState.UNLIMITED, rev=42),
    ex.Ack(
        status=ex.AckStatus.INVALID_CONTENT,
        code=ex.Code.STALE_REV,
        detail="body.rev: 41 is not the present revision, 42",
    ),
    ex.Register(
        esa_id=_ESA,
        esa_type=fx.EsaType.EVSE,
        p_max_w=7_400,
        p_min_w=0,
        modes=(fx.Mode.ROUTINE, fx.Mode.RESPONSE),
        controls=(fx.Control.PROFILE, fx.Control.LIMIT, fx.Control.PAUSE),
        consent_ref="consent-2025-118",
        cert_fp="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        ramp_w_per_s=700,
        meter_class="B",
        fw="3.1.4",
        model="wallbox-7",
    ),
    ex.Deregister(esa_id=_ESA, reason=ex.DeregisterReason.MOVE),
    ex.InitDone(esa_id=_ESA),
    _OFFERS,
    ex.OfferWithdraw(esa_id=_ESA, offer_ids=(_OFFER,), reason=ex.WithdrawReason.STATE_CHANGE),
    ex.SelectStatus(select_id=_SELECT, esa_id=_ESA, state=fx.SelectionState.SCHEDULED, applied_offset_s=217),
    ex.Override(
        esa_id=_ESA,
        scope=fx.OverrideScope.THIS,
        by=fx.OverrideBy.USER,
        until_ms=_at("22:00:00"),
        expected=(fx.Element(dur_s=3_600, p_nom_w=7_000, p_min_w=7_000, p_max_w=7_000),),
    ),
    ex.CapacityRequest(
        request_id=_REQUEST,
        mode=ex.CapacityMode.ENERGY_BY,
        energy_wh=5_000,
        by_ms=_at("23:00:00"),
        min_ok_ppm=500_000,
    ),
    ex.LimitStatus(limit_id=_LIMIT, esa_id=_ESA, applied=True, p_now_w=2_290),
    ex.Report(
        esa_id=_ESA,
        kind=ex.ReportKind.ACTUAL,
        start_ms=_at("20:00:00"),
        slot_s=900,
        slots=(
            ex.ReportSlot(p_avg_w=5_980, q=ex.SlotQuality.OK, e_wh=1_495, p_peak_w=6_120),
            ex.ReportSlot(p_avg_w=None, q=ex.SlotQuality.MISSING),
            ex.ReportSlot(p_avg_w=5_940, q=ex.SlotQuality.ESTIMATED),
        ),
        select_id=_SELECT,
        baseline_w=(0, 0, 0),
        soc_wh=33_100,
        soc_max_wh=60_000,
    ),
    ex.State(esa_id=_ESA, value=ex.Running.RUNNING, override=fx.OverrideScope.NONE, freq_mhz=49_983),
)

DOWNWARD = frozenset({*(TYPES[type(body)] for body in _DOWN), "hello", "heartbeat", "ack", "deregister"})
"""What a provider tells an energy manager, and this one an appliance."""
UPWARD = frozenset({*(TYPES[type(body)] for body in _UP), "hello_ack"})
"""What an appliance tells its energy manager, and this one a provider."""


def _message(number: int, body: ex.Body, down: bool) -> ex.Message:
    answers = isinstance(body, ex.HelloAck | ex.Ack | ex.RegisterResult | ex.InitDone | ex.SelectStatus)
    return ex.Message(
        id=_id(number),
        ts_ms=_at("16:59:58.250") + 1_000 * number,
        src=_PROVIDER if down else _MANAGER,
        dst=_MANAGER if down else _PROVIDER,
        body=body,
        corr=_id(900 + number) if answers else "",
    )


EXAMPLES: dict[str, ex.Message] = {
    TYPES[type(body)]: _message(number, body, number <= len(_DOWN)) for number, body in enumerate((*_DOWN, *_UP), 1)
}
"""By type."""
