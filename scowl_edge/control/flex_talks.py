"""All that is remembered of flexibility, and a digest of it that costs a step no more for thousands than for a few."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from scowl_edge.control.flex_devices import Driven
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.delivery import Finding
from scowl_edge.dsr.provider import Provider
from scowl_edge.model.codec import encode
from scowl_edge.model.event import FlexAim

BLOCKS_OF = 8
"""Appliances of which each step's digest covers those of one block."""


@dataclass(slots=True, kw_only=True)
class Talks:
    """All that is remembered."""

    cem: Cem | None = None
    provider: Provider | None = None
    chain: str = ""
    """Digest of which messages came and went so far, in order."""
    refused: dict[str, int] = field(default_factory=dict)
    """Messages that were refused, by code, since the first boot."""
    goal_until_ms: int = 0
    """UTC: the standing level is set anew then."""
    beat_mono_ms: int = 0
    """The next proof of life is due then."""
    plans_failed: int = 0
    failed_in_a_row: int = 0
    """Plans, up to now."""
    plan_failure: str = ""
    """Of the last one that failed, in words."""
    aim: FlexAim | None = None
    """What somebody ordered the sum to do; goes before the configured level."""
    lost_mono_ms: dict[str, int] = field(default_factory=dict)
    """Nodes whose link is down -> since when."""
    findings: list[Finding] = field(default_factory=list)
    """The latest about deliveries, oldest first."""
    devices: dict[str, Driven] = field(default_factory=dict)
    """Of the site itself, by appliance."""


def digest_of(talks: Talks, step: int) -> str:
    """Of all that was said so far, and of a part of what is held: each appliance within as many steps as there are
    blocks."""
    found = hashlib.blake2b(talks.chain.encode(), digest_size=8)
    if talks.cem is not None:
        found.update(encode([talks.cem.numbered, talks.cem.dropped, len(talks.cem.members), len(talks.cem.waiting)]))
        found.update(encode(talks.cem.site))
        found.update(encode(talks.devices))
        for key in _block(talks.cem.members, step):
            found.update(encode(talks.cem.members[key]))
    if talks.provider is not None:
        p = talks.provider
        found.update(encode([p.numbered, p.goals, p.jobs, p.plan_due_mono_ms, p.check_due_mono_ms, len(p.mirrors)]))
        for key in _block(p.mirrors, step):
            found.update(encode(p.mirrors[key]))
    return found.hexdigest()


def _block(keys: Iterable[str], step: int) -> list[str]:
    """Those of a step's turn, in order."""
    ordered = sorted(keys)
    blocks = -(-len(ordered) // BLOCKS_OF)
    return ordered[step % blocks :: blocks] if blocks else []
