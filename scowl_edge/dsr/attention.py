"""Whom a manager has to look at in a step: of thousands of appliances, those of whom something came or is due."""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.model.flexibility import LimitState

SHARED_PER_MS = 2
"""A site's bound is shared out anew no more often than the appliances, at so many a millisecond, need to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteBounds:
    """What bounds a site, and what else the shares of it follow from."""

    state: LimitState
    other_w: int
    bounds_w: tuple[int | None, ...]
    """Lower and upper of each class in turn; None: not bounded."""

    @property
    def any(self) -> bool:
        """Whether there is anything to share out."""
        return any(w is not None for w in self.bounds_w)


@dataclass(slots=True, kw_only=True)
class Attention:
    """State: who was touched, and when time alone brings something for whom.

    To look at more appliances than these gives the same messages, only later.
    """

    touched: dict[str, bool] = field(default_factory=dict)
    """Appliances of whom something came since their limits were looked at."""
    driven: dict[str, bool] = field(default_factory=dict)
    """Those that the manager drives itself: each is looked at in every step."""
    due_mono_ms: dict[str, int] = field(default_factory=dict)
    """The others, where time alone brings something."""
    next_due_mono_ms: int | None = None
    """No later than the first of these; None: there is none."""
    shared: SiteBounds | None = None
    """What was shared out last; None: nothing since the start."""
    shared_mono_ms: int = 0
    moved: bool = False
    """A claim to a share has changed since."""

    def touch(self, esa_id: str) -> None:
        """Something came of it, or for it."""
        self.touched[esa_id] = True

    def gone(self, esa_id: str) -> None:
        """It belongs to the site no more; what it had is shared out anew."""
        for known in (self.touched, self.driven, self.due_mono_ms):
            known.pop(esa_id, None)
        self.moved = True

    def take(self) -> list[str]:
        """Those who are to be looked at, in order; nobody is any more."""
        taken = sorted(self.touched | self.driven)
        self.touched = {}
        return taken

    def overdue(self, mono_ms: int) -> list[str]:
        """Those whose time has come, in order."""
        if self.next_due_mono_ms is None or mono_ms < self.next_due_mono_ms:
            return []
        found = sorted(e for e, at in self.due_mono_ms.items() if at <= mono_ms)
        for esa_id in found:
            del self.due_mono_ms[esa_id]
        self.next_due_mono_ms = min(self.due_mono_ms.values(), default=None)
        return found

    def wait(self, esa_id: str, until_mono_ms: int | None) -> None:
        """Time brings something for it then; None: never, as things stand."""
        if until_mono_ms is None:
            self.due_mono_ms.pop(esa_id, None)
            return
        self.due_mono_ms[esa_id] = until_mono_ms
        if self.next_due_mono_ms is None or until_mono_ms < self.next_due_mono_ms:
            self.next_due_mono_ms = until_mono_ms

    def shares_due(self, bounds: SiteBounds, members: int, mono_ms: int) -> bool:
        """Whether all have to be given their shares anew: the site's bounds are others, or claims are.

        Of claims not at once: where thousands come up one after the other, each would change what all the others get.
        """
        if bounds != self.shared:
            return True
        rest_ms = members // SHARED_PER_MS
        return self.moved and bounds.any and mono_ms - self.shared_mono_ms >= rest_ms

    def share(self, bounds: SiteBounds, mono_ms: int) -> None:
        """They are given now."""
        self.shared, self.shared_mono_ms, self.moved = bounds, mono_ms, False

    def restarted(self, everybody: list[str]) -> None:
        """All times are of another clock: everybody is looked at once."""
        self.touched = dict.fromkeys(everybody, True)
        self.due_mono_ms, self.next_due_mono_ms, self.shared = {}, None, None
