"""What every adapter's physics has in common: a state, stepped in time by a power that it can take."""

from __future__ import annotations

from typing import Protocol, TypeVar

from scowl_edge.dsr.adapters.offering import Frame
from scowl_edge.model.flexibility import EsaType, OfferSet
from scowl_edge.model.profile import Segment, Timeline

STEP_MS = 60_000
"""Longest step of the physics."""
S = TypeVar("S")


class Adapter(Protocol[S]):
    """A kind of appliance with its parameters: what it can do, how its state goes on, what it offers."""

    @property
    def esa_id(self) -> str:
        """The appliance."""

    @property
    def esa_type(self) -> EsaType:
        """Its kind."""

    @property
    def p_min_w(self) -> int:
        """Least power of its nameplate, below 0 if it can export."""

    @property
    def p_max_w(self) -> int:
        """Most power of its nameplate."""

    @property
    def waits(self) -> bool:
        """Whether it rests while something selected has yet to start; else it goes on by itself until then."""

    def reach(self, state: S, at_ms: int, dur_ms: int) -> tuple[int, int]:
        """Least and most mean power that it can take over the coming stretch."""

    def wish_w(self, state: S, at_ms: int, dur_ms: int) -> int:
        """Mean power that it takes by itself."""

    def take_w(self, state: S, wanted_w: int, upper_w: int, at_ms: int, dur_ms: int) -> int:
        """Mean power that it takes when set to `wanted_w`, at most `upper_w` (a discharge is not bounded by it)."""

    def step(self, state: S, power_w: int, at_ms: int, dur_ms: int) -> S:
        """The state after a stretch, at most `STEP_MS`, of a power within `reach`."""

    def fault(self, state: S, at_ms: int) -> str:
        """What the user would complain of in this state, or nothing."""

    def offers(self, state: S, frame: Frame) -> OfferSet:
        """What can be run; made so that every one of it can be."""


def held(reach: tuple[int, int], wanted_w: int, upper_w: int) -> int:
    """The nearest power within reach, at most `upper_w` if that can be reached."""
    low_w, high_w = reach
    return max(low_w, min(high_w, wanted_w, upper_w))


def run(adapter: Adapter[S], state: S, start_ms: int, end_ms: int, course: Timeline | None = None) -> S:
    """The state after some time; each power is held to what the appliance can take.

    Args:
        adapter: The appliance.
        state: At `start_ms`.
        start_ms: UTC.
        end_ms: UTC.
        course: Power over time; None, or where it says nothing: as it would by itself.
    """
    at_ms = start_ms
    for stretch in _stretches(course, start_ms, end_ms):
        until_ms, segment = stretch
        while at_ms < until_ms:
            dur_ms = min(STEP_MS, until_ms - at_ms)
            wanted_w = adapter.wish_w(state, at_ms, dur_ms) if segment is None else segment.begin_w
            power_w = adapter.take_w(state, wanted_w, adapter.p_max_w, at_ms, dur_ms)
            state = adapter.step(state, power_w, at_ms, dur_ms)
            at_ms += dur_ms
    return state


def _stretches(course: Timeline | None, start_ms: int, end_ms: int) -> list[tuple[int, Segment | None]]:
    """(end, what is wanted until then), by time."""
    found: list[tuple[int, Segment | None]] = []
    for segment in () if course is None else course.clip(start_ms, end_ms).segments:
        found += [(segment.start_ms, None), (segment.end_ms, segment)]
    return [*found, (end_ms, None)]
