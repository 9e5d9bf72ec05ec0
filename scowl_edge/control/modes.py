"""Modes of the region and of devices: who sets them, when they are over, and what a device comes back to."""

from __future__ import annotations

from scowl_edge.control import people
from scowl_edge.control.chronicle import decided, note
from scowl_edge.control.ledger import Ledger
from scowl_edge.control.memory import Memory
from scowl_edge.model.event import DeviceMode, Order
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Site
from scowl_edge.model.tick import Tick
from scowl_edge.tracker import NO_WISH
from scowl_edge.tracker.steering import wished

MODE_SET = declare("mode-set", "{} by {}: {}")
MODE_OVER = declare("mode-over", "the time of mode {} is over")


def take_order(site: Site, memory: Memory, ledger: Ledger, event: Order, tick: Tick) -> None:
    """A person sets the mode of the region, or of a device."""
    situation = memory.situation
    if event.target:
        index = next(i for i, d in enumerate(site.devices) if d.name == event.target)
        state = situation.device_modes[index]
        if event.mode == DeviceMode.AUTO:
            ledger.reopen(index)
            if state.mode != DeviceMode.AUTO:
                _take_back(site, memory, index)
    else:
        index, state = NONE, situation.mode
    state.mode, state.who, state.why, state.until_utc_ms = event.mode, event.who, event.why, event.until_utc_ms
    if index != NONE:
        people.mode_changed(site, memory, index)
    text = Reason(MODE_SET, (event.mode, event.who, event.why))
    decided(memory, tick, "order", index, 0, text)
    note(memory, tick, "order", event.target, text, who=event.who)


def due(site: Site, memory: Memory, tick: Tick) -> None:
    """Modes whose time is over go back to what is configured."""
    situation = memory.situation
    if not tick.utc_ok:
        return
    configured = [(situation.mode, str(site.policy.mode), NONE)]
    configured += [
        (m, str(d.mode), i) for i, (m, d) in enumerate(zip(situation.device_modes, site.devices, strict=True))
    ]
    for state, home, index in configured:
        if 0 < state.until_utc_ms <= tick.utc_ms:
            text = Reason(MODE_OVER, (state.mode,))
            decided(memory, tick, "order", index, 0, text)
            source = site.devices[index].name if index != NONE else ""
            note(memory, tick, "order-ended", source, text, who=state.who)
            if index != NONE and home == DeviceMode.AUTO and state.mode != DeviceMode.AUTO:
                _take_back(site, memory, index)
            state.mode, state.who, state.why, state.until_utc_ms = home, "configuration", "", 0
            if index != NONE:
                people.mode_changed(site, memory, index)


def _take_back(site: Site, memory: Memory, device: int) -> None:
    """A device comes back into AUTO: what was wanted of it before is no longer checked against anything.

    It stays as somebody left it until there is a reason to change that; a limit is not raised without room.
    """
    region, image = memory.region, memory.image

    def lower_of(wish: int, actuator: int) -> int:
        if not wished(wish) or actuator == NONE:
            return wish
        feedback = site.actuators[actuator].feedback
        known = feedback != NONE and image.received_ms[feedback] >= 0
        return min(wish, int(image.value[feedback])) if known else wish

    for gi, g in enumerate(site.generators):
        if g.device == device:
            region.generator_limit_w[gi] = lower_of(region.generator_limit_w[gi], g.do_limit)
            region.generator_setpoint_w[gi] = region.generator_online[gi] = NO_WISH
    for si, s in enumerate(site.storages):
        if s.device == device:
            region.storage_setpoint_w[si] = NO_WISH
    for ci, c in enumerate(site.consumers):
        if c.device == device:
            region.consumer_limit_w[ci] = lower_of(region.consumer_limit_w[ci], c.do_limit)
