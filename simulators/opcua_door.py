"""Between the wire and the plant: what a simulated OPC-UA server answers, and whether, when and with which fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.ua import ua_binary

from simulators.faults import Fault, FaultKind
from simulators.opcua_nodes import Element, Method, Variable
from simulators.opcua_values import Raw, decode
from simulators.plant import Plant
from simulators.wire.record import Record

# The library's decoder has no types.
_decode: Any = ua_binary.struct_from_binary


def standard_id(number: int) -> ua.NodeId:
    """The NodeId of something that the standard numbers."""
    return ua.NodeId(ua.Int32(number))


def status(code: int) -> ua.StatusCode:
    """A status as it goes onto the wire."""
    return ua.StatusCode(ua.UInt32(code))


def data_value(variant: ua.Variant | None, code: int, now: datetime) -> ua.DataValue:
    """A value with its quality, as it is at this moment."""
    stamped: Any = now
    return ua.DataValue(variant, status(code), SourceTimestamp=stamped, ServerTimestamp=stamped)


VARIANT_TYPES = {
    "boolean": ua.VariantType.Boolean,
    "sbyte": ua.VariantType.SByte,
    "byte": ua.VariantType.Byte,
    "int16": ua.VariantType.Int16,
    "uint16": ua.VariantType.UInt16,
    "int32": ua.VariantType.Int32,
    "uint32": ua.VariantType.UInt32,
    "int64": ua.VariantType.Int64,
    "uint64": ua.VariantType.UInt64,
    "float": ua.VariantType.Float,
    "double": ua.VariantType.Double,
    "string": ua.VariantType.String,
    "datetime": ua.VariantType.DateTime,
}
_EXCEPTIONS = {
    1: ua.StatusCodes.BadNotSupported,
    2: ua.StatusCodes.BadNodeIdUnknown,
    3: ua.StatusCodes.BadOutOfRange,
    6: ua.StatusCodes.BadResourceUnavailable,
    10: ua.StatusCodes.BadNoCommunication,
    11: ua.StatusCodes.BadNoCommunication,
}
"""What stands for the exception code of a fault; any other code is a failure of the device, or a plain refusal."""

_ANSWERING = (FaultKind.REFUSAL, FaultKind.EXCEPTION, FaultKind.BUSY, FaultKind.GATEWAY)
_LATE = (FaultKind.DELAY, FaultKind.JITTER, FaultKind.LATE)
_READ = standard_id(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary)
_WRITE = standard_id(ua.ObjectIds.WriteRequest_Encoding_DefaultBinary)
_CALL = standard_id(ua.ObjectIds.CallRequest_Encoding_DefaultBinary)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one request."""

    carried_out: bool = True
    answered: bool = True
    late_s: float = 0.0
    """How much later it is answered."""


USUAL = Fate()
UNHEARD = Fate(carried_out=False, answered=False)


