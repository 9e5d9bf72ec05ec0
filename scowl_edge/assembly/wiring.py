"""Signals and actuators of the core, and the points they are bound to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scowl_edge.assembly.assembly import ActuatorBinding, SignalBinding
from scowl_edge.assembly.declare import write_class
from scowl_edge.assembly.device_schema import DeviceSection
from scowl_edge.assembly.guarding import GUARDING, guard, interlock_bounds, interlock_gain
from scowl_edge.assembly.point_rows import PointRows
from scowl_edge.assembly.point_schema import PointSection
from scowl_edge.assembly.role_schema import PowerRole, StorageRole
from scowl_edge.assembly.schema import Configuration
from scowl_edge.assembly.signals import (
    ACTUATORS,
    SIGNALS,
    Rounding,
    bindings,
    gain_in,
    kind_of,
    phases_of,
)
from scowl_edge.model.command import Verb, WriteClass
from scowl_edge.model.quantity import FRACTION, Quantity
from scowl_edge.model.site import NONE, PPM, Actuator, Interlock, OnStop, Signal

_LEAST_TOLERANCE_W = 50
_MOST_REGISTER = 65_535
_STORED_BUDGET = 20


class Wiring:
    """Collects signals and actuators device by device; indices are those of `Site.signals` and `Site.actuators`."""

    def __init__(
        self,
        configuration: Configuration,
        rows: PointRows,
        buses: Sequence[str],
        ratings: Sequence[str],
    ) -> None:
        self.signals: list[Signal] = []
        self.signal_bindings: list[SignalBinding] = []
        self.actuators: list[Actuator] = []
        self.actuator_bindings: list[ActuatorBinding] = []
        self._configuration = configuration
        self._rows = rows
        self._buses = buses
        self._ratings = ratings
        self._meters = {rating.meter for rating in configuration.ratings.values() if rating.meter is not None}
        self._signal_index: dict[tuple[str, str], int] = {}
        self._signal_of_point: dict[int, int] = {}
        self._actuator_index: dict[tuple[str, str], int] = {}
        self._trees = 0

    def signal(self, device: str, name: str) -> int:
        """Index of a device's signal, or NONE."""
        return self._signal_index.get((device, name), NONE)

    def actuator(self, device: str, signal: str) -> int:
        """Index of the actuator that writes a device's signal, or NONE."""
        return self._actuator_index.get((device, signal), NONE)

    def bus(self, role: PowerRole) -> int:
        """Index of a role's bus; the first where it names none."""
        return self._buses.index(role.bus) if role.bus is not None else 0

    def rating(self, role: PowerRole) -> int:
        """Index of the rating a role hangs below, or NONE."""
        return self._ratings.index(role.on) if role.on is not None else NONE

    def phase_mask(self, role: PowerRole) -> int:
        """Bit mask of a role's phases: 1 a, 2 b, 4 c."""
        above = self._configuration.ratings[role.on] if role.on is not None else None
        return sum(1 << "abc".index(letter) for letter in phases_of(role, above))

    def next_tree(self, given: int | None) -> int:
        """Number of the next generator or store."""
        self._trees += 1
        return given if given is not None else self._trees

    def further(self, index: int, name: str, point: str, factor: float) -> int:
        """Index of a signal that is a point itself, whatever that is for a role; `factor` quanta to a base unit."""
        at = self._at(name, point)
        signal = self._signal_of_point.get(at, NONE)
        if signal != NONE and self.signal_bindings[signal].gain == factor:
            return signal
        row = self._rows[at]
        self._signal_of_point.setdefault(at, len(self.signals))
        self.signals.append(Signal(device=index, name=row.name, fresh_ms=row.fresh_ms, hold_ms=row.hold_ms))
        self.signal_bindings.append(SignalBinding(point=at, gain=factor, rounding=Rounding.NEAREST))
        return len(self.signals) - 1

    def bind(self, index: int, name: str, device: DeviceSection) -> None:
        """Binds all signals of one device: those of its role, and those of a meter where a rating names it as one."""
        kinds = [] if device.role is None else [kind_of(device.role)]
        if name in self._meters and "meter" not in kinds:
            kinds.append("meter")
        for kind in kinds:
            bound = bindings(device, kind)
            for signal, point in bound.items():
                if (name, signal) not in self._signal_index:
                    self._bind_signal(index, name, device, kind, signal, point)
            if isinstance(device.role, PowerRole) and kind == kind_of(device.role):
                for signal, verb in ACTUATORS[kind].items():
                    if signal in bound and self._writable(device, bound[signal]):
                        if verb in GUARDING:
                            self._bind_guard(index, name, device.role, signal, verb, bound[signal])
                        else:
                            self._bind_actuator(index, name, device.role, signal, verb, bound)

    def _at(self, device: str, point: str) -> int:
        index = self._rows.index_of(device, point)
        if index is None:
            raise LookupError(f"device {device} has no point {point}, although the references were checked")
        return index

    def _writable(self, device: DeviceSection, point: str) -> bool:
        return "w" in device.points[point].access and not self._configuration.links[device.link].read_only

    def _gain(self, device: DeviceSection, kind: str, signal: str, base: str) -> float:
        return gain_in(self._configuration, device, kind, signal, base)

    def _bind_signal(self, index: int, name: str, device: DeviceSection, kind: str, signal: str, point: str) -> None:
        at = self._at(name, point)
        row = self._rows[at]
        if "r" not in row.access:
            return
        self._signal_index[name, signal] = len(self.signals)
        self._signal_of_point.setdefault(at, len(self.signals))
        self.signals.append(Signal(device=index, name=signal, fresh_ms=row.fresh_ms, hold_ms=row.hold_ms))
        self.signal_bindings.append(
            SignalBinding(
                point=at,
                gain=self._gain(device, kind, signal, row.unit),
                rounding=SIGNALS[kind][signal].rounding,
            )
        )

    def _bind_actuator(
        self, index: int, name: str, role: PowerRole, signal: str, verb: Verb, bound: Mapping[str, str]
    ) -> None:
        device = self._configuration.devices[name]
        point = device.points[bound[signal]]
        at = self._at(name, bound[signal])
        feedback = self.signal(name, signal)
        if verb is Verb.SHED:
            granted = self.signal(name, "shed_granted")
            feedback = granted if granted != NONE else feedback
        expiry = NONE
        if verb is Verb.SHED and "shed_expiry" in bound and self._writable(device, bound["shed_expiry"]):
            expiry = self._at(name, bound["shed_expiry"])
        wear = write_class(point)
        low, high = _bounds(role, verb)
        paced = "heartbeat" in bound and self._writable(device, bound["heartbeat"])
        failsafe, device_timeout_ms = _failsafe(role, verb)
        self._actuator_index[name, signal] = len(self.actuators)
        self.actuators.append(
            Actuator(
                device=index,
                verb=verb,
                feedback=feedback,
                effect=self.signal(name, "power"),
                tolerance=0 if verb in (Verb.SUPPLY, Verb.MODE) else tolerance_w(role),
                settle_ms=role.settle,
                hold_polls=role.hold_polls,
                write_class=wear,
                low=low,
                high=high,
                ramp_w_s=role.ramp or 0,
                daily_budget=_budget(role, wear),
                failsafe=failsafe,
                device_timeout_ms=device_timeout_ms,
                # A device that has a register for it needs no target said again.
                heartbeat_ms=0 if paced else role.heartbeat or 0,
                on_stop=OnStop(role.on_stop),
                min_interval_ms=point.min_interval or 0,
                interlock=self._interlock(index, name, device, point),
                expires=expiry != NONE,
            )
        )
        self.actuator_bindings.append(
            ActuatorBinding(
                point=at,
                gain=self._gain(device, kind_of(role), signal, self._rows[at].unit),
                expiry_point=expiry,
            )
        )

    def _bind_guard(self, index: int, name: str, role: PowerRole, signal: str, verb: Verb, bound: str) -> None:
        """A register of the device's own fail-safe, where the role says what belongs there."""
        device = self._configuration.devices[name]
        point = device.points[bound]
        at = self._at(name, bound)
        factor = self._gain(device, kind_of(role), signal, self._rows[at].unit)
        driven = guard(role, verb, point, gain=factor, tolerance_w=tolerance_w(role))
        if driven is None:
            return
        wear = write_class(point)
        self._actuator_index[name, signal] = len(self.actuators)
        self.actuators.append(
            Actuator(
                device=index,
                verb=verb,
                feedback=self.signal(name, signal),
                effect=NONE,
                tolerance=driven.tolerance,
                settle_ms=role.settle,
                hold_polls=role.hold_polls,
                write_class=wear,
                low=driven.low,
                high=driven.high,
                ramp_w_s=0,
                daily_budget=_budget(role, wear),
                failsafe=None,
                device_timeout_ms=role.failsafe.timeout if role.failsafe is not None else 0,
                heartbeat_ms=driven.heartbeat_ms,
                on_stop=OnStop.HOLD,
                min_interval_ms=point.min_interval or 0,
                interlock=self._interlock(index, name, device, point),
                constant=driven.constant,
            )
        )
        self.actuator_bindings.append(ActuatorBinding(point=at, gain=factor, expiry_point=NONE))

    def _interlock(self, index: int, name: str, device: DeviceSection, written: PointSection) -> Interlock | None:
        """The interlock of a point that is written, with the signal that decides."""
        if written.interlock is None:
            return None
        deciding = device.points[written.interlock.point]
        at = self._at(name, written.interlock.point)
        signal = self._signal_of_point.get(at, NONE)
        if signal == NONE:
            row = self._rows[at]
            signal = self._signal_of_point[at] = len(self.signals)
            self.signals.append(Signal(device=index, name=row.name, fresh_ms=row.fresh_ms, hold_ms=row.hold_ms))
            factor = interlock_gain(deciding, row.unit)
            self.signal_bindings.append(SignalBinding(point=at, gain=factor, rounding=Rounding.NEAREST))
        low, high = interlock_bounds(written.interlock, deciding, self.signal_bindings[signal].gain)
        return Interlock(signal=signal, low=low, high=high)


