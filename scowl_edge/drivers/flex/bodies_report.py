"""Bodies by which an appliance says what it did, will do, and does."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, FailFast, Field

from scowl_edge.drivers.flex.bodies_order import SLOTS_MAX
from scowl_edge.drivers.flex.body import Body, absent, core_value
from scowl_edge.drivers.flex.fields import Energy, EsaId, Frequency, Length, Power, Stored, Time, Uuid
from scowl_edge.model import exchange
from scowl_edge.model.exchange import ReportKind, Running, SlotQuality
from scowl_edge.model.flexibility import OverrideScope


class ReportSlotBody(Body):
    """One slot of a report; a missing one keeps its place with no figure."""

    value_class: ClassVar = exchange.ReportSlot

    p_avg_w: Power | None = Field(description="Mean power, in W; null where it is missing.")
    q: SlotQuality = Field(description="How good the figures are.")
    e_wh: Energy | None = absent(None, "Energy, in Wh.")
    p_peak_w: Power | None = absent(None, "Highest power, in W.")


class ReportBody(Body):
    """Power by slots, measured or expected."""

    value_class: ClassVar = exchange.Report

    esa_id: EsaId = Field(description="The appliance.")
    kind: ReportKind = Field(description="Of the past or of the future.")
    start_ms: Time = Field(alias="start", description="When the first slot begins.")
    slot_s: Length = Field(description="Length of each slot, in s.")
    slots: Annotated[
        tuple[Annotated[ReportSlotBody, AfterValidator(core_value)], ...],
        Field(min_length=1, max_length=SLOTS_MAX),
        FailFast(),
    ] = Field(description="The slots, one after the other without a gap.")
    select_id: Uuid = absent("", "The selection that this is the delivery of.")
    baseline_w: Annotated[tuple[Power, ...], Field(max_length=SLOTS_MAX), FailFast()] = absent(
        (), "Intended operation in the same slots, in W."
    )
    soc_wh: Stored | None = absent(None, "Energy in the store, in Wh.")
    soc_max_wh: Stored | None = absent(None, "Energy that the store can hold, in Wh.")


class StateBody(Body):
    """What an appliance does, on change and every quarter of an hour."""

    value_class: ClassVar = exchange.State

    esa_id: EsaId = Field(description="The appliance.")
    value: Running = Field(alias="value", description="What it does.")
    override: OverrideScope = Field(description="What is taken out of flexibility.")
    freq_mhz: Frequency | None = absent(
        None, "Frequency that it measures, in Hz, at most 3 digits behind the point.", alias="freq_hz"
    )
