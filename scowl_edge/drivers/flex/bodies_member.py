"""Bodies by which an appliance joins, is told how to behave, and leaves."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import FailFast, Field, Strict

from scowl_edge.drivers.flex.body import Body, absent
from scowl_edge.drivers.flex.fields import (
    EsaId,
    ExportPower,
    Fingerprint,
    Length,
    Power,
    Ramp,
    RandomOffset,
    Reference,
    Word,
)
from scowl_edge.model import exchange
from scowl_edge.model.exchange import Code, DeregisterReason, Outcome
from scowl_edge.model.flexibility import Control, EsaType, Mode, OnLinkLoss

Modes = Annotated[tuple[Mode, ...], Field(min_length=1, max_length=2), FailFast()]


class RegisterBody(Body):
    """An appliance presents itself."""

    value_class: ClassVar = exchange.Register

    esa_id: EsaId = Field(description="Random id, kept as long as the owner is the same.")
    esa_type: EsaType = Field(description="What kind of appliance it is.")
    p_max_w: Power = Field(description="Nameplate: highest power in W.")
    p_min_w: Power = Field(description="Nameplate: lowest power in W, below 0 if it can export.")
    modes: Modes = Field(description="Services that it takes part in.")
    controls: Annotated[tuple[Control, ...], Field(max_length=5), FailFast()] = Field(
        description="What it lets others do."
    )
    consent_ref: Reference = Field(description="Opaque id of the owner's stored consent, never its text.")
    cert_fp: Fingerprint = Field(description="SHA-256 of the certificate of the appliance or its energy manager.")
    ramp_w_per_s: Ramp | None = absent(None, "How fast its power can change, in W/s.")
    meter_class: Word = absent("", "Accuracy class of its meter, such as B.")
    fw: Word = absent("", "Version of its firmware, for diagnosis.")
    model: Word = absent("", "Its model, for diagnosis.")


class RegisterResultBody(Body):
    """Answer to `register`."""

    value_class: ClassVar = exchange.RegisterResult

    esa_id: EsaId = Field(description="The appliance.")
    outcome: Outcome = Field(description="What became of the registration.")
    code: Code | None = absent(None, "Why it was rejected.")


class DeregisterBody(Body):
    """The end of a registration; keys and offers are erased, the audit trail is kept."""

    value_class: ClassVar = exchange.Deregister

    esa_id: EsaId = Field(description="The appliance.")
    reason: DeregisterReason = Field(description="Why it leaves.")


class InitBody(Body):
    """How an appliance is to report, and what holds when it hears nobody. There is no default on the wire."""

    value_class: ClassVar = exchange.Init

    esa_id: EsaId = Field(description="The appliance.")
    failsafe_p_upper_w: Power = Field(description="Highest power when blind, in W.")
    report_actual_s: Annotated[int, Strict(), Field(ge=1, le=3600)] = Field(
        description="Time between reports of what was, in s; usually 60."
    )
    report_forecast_s: Length = Field(description="Time between forecasts, in s; usually 900.")
    horizon_s: Length = Field(description="How far offers and forecasts look ahead, in s; usually 86400.")
    slot_s: Length = Field(description="Length of the slots of reports, in s; usually 900.")
    random_offset_max_s: RandomOffset = Field(description="Longest random delay of a start, in s; usually 600.")
    failsafe_min_s: Annotated[int, Strict(), Field(ge=7200, le=86_400)] = Field(
        description="How long the fail-safe value holds at least, in s; usually 7200."
    )
    on_link_loss: OnLinkLoss = Field(description="What becomes of an active profile when the link is lost.")
    hold_max_s: Length = Field(description="Longest that FINISH_ACTIVE goes on, in s; usually 3600.")
    failsafe_p_lower_w: ExportPower | None = absent(
        None, "Highest export when blind, in W, at most 0; absent: the nameplate's."
    )


class InitDoneBody(Body):
    """Answer to `init`."""

    value_class: ClassVar = exchange.InitDone

    esa_id: EsaId = Field(description="The appliance.")
    code: Code | None = absent(None, "Why it could not be done.")