@dataclass(slots=True)
class Door:
    """All nodes of one server and the plant behind them."""

    plant: Plant
    catch_up: Callable[[], None]
    """Lets the plant's time reach the present."""
    seconds: Callable[[float], float]
    """Wall seconds that so many ms of the plant's time take."""
    devices: frozenset[int]
    """Devices in the site that it stands for."""
    show: Callable[[frozenset[int]], Any]
    """Coroutine function: shows subscribers what these devices hold now."""
    record: Record
    """Takes what is answered and told."""
    link: str
    """Name of the link, for the record."""
    variables: Mapping[ua.NodeId, Variable] = field(default_factory=dict)
    methods: Mapping[ua.NodeId, Method] = field(default_factory=dict)
    objects: Mapping[ua.NodeId, ua.NodeId] = field(default_factory=dict)
    """By method: on which object it is called."""

    @property
    def frozen(self) -> bool:
        """Whether all of its devices are silent, so that nothing at all is answered."""
        return bool(self.devices) and all(self.plant.response(device).silent for device in self.devices)

    def unheard(self) -> None:
        """Counts a request that came while it was frozen."""
        for device in self.devices:
            self._strikes(device, (FaultKind.SILENCE,), writing=False)

    def goes_dead(self) -> bool:
        """Whether a connection on which something is asked now answers nothing any more."""
        if not self.plant.standing:
            return False
        return any(self._strikes(device, (FaultKind.HALF_OPEN,), writing=False) for device in self.devices)

    def _strikes(self, device: int, kinds: tuple[FaultKind, ...], *, writing: bool) -> Fault | None:
        """The first fault of these kinds that strikes a request to a device now."""
        for fault in self.plant.response(device).on_the_way:
            if fault.kind in kinds and self.plant.standing.strikes(fault, writing=writing):
                self.plant.strike(fault)
                return fault
        return None

    def _refusal(self, devices: Iterable[int], usual: int, *, writing: bool) -> int | None:
        """The status instead of a value or a write, while a fault wants one; `usual` where its code says nothing."""
        if not self.plant.standing:
            return None
        for device in devices:
            fault = self._strikes(device, _ANSWERING if writing else _ANSWERING[1:], writing=writing)
            if fault is not None:
                plain = usual if fault.kind is FaultKind.REFUSAL else ua.StatusCodes.BadDeviceFailure
                return _EXCEPTIONS.get(fault.exception_code, plain)
        return None

    def fate(self, kind: ua.NodeId, body: Any) -> Fate:
        """What becomes of a request, by the devices that it names; `body` is decoded only if a device has a fault."""
        faulty = {device for device in self.devices if self.plant.response(device).on_the_way}
        if not faulty or kind not in (_READ, _WRITE, _CALL):
            return USUAL
        if kind == _READ:
            named = [self.variables.get(each.NodeId) for each in _decode(ua.ReadParameters, body).NodesToRead]
        elif kind == _WRITE:
            named = [self.variables.get(each.NodeId) for each in _decode(ua.WriteParameters, body).NodesToWrite]
        else:
            called = [self.methods.get(each.MethodId) for each in _decode(ua.CallParameters, body).MethodsToCall]
            return self._fate({m.behind.device for m in called if m} & faulty, True)
        touched = {device for variable in named if variable is not None for device in variable.devices}
        return self._fate(touched & faulty, kind == _WRITE)

    def _fate(self, devices: Iterable[int], writing: bool) -> Fate:
        late_ms = 0.0
        answered = True
        for device in sorted(devices):
            if self._strikes(device, (FaultKind.SILENCE,), writing=writing):
                return UNHEARD
            if self._strikes(device, (FaultKind.LOSS,), writing=writing):
                if self.plant.standing.coin():
                    return UNHEARD
                answered = False
            if writing and self._strikes(device, (FaultKind.LOST_ANSWER,), writing=True):
                answered = False
            for kind in _LATE:
                fault = self._strikes(device, (kind,), writing=writing)
                if fault is not None:
                    share = self.plant.standing.share() if kind is FaultKind.JITTER else 1.0
                    late_ms = max(late_ms, share * fault.time_ms)
        if not answered:
            return Fate(answered=False)
        return Fate(late_s=self.seconds(late_ms)) if late_ms else USUAL

    def held(self, variable: Variable) -> ua.DataValue:
        """What a variable shows at present, with the time at which that is so."""
        now = datetime.now(UTC)
        if self.plant.standing:
            shift_ms = max((self.plant.standing.clock_shift_ms(device) for device in variable.devices), key=abs)
            now += timedelta(milliseconds=shift_ms)
        refusal = self._refusal(variable.devices, ua.StatusCodes.BadDeviceFailure, writing=False)
        if refusal is not None:
            return data_value(None, refusal, now)
        raw = variable.raw()
        if None in raw:
            return data_value(None, ua.StatusCodes.BadNoData, now)
        wire_type = VARIANT_TYPES[variable.type]
        variant = (
            ua.Variant(raw[0], wire_type) if variable.length < 0 else ua.Variant(list(raw), wire_type, is_array=True)
        )
        return data_value(variant, ua.StatusCodes.Good, now)

    def read(self, wanted: ua.ReadValueId) -> ua.DataValue | None:
        """The answer to one reading of a value; None if the node is not one of ours."""
        variable = self.variables.get(wanted.NodeId)
        if variable is None or wanted.AttributeId != ua.AttributeIds.Value:
            return None
        if not variable.readable:
            return ua.DataValue(StatusCode=status(ua.StatusCodes.BadNotReadable))
        held = self.held(variable)
        self.note(variable, held)
        if not wanted.IndexRange or held.Value is None:
            return held
        places = _places(wanted.IndexRange, variable.length)
        if not isinstance(places, range):
            return ua.DataValue(StatusCode=status(places))
        some = [held.Value.Value[place] for place in places]
        variant = ua.Variant(some, held.Value.VariantType, is_array=True)
        return ua.DataValue(variant, held.StatusCode, held.SourceTimestamp, held.ServerTimestamp)

    def note(self, variable: Variable, held: ua.DataValue) -> None:
        """Logs what a client is told."""
        stamp: Any = held.SourceTimestamp
        self.record.add_value(
            self.link,
            variable.device,
            variable.address.identifier,
            None if held.Value is None else held.Value.Value,
            0 if held.StatusCode is None else int(held.StatusCode.value),
            round(stamp.timestamp() * 1000),
        )

    def write(self, wanted: ua.WriteValue) -> int | None:
        """The status of one writing of a value; None if the node is not one of ours.

        The elements of an array are taken in their order, up to the first refusal; those that nobody may write are
        passed over.
        """
        variable = self.variables.get(wanted.NodeId)
        if variable is None or wanted.AttributeId != ua.AttributeIds.Value:
            return None
        if not variable.writable:
            return ua.StatusCodes.BadNotWritable
        refusal = self._refusal(variable.devices, ua.StatusCodes.BadNotWritable, writing=True)
        if refusal is not None:
            return refusal
        variant = wanted.Value.Value
        if variant is None or variant.VariantType is not VARIANT_TYPES[variable.type] or variant.Value is None:
            return ua.StatusCodes.BadTypeMismatch
        if isinstance(variant.Value, list) != (variable.length >= 0):
            return ua.StatusCodes.BadTypeMismatch
        values: list[Raw] = variant.Value if variable.length >= 0 else [variant.Value]
        places = _places(wanted.IndexRange, variable.length)
        if not isinstance(places, range):
            return places
        if len(values) != len(places):
            return ua.StatusCodes.BadIndexRangeDataMismatch if wanted.IndexRange else ua.StatusCodes.BadOutOfRange
        taken = False
        for place, value in zip(places, values, strict=True):
            element = variable.elements.get(place)
            if element is None or "w" not in element.point.access:
                continue
            taken = True
            if not _take(element, value):
                return ua.StatusCodes.BadOutOfRange
        return ua.StatusCodes.Good if taken else ua.StatusCodes.BadNotWritable

    def call(self, method: Method, arguments: list[ua.Variant]) -> int:
        """The status of a call."""
        refusal = self._refusal([method.behind.device], ua.StatusCodes.BadNotExecutable, writing=True)
        if refusal is not None:
            return refusal
        wanted = 0 if method.type == "none" else 1
        if len(arguments) != wanted:
            return ua.StatusCodes.BadArgumentsMissing if len(arguments) < wanted else ua.StatusCodes.BadTooManyArguments
        if not arguments:
            return ua.StatusCodes.Good if method.behind.take(1.0) else ua.StatusCodes.BadInvalidState
        only = arguments[0]
        if only.VariantType is not VARIANT_TYPES[method.type] or only.Value is None or isinstance(only.Value, list):
            return ua.StatusCodes.BadInvalidArgument
        accepted = method.behind.take(decode(method.point, only.Value))
        return ua.StatusCodes.Good if accepted else ua.StatusCodes.BadOutOfRange


def _take(element: Element, raw: Raw) -> bool:
    return element.behind.take(decode(element.point, raw))


def _places(text: str | None, length: int) -> range | int:
    """The places of an array that an index range names (of a scalar: its only one), or the status that refuses it."""
    if not text:
        return range(-1, 0) if length < 0 else range(length)
    first, _, last = text.partition(":")
    if not first.isdigit() or (last and not last.isdigit()) or (last and int(last) <= int(first)):
        return ua.StatusCodes.BadIndexRangeInvalid
    if int(last or first) >= length:
        return ua.StatusCodes.BadIndexRangeNoData
    return range(int(first), int(last or first) + 1)
