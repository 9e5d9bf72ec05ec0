"""What an appliance should do now: what was selected, within whatever bounds it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scowl_edge.dsr.limiting import Envelope
from scowl_edge.dsr.selection import Selection
from scowl_edge.model.flexibility import LimitClass, LimitState, SelectionState


class Cause(StrEnum):
    """Why an appliance does what it does."""

    DEFAULT = "DEFAULT"
    """Nobody asks for anything: what it would do by itself."""
    SELECTION = "SELECTION"
    PAUSE = "PAUSE"
    """A selection is interrupted."""
    OVERRIDE = "OVERRIDE"
    """As its user wants it."""
    LIMIT = "LIMIT"
    FAILSAFE = "FAILSAFE"
    """Nobody who may set limits is heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What the device should do now. An arbiter takes `wish_w` and `envelopes`; a device alone takes `setpoint_w`."""

    wish_w: int | None
    """What the selection asks for; None: whatever the device does by itself (0 W while `PAUSE`)."""
    setpoint_w: int | None
    """`wish_w` within the bounds; None: by itself, within the bounds."""
    p_lower_w: int | None
    """All bounds taken together, a contract's left out under an override; None: none."""
    p_upper_w: int | None
    envelopes: tuple[Envelope, ...]
    """Bounds by class, the higher first."""
    cause: Cause
    """What decides."""
    select_id: str = ""


def decided(selection: Selection | None, envelopes: tuple[Envelope, ...], overridden: bool) -> Course:
    """The course of an appliance.

    Args:
        selection: The one that runs, if one does.
        envelopes: Bounds in force, the higher class first.
        overridden: Whether its user took over, which goes before limits of a contract.
    """
    wish_w, cause, select_id = None, Cause.DEFAULT, ""
    if selection is not None:
        select_id = selection.select_id
        paused = selection.state is SelectionState.INTERRUPTED
        wish_w, cause = (0, Cause.PAUSE) if paused else (selection.setpoint_w(), Cause.SELECTION)
    elif overridden:
        cause = Cause.OVERRIDE
    lower_w, upper_w = together(envelopes, overridden)
    setpoint_w = None if wish_w is None else _clipped(wish_w, lower_w, upper_w)
    bounded = lower_w is not None or upper_w is not None
    if setpoint_w != wish_w or (cause is Cause.DEFAULT and bounded):
        limits = all(e.why is LimitState.LIMITED for e in envelopes)
        cause = Cause.LIMIT if limits else Cause.FAILSAFE
    return Course(
        wish_w=wish_w,
        setpoint_w=setpoint_w,
        p_lower_w=lower_w,
        p_upper_w=upper_w,
        envelopes=envelopes,
        cause=cause,
        select_id=select_id,
    )


def together(envelopes: tuple[Envelope, ...], overridden: bool) -> tuple[int | None, int | None]:
    """All bounds at once; where they contradict each other, those of the higher class hold."""
    lower_w: int | None = None
    upper_w: int | None = None
    for envelope in envelopes:
        if overridden and envelope.klass is LimitClass.CONTRACT:
            continue
        if envelope.p_upper_w is not None:
            above_w = envelope.p_upper_w if lower_w is None else max(envelope.p_upper_w, lower_w)
            upper_w = above_w if upper_w is None else min(upper_w, above_w)
        if envelope.p_lower_w is not None:
            below_w = envelope.p_lower_w if upper_w is None else min(envelope.p_lower_w, upper_w)
            lower_w = below_w if lower_w is None else max(lower_w, below_w)
    return lower_w, upper_w


def _clipped(power_w: int, lower_w: int | None, upper_w: int | None) -> int:
    power_w = power_w if lower_w is None else max(power_w, lower_w)
    return power_w if upper_w is None else min(power_w, upper_w)
