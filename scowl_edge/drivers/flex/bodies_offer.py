"""Bodies by which an appliance says what it could do: offers of profiles of elements."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, FailFast, Field, Strict
from pydantic_core import PydanticCustomError

from scowl_edge.drivers.flex.bodies_member import Modes
from scowl_edge.drivers.flex.body import Body, absent, core_value
from scowl_edge.drivers.flex.fields import (
    Activation,
    Amount,
    Count,
    Currency,
    Energy,
    EsaId,
    Length,
    Money,
    Power,
    Time,
    Uuid,
    Wait,
    Word,
    Yes,
    micro_text,
)
from scowl_edge.model import exchange, flexibility
from scowl_edge.model.exchange import WithdrawReason
from scowl_edge.model.flexibility import UNSET, WHOLE_PPM, EndKind, ProfileKind

ELEMENTS_MAX = 288
PROFILES_MAX = 1_000
OFFERS_MAX = 1_000
CO2_MAX_G = 10**12


class ElementBody(Body):
    """A stretch of constant expected power."""

    value_class: ClassVar = flexibility.Element

    dur_s: Length = Field(description="Its length, in s.")
    p_nom_w: Power = Field(description="Expected mean power, in W.")
    p_min_w: Power | None = absent(None, "Lowest power that it may be set to, in W; absent: the expected one.")
    p_max_w: Power | None = absent(None, "Highest power that it may be set to, in W; absent: the expected one.")

    def to_core(self) -> flexibility.Element:
        """An absent bound is the expected power."""
        nominal, lowest, highest = self.p_nom_w, self.p_min_w, self.p_max_w
        return flexibility.Element(
            dur_s=self.dur_s,
            p_nom_w=nominal,
            p_min_w=nominal if lowest is None else lowest,
            p_max_w=nominal if highest is None else highest,
        )

    @classmethod
    def written(cls, value: flexibility.Element) -> dict[str, object]:
        """A bound that is the expected power is absent."""
        out: dict[str, object] = {"dur_s": value.dur_s, "p_nom_w": value.p_nom_w}
        if value.p_min_w != value.p_nom_w:
            out["p_min_w"] = value.p_min_w
        if value.p_max_w != value.p_nom_w:
            out["p_max_w"] = value.p_max_w
        return out


Elements = Annotated[
    tuple[Annotated[ElementBody, AfterValidator(core_value)], ...],
    Field(min_length=1, max_length=ELEMENTS_MAX),
    FailFast(),
]


class EndStateBody(Body):
    """The appliance's state when a profile has run."""

    value_class: ClassVar = flexibility.EndState

    kind: EndKind = Field(description="What is known.")
    value_milli: Amount = Field(alias="value", description="How much, at most 3 digits behind the point.")
    unit: Word = Field(description="Unit of `value`, such as Wh or Cel; 1 where it has none.")


class CostBody(Body):
    """What running a profile costs against intended operation; negative is a benefit."""

    value_class: ClassVar = flexibility.Cost

    financial: Money | None = absent(None, "Money, as a decimal text of at most 6 digits behind the point.")
    currency: Currency | None = absent(None, "Currency of `financial`; both are there or none.")
    co2_g: Annotated[int, Strict(), Field(ge=-CO2_MAX_G, le=CO2_MAX_G)] = absent(0, "Emissions, in g of CO2.")
    comfort: Annotated[int, Strict(), Field(ge=0, le=10)] = absent(0, "0 (none notices) to 10.")

    def to_core(self) -> flexibility.Cost:
        """Nothing financial has no currency."""
        if (self.financial is None) != (self.currency is None):
            raise PydanticCustomError("pair", "should have both financial and currency, or none of them")
        return flexibility.Cost(
            financial_micro=self.financial or 0,
            currency=self.currency or "",
            co2_g=self.co2_g,
            comfort=self.comfort,
        )

    @classmethod
    def written(cls, value: flexibility.Cost) -> dict[str, object]:
        """Money only where it has a currency."""
        out: dict[str, object] = {}
        if value.currency:
            out |= {"financial": micro_text(value.financial_micro), "currency": value.currency}
        if value.co2_g:
            out["co2_g"] = value.co2_g
        if value.comfort:
            out["comfort"] = value.comfort
        return out


