"""Bodies by which somebody asks an appliance for something, and what it answers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, FailFast, Field

from scowl_edge.drivers.flex.bodies_offer import ELEMENTS_MAX, Elements
from scowl_edge.drivers.flex.body import Body, absent, core_value
from scowl_edge.drivers.flex.fields import (
    Count,
    Currency,
    EsaId,
    ExportPower,
    Length,
    Money,
    Power,
    Ramp,
    RandomOffset,
    Reference,
    Share,
    Stored,
    Time,
    Uuid,
    Wait,
    Yes,
    micro_text,
    time_text,
)
from scowl_edge.model import exchange
from scowl_edge.model.exchange import CancelAt, CapacityMode, Code, Want
from scowl_edge.model.flexibility import UNSET, LimitClass, Mode, OverrideBy, OverrideScope, SelectionState

SLOTS_MAX = 2_880


class SelectBody(Body):
    """One profile of one offer is wanted."""

    value_class: ClassVar = exchange.Select

    select_id: Uuid = Field(description="Its id, the handle for everything after.")
    esa_id: EsaId = Field(description="The appliance.")
    offer_id: Uuid = Field(description="The offer.")
    profile_id: Uuid = Field(description="The profile of it.")
    rev: Count = Field(description="Must be the present revision of the appliance's offers.")
    start_ms: Time = Field(alias="start", description="When it is to start, inside the offer's window.")
    mode: Mode = Field(description="What it serves; for RESPONSE no random delay is drawn.")
    setpoints_w: Annotated[tuple[Power, ...], Field(max_length=ELEMENTS_MAX), FailFast()] = absent(
        (), "One power an element, inside its bounds, in W; absent: the expected ones."
    )
    random_offset_max_s: RandomOffset | None = absent(None, "Longest random delay, in s, instead of that of `init`.")
    priority: Count = Field(100, description="0 goes first.")
    event_ref: Reference = absent("", "The event of the grid that it is for, for the audit trail.")
    emergency: Yes = Field(False, description="Allows profiles that are for emergencies alone.")


class SelectStatusBody(Body):
    """Where a selection stands, told by the appliance at every change."""

    value_class: ClassVar = exchange.SelectStatus

    select_id: Uuid = Field(description="The selection.")
    esa_id: EsaId = Field(description="The appliance.")
    state: SelectionState = Field(description="Where it stands.")
    code: Code | None = absent(None, "Why.")
    applied_offset_s: RandomOffset | None = absent(None, "The random delay that was drawn, in s.")
    progress_s: Wait | None = absent(None, "How long it has run, in s.")


class CancelBody(Body):
    """A selection is taken back, before or while it runs."""

    value_class: ClassVar = exchange.Cancel

    select_id: Uuid = Field(description="The selection.")
    esa_id: EsaId = Field(description="The appliance.")
    at: CancelAt = Field(description="When the profile ends; usually ELEMENT_END.")


class OverrideBody(Body):
    """Somebody at the appliance goes before what was selected; scope NONE lifts it."""

    value_class: ClassVar = exchange.Override

    esa_id: EsaId = Field(description="The appliance.")
    scope: OverrideScope = Field(description="What is taken out of flexibility.")
    by: OverrideBy = Field(description="Who overrides.")
    until_ms: Time = absent(UNSET, "How long it holds; absent: until it is lifted.", alias="until")
    expected: Elements = absent((), "What the appliance will do instead.")


class SlotBody(Body):
    """A stretch of a wished or granted envelope."""

    value_class: ClassVar = exchange.Slot

    start_ms: Time = Field(alias="start", description="When it begins.")
    dur_s: Length = Field(description="Its length, in s.")
    p_upper_w: Power | None = absent(None, "Highest power, in W.")
    p_lower_w: Power | None = absent(None, "Lowest power, in W.")
    want: Want = Field(Want.NONE, description="In which direction power is wanted.")


Slots = Annotated[
    tuple[Annotated[SlotBody, AfterValidator(core_value)], ...], Field(min_length=1, max_length=SLOTS_MAX), FailFast()
]


class ValueBody(Body):
    """What a kilowatt hour is worth."""

    financial: Money = Field(description="Money a kWh, as a decimal text of at most 6 digits behind the point.")
    currency: Currency = Field(description="Its currency.")


class ConstraintBody(Body):
    """What offers would be of use: asks for a new set, binds nobody."""

    value_class: ClassVar = exchange.Constraint

    constraint_id: Uuid = Field(alias="id", description="Its id.")
    esa_id: EsaId = Field(description="The appliance.")
    slots: Slots = Field(description="The envelope that is wanted.")
    offers_by_ms: Time = Field(alias="offers_by", description="When a new set of offers should have come.")
    incentive: ValueBody | None = absent(None, "What following it is worth.", alias="value")

    def to_core(self) -> exchange.Constraint:
        """Nothing offered has no currency."""
        worth = self.incentive
        return exchange.Constraint(
            constraint_id=self.constraint_id,
            esa_id=self.esa_id,
            slots=self.slots,  # type: ignore[arg-type]  # each was turned into its value when it was read
            offers_by_ms=self.offers_by_ms,
            value_micro_per_kwh=0 if worth is None else worth.financial,
            currency="" if worth is None else worth.currency,
        )

    @classmethod
    def written(cls, value: exchange.Constraint) -> dict[str, object]:
        """An incentive only where it has a currency."""
        out: dict[str, object] = {
            "id": value.constraint_id,
            "esa_id": value.esa_id,
            "slots": [SlotBody.written(slot) for slot in value.slots],
            "offers_by": time_text(value.offers_by_ms),
        }
        if value.currency:
            out["value"] = {"financial": micro_text(value.value_micro_per_kwh), "currency": value.currency}
        return out


class CapacityRequestBody(Body):
    """Whether energy or power can be had: ENERGY_BY, FASTEST or POWER_FOR a time."""

    value_class: ClassVar = exchange.CapacityRequest

    request_id: Uuid = Field(description="Its id.")
    mode: CapacityMode = Field(description="What is asked for.")
    energy_wh: Stored | None = absent(None, "Energy, in Wh; needed for ENERGY_BY and FASTEST.")
    power_w: Power | None = absent(None, "Power, in W; needed for POWER_FOR.")
    by_ms: Time = absent(UNSET, "When it is needed; needed for ENERGY_BY.", alias="by")
    duration_s: Length | None = absent(None, "How long, in s; needed for POWER_FOR.")
    min_ok_ppm: Share = absent(0, "Smallest share that is of use, at most 6 digits behind the point.", alias="min_ok")


class GrantedSlotBody(SlotBody):
    """A stretch of a granted envelope."""

    p_upper_w: Power = Field(description="Highest power, in W.")


class CapacityGrantBody(Body):
    """Power that is reserved for the asker until it expires."""

    value_class: ClassVar = exchange.CapacityGrant

    request_id: Uuid = Field(description="The request that it answers.")
    slots: Annotated[
        tuple[Annotated[GrantedSlotBody, AfterValidator(core_value)], ...], Field(max_length=SLOTS_MAX), FailFast()
    ] = Field(description="The envelope that is granted; none: nothing is.")
    expires_ms: Time = Field(alias="expires", description="What is unused by then returns.")


class LimitBody(Body):
    """A bound of power that holds whatever was selected; not delayed at random."""

    value_class: ClassVar = exchange.Limit

    limit_id: Uuid = Field(description="Its id.")
    esa_id: EsaId = absent("", "The appliance; absent: the site.")
    active: Yes = Field(description="False lifts it.")
    klass: LimitClass = Field(alias="class", description="SAFETY goes before the user, CONTRACT does not.")
    p_upper_w: Power | None = absent(None, "Highest import, in W; needed when active.")
    p_lower_w: ExportPower | None = absent(None, "Highest export, in W, at most 0.")
    dur_s: Length | None = absent(None, "How long it holds, in s; absent: until it is replaced.")
    ramp_w_per_s: Ramp | None = absent(None, "How fast it is approached, in W/s.")


class LimitStatusBody(Body):
    """Answer to `limit`."""

    value_class: ClassVar = exchange.LimitStatus

    limit_id: Uuid = Field(description="The limit.")
    esa_id: EsaId = absent("", "The appliance; absent: the site.")
    applied: Yes = Field(description="Whether it holds.")
    p_now_w: Power = Field(description="Present power, in W.")
    code: Code | None = absent(None, "Why not.")
