"""Which device a point of the site belongs to, without an entry a point: each device's points stand side by side."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping

from scowl_edge.devices.declaration import ModbusDevice, ModbusLink, ModbusPoint


class PointPlaces(Mapping[int, int]):
    """From a point's index in the site's point table to its unit, for the points of one link."""

    def __init__(self, link: ModbusLink) -> None:
        self._devices = sorted((device for device in link.devices if device.points), key=lambda d: d.first_point)
        self._firsts = [device.first_point for device in self._devices]

    def find(self, point: int) -> tuple[ModbusDevice, ModbusPoint]:
        """The device of a point, and its declaration. Raises KeyError if it is not on this link."""
        place = bisect_right(self._firsts, point) - 1
        if place >= 0 and point - self._firsts[place] < len(self._devices[place].points):
            device = self._devices[place]
            return device, device.points[point - device.first_point]
        raise KeyError(point)

    def __getitem__(self, point: int) -> int:
        return self.find(point)[0].unit

    def __iter__(self) -> Iterator[int]:
        return (device.first_point + place for device in self._devices for place in range(len(device.points)))

    def __len__(self) -> int:
        return sum(len(device.points) for device in self._devices)