class ProfileBody(Body):
    """One course of power that an appliance could run."""

    value_class: ClassVar = flexibility.Profile

    profile_id: Uuid = Field(description="Its id, unique in the offer.")
    kind: ProfileKind = Field(description="What it stands for: IO intended, LD least delayed, MD most delayed, ...")
    elements: Elements = Field(description="Its stretches, one after the other without a gap.")
    start_fixed_ms: Time = absent(UNSET, "It starts then and at no other time.", alias="start_fixed")
    e_min_wh: Energy | None = absent(None, "Least energy of the whole, in Wh.")
    e_max_wh: Energy | None = absent(None, "Most energy of the whole, in Wh.")
    interruptible: Yes = Field(False, description="Whoever selected it may pause it.")
    max_pause_s: Wait = Field(0, description="Longest pause, in s.")
    min_activation_ppm: Activation = absent(
        WHOLE_PPM, "Smallest share of it that is of use, at most 6 digits behind the point.", alias="min_activation"
    )
    freq_n: Annotated[int, Strict(), Field(ge=0, le=5)] = Field(
        0, description="0: none; else power goes with the (n-1)th power of the deviation of the frequency."
    )
    abnormal_only: Yes = Field(False, description="For emergencies alone.")
    end_state: Annotated[EndStateBody, AfterValidator(core_value)] | None = absent(None, "State when it has run.")
    cost: Annotated[CostBody, AfterValidator(core_value)] | None = absent(None, "Its cost against intended operation.")


class OfferBody(Body):
    """Profiles of which one may be selected; never changed, only replaced by the next set."""

    value_class: ClassVar = flexibility.Offer

    offer_id: Uuid = Field(description="Its id, unique in the set.")
    valid_from_ms: Time = Field(alias="valid_from", description="A selection may arrive from then on.")
    valid_until_ms: Time = Field(alias="valid_until", description="A selection must have arrived by then.")
    start_earliest_ms: Time = Field(alias="start_earliest", description="First start of a profile that can shift.")
    start_latest_ms: Time = Field(alias="start_latest", description="Last start of a profile that can shift.")
    min_notice_s: Wait = Field(description="A selection arrives this long before its start, in s; usually 60.")
    modes: Modes = Field(description="Services that it may be used for.")
    default_profile_id: Uuid = Field(description="The profile that runs if nobody selects.")
    profiles: Annotated[
        tuple[Annotated[ProfileBody, AfterValidator(core_value)], ...],
        Field(min_length=1, max_length=PROFILES_MAX),
        FailFast(),
    ] = Field(description="What can be selected.")
    accept_before_ms: Time = absent(UNSET, "The appliance would like a yes or no by then.", alias="accept_before")
    end_latest_ms: Time = absent(UNSET, "Every profile must have ended by then.", alias="end_latest")


class OfferSetBody(Body):
    """All offers of one appliance; replaces those of the revision before."""

    value_class: ClassVar = flexibility.OfferSet

    esa_id: EsaId = Field(description="The appliance.")
    rev: Count = Field(description="Revision, higher each time.")
    offers: Annotated[
        tuple[Annotated[OfferBody, AfterValidator(core_value)], ...], Field(max_length=OFFERS_MAX), FailFast()
    ] = Field(description="What stands; none: nothing does.")


class OfferWithdrawBody(Body):
    """Offers that no longer stand."""

    value_class: ClassVar = exchange.OfferWithdraw

    esa_id: EsaId = Field(description="The appliance.")
    offer_ids: Annotated[tuple[Uuid, ...], Field(min_length=1, max_length=OFFERS_MAX), FailFast()] = Field(
        description="The offers."
    )
    reason: WithdrawReason = Field(description="Why.")
