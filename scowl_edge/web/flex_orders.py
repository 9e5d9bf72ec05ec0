"""What an operator may order of flexibility, as the body of a request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from scowl_edge.web.orders import OrderIn, SignedIn

_POWER = 10**12
_W = Annotated[int, Field(ge=-_POWER, le=_POWER)]
_Id = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
_Node = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[!-~]+$")]
_Mode = Literal["ROUTINE", "RESPONSE"]


class AimStretchIn(BaseModel):
    """A stretch of constant power of a wished curve."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    dur_s: Annotated[int, Field(ge=60, le=172_800)]
    power_w: _W


class FlexAimIn(OrderIn):
    """What the sum of all appliances should do: a level or a curve. Neither takes the one before back."""

    level_w: _W | None = None
    """One power for as long as it stands."""
    curve: Annotated[list[AimStretchIn], Field(max_length=288, default_factory=list)]
    """Stretches one after the other, 48 h at most; ends by itself."""
    begin: AwareDatetime | None = None
    """Of the curve; absent: now."""
    relative: bool = False
    """Whether the powers are changes of what is intended; less is negative."""
    mode: _Mode = "ROUTINE"
    """RESPONSE: at once, without a random delay."""
    event_ref: Annotated[str, StringConstraints(max_length=64, pattern=r"^[ -~]*$")] = ""
    """Under what it is in the books."""
    emergency: bool = False
    """Also profiles that are offered for emergencies alone."""


class FlexSelectIn(SignedIn):
    """Selects one profile of one offer. No plan moves it."""

    esa_id: _Id
    offer_id: _Id
    profile_id: _Id
    start: AwareDatetime
    setpoints_w: Annotated[list[_W], Field(max_length=288, default_factory=list)]
    """One an element; empty: as offered."""
    mode: _Mode = "ROUTINE"


class FlexCancelIn(SignedIn):
    """Takes a selection back."""

    select_id: _Id
    at: Literal["NOW", "ELEMENT_END"] = "ELEMENT_END"


class FlexOverrideIn(OrderIn):
    """Takes an appliance out of flexibility for its user, or gives it back."""

    esa_id: _Id
    scope: Literal["NONE", "THIS", "LOCAL", "GRID", "ALL"]
    """THIS: the present job; LOCAL: what the building would do; GRID: what others would; NONE: given back."""


class FlexLimitIn(SignedIn):
    """Bounds the power of an appliance, or of the whole site of a manager."""

    esa_id: _Id | None = None
    cem: _Node | None = None
    """Node id; either this or `esa_id`."""
    active: bool = True
    """False lifts it."""
    p_upper_w: _W | None = None
    p_lower_w: Annotated[int, Field(ge=-_POWER, le=0)] | None = None
    dur_s: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """Absent: until it is replaced."""
    safety: bool = False
    """SAFETY goes before the user, CONTRACT behind."""
