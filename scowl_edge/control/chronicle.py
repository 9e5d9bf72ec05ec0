"""The list of events: what happened, where and when it happened, and when the region took it in."""

from __future__ import annotations

from scowl_edge.control.memory import Decided, Happened, Memory
from scowl_edge.model.reason import Reason
from scowl_edge.model.tick import Tick

KEPT_EVENTS = 100
"""Older ones are kept outside, where nothing is decided by them. All of the step that is under way are kept."""


def forget(memory: Memory) -> None:
    """Lets go of old events. Once a step, before its first: whoever follows the steps misses none."""
    del memory.events[:-KEPT_EVENTS]


def note(
    memory: Memory,
    tick: Tick,
    kind: str,
    source: str,
    text: Reason,
    *,
    priority: str = "",
    who: str = "",
    at_ms: int = -1,
) -> None:
    """Adds one event. `at_ms` is when it happened, monotonic; -1: when this step began."""
    memory.situation.events += 1
    ago_ms = max(0, tick.mono_ms - at_ms) if at_ms >= 0 else 0
    memory.events.append(
        Happened(
            seq=memory.situation.events,
            source_utc_ms=tick.utc_ms - ago_ms,
            utc_ms=tick.utc_ms,
            utc_ok=tick.utc_ok,
            kind=kind,
            source=source,
            priority=priority,
            who=who,
            text=text,
        )
    )


def decided(memory: Memory, tick: Tick, rung: str, device: int, amount_w: int, reason: Reason) -> None:
    """Adds one decision, with its reason."""
    memory.decisions.append(
        Decided(step=tick.step, utc_ms=tick.utc_ms, rung=rung, device=device, amount_w=amount_w, reason=reason)
    )
