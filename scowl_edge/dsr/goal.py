"""What a provider is after, and on which terms it works."""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.dsr.trust import Conduct
from scowl_edge.model.flexibility import Mode
from scowl_edge.model.profile import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a provider works; from its configuration."""

    failsafe_p_upper_w: int
    """Of each appliance; it may bound itself lower."""
    max_ramp_w_per_s: int
    """Of the sum of all that is selected; 0: not bounded."""
    slot_ms: int = 900_000
    slots: int = 96
    """Horizon."""
    replan_ms: int = 300_000
    """Least time between two jobs for one goal, unless something failed."""
    retry_ms: int = 120_000
    """An appliance that refused or did not answer is left alone for so long."""
    answer_ms: int = 30_000
    """Lead for the worker and the message: no start is planned sooner."""
    accept_ms: int = 10_000
    """A selection that is not answered by then counts as refused."""
    job_ms: int = 60_000
    """A job that is not answered by then is asked anew."""
    moves: int = 200_000
    settle_after_ms: int = 3_600_000
    """After its end, late reports still count without an adjustment."""
    keep_ms: int = 7 * 86_400_000
    check_ms: int = 60_000
    """How often deliveries are looked at."""
    checks: int = 200
    """Most selections that are looked at in one step."""
    late_ms: int = 300_000
    """A slot is judged so long after its end."""
    random_offset_max_s: int = 600
    report_actual_s: int = 60
    tolerance: Tolerance = field(default_factory=Tolerance)
    conduct: Conduct = field(default_factory=Conduct)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What the sum of all appliances is wanted to do."""

    number: int
    curve: Timeline
    """Power of the sum, or a change of what is intended; elsewhere nothing is wanted to change."""
    relative: bool
    mode: Mode
    event_ref: str = ""
    emergency: bool = False
