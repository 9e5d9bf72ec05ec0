"""What devices answered, carried into the book of commitments."""

from __future__ import annotations

from collections.abc import Iterable

from scowl_edge.capacity import Pledge, ShedState
from scowl_edge.control.chronicle import decided
from scowl_edge.control.entry import STANDING, Stage
from scowl_edge.control.memory import Memory
from scowl_edge.model.command import Verb
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Site
from scowl_edge.model.tick import Tick
from scowl_edge.tracker import Observation

GRANTED = declare("granted", "it grants {:W} of {:W}")
REFUSED = declare("refused", "it refuses to give up {:W}; not asked again for a while")
IN_DOUBT = declare("shed-in-doubt", "it has not answered whether it gives up {:W}; read again")
WITHDRAWN = declare("withdrawn", "it took back {:W} before the end of the shed")
RELEASED = declare("released", "the shed has ended")


def settle(site: Site, memory: Memory, tick: Tick) -> None:
    """Carries what the ledger knows of sheds into the book."""
    book = memory.book
    for c in sorted(book.sheds):
        shed, con = book.sheds[c], site.consumers[c]
        by_limit = con.do_shed == NONE
        entry = memory.ledger[con.do_limit if by_limit else con.do_shed]
        standing = entry.stage in STANDING and not entry.outstanding
        if shed.state in (ShedState.ASKED, ShedState.IN_DOUBT):
            answered = standing and entry.target == entry.written and (by_limit or entry.written == shed.requested_w)
            if answered:
                granted = shed.requested_w if by_limit else min(entry.confirmed or 0, shed.requested_w)
                shed.state, shed.granted_w = ShedState.GRANTED, granted
                a = site.actuators[con.do_limit if by_limit else con.do_shed]
                poll = site.signals[con.power].fresh_ms if con.power != NONE else 0
                travel = granted * 1000 // a.ramp_w_s if a.ramp_w_s else 0
                shed.judged_at = tick.mono_ms + a.settle_ms + travel + poll
                decided(memory, tick, "granted", con.device, granted, Reason(GRANTED, (granted, shed.requested_w)))
            elif entry.stage is Stage.REJECTED and entry.target == entry.written:
                held = shed.granted_w
                decided(memory, tick, "refused", con.device, 0, Reason(REFUSED, (shed.requested_w - held,)))
                if held:
                    shed.state, shed.requested_w = ShedState.GRANTED, held
                else:
                    forget_shed(site, memory, c, tick)
            elif shed.state is ShedState.ASKED and tick.mono_ms >= shed.answer_by_at:
                shed.state = ShedState.IN_DOUBT
                decided(memory, tick, "in-doubt", con.device, 0, Reason(IN_DOUBT, (shed.requested_w,)))
        elif shed.state is ShedState.GRANTED:
            if not by_limit and entry.stage is Stage.REJECTED and not entry.outstanding:
                decided(memory, tick, "withdrawn", con.device, -shed.granted_w, Reason(WITHDRAWN, (shed.granted_w,)))
                forget_shed(site, memory, c, tick)
        elif standing and entry.written == entry.target:
            decided(memory, tick, "released", con.device, 0, Reason(RELEASED))
            forget_shed(site, memory, c, tick, keeps_limit=True)


def promise_lost(site: Site, memory: Memory, lost: Iterable[int], seen: Observation) -> None:
    """A register that lost its value is written again: what that brings back is promised, not missing."""
    for i in lost:
        a, target = site.actuators[i], memory.ledger[i].target or 0
        if a.device in memory.book.pledges or a.effect == NONE:
            continue
        power = seen.net_w(a.device)
        if a.verb is Verb.LIMIT or (a.verb is Verb.CONNECT and target == 0):
            goal = max(-target, min(target, power))
        elif a.verb is Verb.SETPOINT:
            goal = target if a.low < 0 else -target
        else:
            continue
        travel = abs(goal - power) * 1000 // a.ramp_w_s if a.ramp_w_s else 0
        patience = a.settle_ms + travel + site.signals[a.effect].fresh_ms + site.policy.answer_ms
        memory.book.pledges[a.device] = Pledge(
            base_w=power,
            goal_w=goal,
            begins_at=seen.now_ms,
            ramp_w_s=a.ramp_w_s,
            deadline_at=seen.now_ms + patience,
        )


def forget_shed(site: Site, memory: Memory, c: int, tick: Tick, *, keeps_limit: bool = False) -> None:
    """Takes a shed out of the book. One that was given back keeps its limit, which is relaxed as room allows."""
    con, region = site.consumers[c], memory.region
    memory.book.sheds.pop(c)
    region.shed_ended_at[c] = tick.mono_ms
    if con.do_shed == NONE and con.do_limit != NONE and not keeps_limit:
        region.consumer_limit_w[c] = con.rated_w
