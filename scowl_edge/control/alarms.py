"""Standing alarms: what is wrong now, since when, and why. Derived each step; only `since` is remembered."""

from __future__ import annotations

from collections.abc import Sequence

from scowl_edge.capacity import ShedState
from scowl_edge.control.arbiter import Ruling
from scowl_edge.control.ledger import Stage
from scowl_edge.control.memory import Alarm, Memory
from scowl_edge.model.command import WriteClass
from scowl_edge.model.event import DeviceMode
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Site
from scowl_edge.model.tick import Tick
from scowl_edge.tracker import Condition, Observation

LINK_DOWN = declare("link-down", "link {}: {}")
DEVICE_DOWN = declare("device-down", "no answer: {}")
CONTESTED = declare("contested", "somebody else writes its {}; left alone after {} tries, wants {} but reads {}")
NO_EFFECT = declare("no-effect", "its {} reads {} as written, but its power does not follow")
REJECTED = declare("rejected", "it refuses to set its {} to {}")
DOUBT = declare("doubt", "it is not known whether its {} was written")
OVER = declare("over-rating", "worst phase {} VA above its import limit")
OVER_EXPORT = declare("over-export", "worst phase {} VA above its export limit")
METER_STALE = declare("meter-stale", "its meter is not fresh; it counts as full both ways")
STARVING = declare("starving", "{} consumers are disconnected, {:W} not served")
BLACKED_OUT = declare("blacked-out", "the tree is without power since it was over-loaded")
NOT_DURABLE = declare("journal-late", "the journal cannot be written in time; only safety commands leave before it")
CLOCK_UNSET = declare(
    "clock-unset", "the wall clock is not synchronised; schedules wait, times shown are not to be trusted"
)
OVERRULED = declare("conflict", "its {}: {}")
STEP_FAILED = declare(
    "step-failed", "a fault in the program: step failed {} times, last with {}; report it with the journal"
)
WORN = declare("wear-budget", "its {} was written {} times today; the budget is used up")

FAILURE_SHOWN_MS = 3_600_000
"""How long a failed step stands as an alarm."""


def update(site: Site, memory: Memory, seen: Observation, rulings: Sequence[Ruling | None], tick: Tick) -> None:
    """Brings the standing alarms up to date."""
    current = _conditions(site, memory, seen, rulings, tick)
    for key in [k for k in memory.alarms if k not in current]:
        del memory.alarms[key]
    for key, (priority, cause) in current.items():
        standing = memory.alarms.get(key)
        if standing is None:
            memory.alarms[key] = Alarm(
                priority=priority, since_utc_ms=tick.utc_ms, since_utc_ok=tick.utc_ok, cause=cause
            )
        else:
            standing.priority, standing.cause = priority, cause


def _conditions(
    site: Site, memory: Memory, seen: Observation, rulings: Sequence[Ruling | None], tick: Tick
) -> dict[str, tuple[str, Reason]]:
    found: dict[str, tuple[str, Reason]] = {}
    situation = memory.situation
    dead_links = {name for name, link in situation.links.items() if link.up is False}
    for name in sorted(dead_links):
        found[f"link-down:{name}"] = ("high", Reason(LINK_DOWN, (name, situation.links[name].cause)))
    for d, device in enumerate(site.devices):
        if situation.device_modes[d].mode == DeviceMode.OUT_OF_SERVICE or device.link in dead_links:
            continue
        if situation.devices[d].up is False:
            found[f"device-down:{device.name}"] = ("high", Reason(DEVICE_DOWN, (situation.devices[d].cause,)))
    for i, a in enumerate(site.actuators):
        e, name = memory.ledger[i], site.devices[a.device].name
        if situation.device_modes[a.device].mode != DeviceMode.AUTO:
            continue
        read = e.confirmed if e.confirmed is not None else -1
        if e.stage is Stage.CONTESTED:
            tries = site.policy.max_contests
            found[f"contested:{name}"] = ("high", Reason(CONTESTED, (a.verb.value, tries, e.target or 0, read)))
        elif e.stage is Stage.NO_EFFECT:
            found[f"no-effect:{name}"] = ("medium", Reason(NO_EFFECT, (a.verb.value, read)))
        elif e.stage is Stage.REJECTED and tick.mono_ms < e.closed_until_at:
            found[f"rejected:{name}"] = ("low", Reason(REJECTED, (a.verb.value, e.written or 0)))
        elif e.stage in (Stage.IN_DOUBT, Stage.TIMED_OUT) and situation.devices[a.device].up:
            found[f"in-doubt:{name}"] = ("medium", Reason(DOUBT, (a.verb.value,)))
        worn = a.write_class is not WriteClass.VOLATILE and a.daily_budget and e.writes_today >= a.daily_budget
        if worn and e.stage is Stage.INTENDED:
            found[f"wear-budget:{name}"] = ("medium", Reason(WORN, (a.verb.value, e.writes_today)))
        ruling = rulings[i]
        if ruling is not None and ruling.conflict is not None:
            found[f"conflict:{name}"] = ("medium", Reason(OVERRULED, (a.verb.value, str(ruling.conflict))))
    for c, shed in sorted(memory.book.sheds.items()):
        name = site.devices[site.consumers[c].device].name
        if shed.state is ShedState.IN_DOUBT:
            found[f"in-doubt:{name}"] = ("high", Reason(DOUBT, ("shed",)))
        elif shed.failed:
            found[f"no-effect:{name}"] = ("medium", Reason(NO_EFFECT, ("shed", shed.granted_w)))
    for r, rating in enumerate(site.ratings):
        over = seen.ratings.excess_import_va(r)
        if not seen.ratings.fresh[r]:
            if (rating.power != NONE or rating.currents[0] != NONE) and memory.region.settled:
                found[f"meter-stale:{rating.name}"] = ("high", Reason(METER_STALE))
        elif over > 0:
            found[f"rating:{rating.name}"] = ("critical", Reason(OVER, (over,)))
        elif seen.ratings.excess_export_va(r) > 0:
            found[f"rating:{rating.name}"] = ("critical", Reason(OVER_EXPORT, (seen.ratings.excess_export_va(r),)))
    starved = [c for c in range(len(site.consumers)) if memory.region.condition[c] != Condition.SERVED]
    if starved:
        unserved = sum(memory.region.wanted_w[c] for c in starved)
        found["starving"] = ("critical", Reason(STARVING, (len(starved), unserved)))
    for g, generator in enumerate(site.generators):
        if memory.region.tree_blackout_at[g] >= 0:
            found[f"blackout:{site.devices[generator.device].name}"] = ("critical", Reason(BLACKED_OUT))
    if situation.failed_at >= 0 and tick.mono_ms - situation.failed_at < FAILURE_SHOWN_MS:
        found["step-failed"] = ("critical", Reason(STEP_FAILED, (situation.failed_steps, situation.failure)))
    if not tick.journal_ok:
        found["journal"] = ("critical", Reason(NOT_DURABLE))
    if not tick.utc_ok:
        found["clock"] = ("low", Reason(CLOCK_UNSET))
    return found
