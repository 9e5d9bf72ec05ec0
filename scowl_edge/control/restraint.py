"""What keeps a write back although it is wanted: the care for the device itself.

Wear budget, least interval and interlock hold for everybody, safety included, each with one narrow way out:

- a part of the budget is kept for safety commands; the budget as a whole is never exceeded;
- one safety command may jump the interval, the next one waits for it in full;
- an interlock does not hold a device away from where it would be without this daemon.
"""

from __future__ import annotations

from scowl_edge.control.entry import Entry
from scowl_edge.model.command import Verb, WriteClass
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import Actuator, Site
from scowl_edge.tracker.observe import Observation

SPENT = declare("budget-spent", "written {} times today, of {} a day; {} of them are kept for safety")
TOO_SOON = declare("too-soon", "there must be {:s} between two writes")
INTERLOCKED = declare("interlock", "not while {} of {} is {}; it is written between {} and {} only")
INTERLOCK_STALE = declare("interlock-stale", "not while {} of {} is not known freshly")
RESERVE_SHARE = 4
"""One part in so many of a day's writes is kept for safety commands: enough to go down and be given back once, when
something else has used up the day."""


def reserve(a: Actuator) -> int:
    """Writes a day that only safety commands may use; a budget of one has none."""
    return max(1, a.daily_budget // RESERVE_SHARE) if a.daily_budget > 1 else 0


def spent(a: Actuator, e: Entry, *, safety: bool) -> bool:
    """Whether no write is left today."""
    if a.write_class is WriteClass.VOLATILE or not a.daily_budget:
        return False
    return e.writes_today >= a.daily_budget - (0 if safety else reserve(a))


def barred(site: Site, a: Actuator, seen: Observation) -> Reason | None:
    """Why the interlock does not allow a write; None where it does."""
    lock = a.interlock
    if lock is None:
        return None
    signal = site.signals[lock.signal]
    device = site.devices[signal.device].name
    if not seen.fresh(lock.signal):
        return Reason(INTERLOCK_STALE, (signal.name, device))
    value = seen.value(lock.signal, 0)
    if lock.low <= value <= lock.high:
        return None
    return Reason(INTERLOCKED, (signal.name, device, value, lock.low, lock.high))


def goes_home(a: Actuator, e: Entry, target: int) -> bool:
    """Whether a target is where the device would be without us: its fail-safe, what was first found, no shed."""
    return target in (a.failsafe, e.found) or (a.verb is Verb.SHED and target == 0)


def interval_over_at(a: Actuator, e: Entry) -> int:
    """From when on the least interval is over, monotonic ms; -1 if nothing was written."""
    return e.written_at + a.min_interval_ms if e.written_at >= 0 else -1


def restraint(site: Site, a: Actuator, e: Entry, seen: Observation, target: int, *, safety: bool) -> Reason | None:
    """Why a write that is due does not go now; None if it may."""
    if spent(a, e, safety=safety):
        return Reason(SPENT, (e.writes_today, a.daily_budget, reserve(a)))
    if seen.now_ms < interval_over_at(a, e) and (not safety or e.jumped):
        return Reason(TOO_SOON, (a.min_interval_ms,))
    if not goes_home(a, e, target):
        return barred(site, a, seen)
    return None
