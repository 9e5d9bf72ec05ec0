"""Modbus: registers to readings, commands to writes.

`planner` joins points into few reads, `layout` compiles each read, `encoding` is its inverse; `pdu` says requests and
replies; `endpoint` opens the wire of a link (`wire`, `mbap`), which lets only the right reply back; `port` offers that
to the bus, and `link` is the driver. `tap` lets other tools read the units too, as far as `guests` allows.
"""

from scowl_edge.drivers.modbus.link import LinkCost, ModbusDriver, link_cost
from scowl_edge.drivers.modbus.tap import Tap

__all__ = ["LinkCost", "ModbusDriver", "Tap", "link_cost"]
