"""One Modbus unit: which register shows or takes what of the plant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scowl_edge.devices.declaration import ModbusDevice, ModbusPoint, Table
from simulators.binding import Behind, Bindings
from simulators.faults import Response
from simulators.plant import Plant
from simulators.registers import bit_mask, decode, encode, is_bit

ILLEGAL_ADDRESS = 2
ILLEGAL_VALUE = 3


class ModbusException(Exception):
    """An exception reply; `code` is what goes onto the wire."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class BoundPoint:
    """A point of a unit and what stands behind it."""

    point: ModbusPoint
    behind: Behind

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.point.address + self.point.registers


class Unit:
    """Reads and writes tables of one unit against the plant; it knows nothing of frames.

    Several devices of the configuration may share a unit. Registers between two points of a table read as 0; beyond
    them there is nothing, but for canaries, which show what they must. Whoever reads a hole is refused.
    """

    def __init__(
        self,
        plant: Plant,
        devices: Sequence[ModbusDevice],
        bindings: Bindings,
        link: str = "",
    ) -> None:
        self._plant = plant
        self._tables: dict[Table, list[BoundPoint]] = {table: [] for table in Table}
        self._exponents: dict[tuple[int, str], BoundPoint] = {}
        self.device = plant.index(devices[0].name)
        """Index in the site of the first device that it is."""
        self.link = link
        """Name of the link that it is on."""
        self._factors: set[tuple[int, str]] = set()
        """Points that are somebody's scale factor."""
        self._devices = [plant.index(device.name) for device in devices]
        for device in devices:
            index = plant.index(device.name)
            for point in device.points:
                bound = BoundPoint(point, Behind.of(plant, device.name, point.name, bindings))
                self._tables[point.table].append(bound)
                self._exponents[index, point.name] = bound
                if point.scale_factor:
                    self._factors.add((index, point.scale_factor))
        canaries = [device.canary for device in devices if device.canary is not None]
        self._canaries = {(canary.table, canary.address): canary.equals for canary in canaries}
        self._holes = [hole for device in devices for hole in device.holes]
        for points in self._tables.values():
            points.sort(key=lambda bound: bound.point.address)

    def response(self, table: Table | None, address: int) -> Response:
        """How the device behind this address answers at present."""
        if table is not None:
            for bound in self._tables[table]:
                if bound.point.address <= address < bound.end:
                    return self._plant.response(bound.behind.device)
        return self._plant.response(self.device)

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Registers or bits as they are now.

        Raises:
            ModbusException: 2, an address lies outside of what the unit has, or in a hole.
        """
        points = self._tables[table]
        end = address + count
        if count == 1 and (table, address) in self._canaries:
            return [self._canaries[table, address]]
        if any(hole.table is table and hole.first < end and address <= hole.last for hole in self._holes):
            raise ModbusException(ILLEGAL_ADDRESS)
        if not points or address < points[0].point.address or end > max(bound.end for bound in points):
            raise ModbusException(ILLEGAL_ADDRESS)
        for device in self._devices:
            self._plant.standing.move_scale(device)
        words = [0] * count
        for bound in points:
            point = bound.point
            if bound.end <= address or point.address >= end:
                continue
            shown = self._encoded(bound)
            if point.type == "bits" and is_bit(point):
                words[point.address - address] |= bit_mask(point) if shown[0] else 0
                continue
            for offset, word in enumerate(shown, point.address - address):
                if 0 <= offset < count:
                    words[offset] = word
        for (of_table, at), equals in self._canaries.items():
            if of_table is table and address <= at < end:
                words[at - address] = equals
        return words

    def write(self, table: Table, address: int, words: Sequence[int]) -> None:
        """Takes registers or bits. Points are applied in the order of their addresses up to the first refusal.

        Raises:
            ModbusException: 2, an address is not there, read-only, or cuts a point in two; 3, a value is refused.
        """
        end = address + len(words)
        touched = [b for b in self._tables[table] if b.end > address and b.point.address < end]
        covered: set[int] = set()
        for bound in touched:
            if bound.point.address < address or bound.end > end:
                raise ModbusException(ILLEGAL_ADDRESS)
            if "w" in bound.point.access:
                covered.update(range(bound.point.address, bound.end))
        if len(covered) < len(words):
            raise ModbusException(ILLEGAL_ADDRESS)
        for bound in touched:
            if "w" in bound.point.access:
                self._take(bound, words[bound.point.address - address : bound.end - address])

    def _take(self, bound: BoundPoint, words: Sequence[int]) -> None:
        point = bound.point
        if point.type == "bits" and is_bit(point):
            words = [int(bool(words[0] & bit_mask(point)))]
            if self._encoded(bound) == words:
                return
        if not bound.behind.take(decode(point, words, self._exponent(bound))):
            raise ModbusException(ILLEGAL_VALUE)

    def _encoded(self, bound: BoundPoint) -> list[int]:
        shown = bound.behind.shown()
        if (bound.behind.device, bound.point.name) in self._factors and isinstance(shown, float | int):
            shown += self._plant.standing.scale_shift(bound.behind.device)
        return encode(bound.point, shown, self._exponent(bound))

    def _exponent(self, bound: BoundPoint) -> int:
        if not bound.point.scale_factor:
            return 0
        factor = self._exponents.get((bound.behind.device, bound.point.scale_factor))
        value = factor.behind.shown() if factor is not None else 0.0
        return (
            int(value) + self._plant.standing.scale_shift(bound.behind.device) if isinstance(value, float | int) else 0
        )