def _budget(role: PowerRole, wear: WriteClass) -> int:
    """Most writes a day to one register; 0 = no limit."""
    if role.daily_budget is None:
        return _STORED_BUDGET if wear is WriteClass.STORED else 0
    return role.daily_budget


def share_w(amount: Quantity, rated_w: int) -> int:
    """A power that may be given as a share of the rated one, in W."""
    return rated_w * amount.value // PPM if amount.family is FRACTION else amount.value


def tolerance_w(role: PowerRole) -> int:
    """How far measured power may be off its target, in W."""
    return max(share_w(role.tolerance, role.rated), _LEAST_TOLERANCE_W)


def _bounds(role: PowerRole, verb: Verb) -> tuple[int, int]:
    match verb:
        case Verb.LIMIT:
            return 0, role.rated
        case Verb.SETPOINT if isinstance(role, StorageRole):
            return -_given(role.discharge, role.rated), _given(role.charge, role.rated)
        case Verb.SETPOINT:
            return 0, role.rated
        case Verb.SHED:
            return 0, getattr(role, "demand_responsive", 0)
        case Verb.CONNECT:
            return 0, 1
        case _:
            return 0, _MOST_REGISTER


def _given(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _failsafe(role: PowerRole, verb: Verb) -> tuple[int | None, int]:
    if role.failsafe is None:
        return None, 0
    value = {Verb.LIMIT: role.failsafe.limit, Verb.SETPOINT: role.failsafe.setpoint}.get(verb)
    return (value, role.failsafe.timeout) if value is not None else (None, 0)
