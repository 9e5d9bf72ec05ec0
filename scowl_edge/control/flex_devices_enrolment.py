"""The site's own devices at their manager: who is new, who is gone, and how each presents itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from scowl_edge.control.flex_devices_physics import adapter_of
from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.dsr.member import UserSettings
from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.model.exchange import Message, Register
from scowl_edge.model.flexibility import Control, Mode
from scowl_edge.model.part import DevicePart, ThermalPart
from scowl_edge.model.site import NONE

SHARE_PPM = 200_000
"""Of what was promised, that measured power may be off by."""
NO_CERTIFICATE = "0" * 64
"""A device of the site itself has no link, and so no certificate of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What the configuration makes of a device."""

    register: Register
    fallback: Fallback
    settings: UserSettings
    tolerance: Tolerance


def enrolled(part: DevicePart) -> Enrolled:
    """How a device presents itself, what holds when it is left alone, and what its owner lets others do."""
    adapter = adapter_of(part)
    controls = [Control.PROFILE, Control.LIMIT, Control.PAUSE]
    if part.do_setpoint != NONE or part.do_limit != NONE:
        controls.append(Control.SETPOINT)
    register = Register(
        esa_id=part.esa_id,
        esa_type=adapter.esa_type,
        p_max_w=adapter.p_max_w,
        p_min_w=adapter.p_min_w,
        modes=(Mode.ROUTINE, Mode.RESPONSE),
        controls=tuple(controls),
        consent_ref=part.consent_ref,
        cert_fp=NO_CERTIFICATE,
        ramp_w_per_s=part.ramp_w_s or None,
        model=part.kind.value,
    )
    return Enrolled(
        register=register,
        fallback=Fallback(failsafe_p_upper_w=part.failsafe_p_upper_w, failsafe_p_lower_w=part.failsafe_p_lower_w),
        settings=UserSettings(modes=part.services, random_offset_max_s=part.random_offset_max_s),
        tolerance=_tolerance(part),
    )


def _tolerance(part: DevicePart) -> Tolerance:
    """A device that can only be switched is judged by its account, not by the minute."""
    power_w = max(Tolerance().power_w, part.tolerance_w)
    if part.do_setpoint == NONE and part.do_limit == NONE and isinstance(part.physics, ThermalPart):
        power_w = max(power_w, part.physics.rated_w)
    return replace(Tolerance(), power_w=power_w, share_ppm=SHARE_PPM)


def enrol(cem: Cem, all_of: Mapping[str, Enrolled], now: Now) -> list[Message]:
    """Takes in who is new, gives up who is no longer there, and tells what is different of the others."""
    send: list[Message] = []
    for esa_id in _strangers(cem, all_of):
        send += cem.drop(esa_id, now)
    for esa_id, one in all_of.items():
        member = cem.members.get(esa_id)
        if member is None:
            appliance = Appliance.first(one.register, one.fallback, now, seed=cem.seed, tolerance=one.tolerance)
            send += cem.add(appliance, now, one.settings)
            continue
        known = member.appliance
        assert known is not None, "one behind a link was given up before"
        known.tolerance = one.tolerance
        if (known.register, known.ceiling, member.settings) != (one.register, one.fallback, one.settings):
            send += cem.revise(one.register, one.fallback, one.settings, now)
    return send


def _strangers(cem: Cem, all_of: Mapping[str, Enrolled]) -> Iterable[str]:
    """Own ones that the configuration no longer names, and whoever connected under the name of one that it does."""
    return sorted(e for e, m in cem.members.items() if (m.appliance is None) == (e in all_of))
