"""Keys that links of every type have."""

from __future__ import annotations

from typing import Annotated

from scowl_edge.assembly.kinds import Flag
from scowl_edge.assembly.section import Delay, Positive, Section, key


class Link(Section):
    """What all links know."""

    type: str
    timeout: int
    connect_timeout: int
    reconnect: int
    read_only: Annotated[bool, Flag()] = key(False, "Never write anything on this link.", "true")
    fresh_for: Positive | None = key(
        None, "Age up to which values of this link count as fresh.", "3 s", shown="3 times the poll"
    )
    hold_for: Delay | None = key(
        None, "Age beyond `fresh_for` up to which the last value is held.", "60 s", shown="60 s"
    )
