"""Modbus TCP: registers to readings, commands to writes.

`planner` joins points into few reads, `layout` compiles each read, `encoding` is its inverse; `pdu`, `mbap` and `endpoint` put
them on a wire and let only the right reply back; `port` offers that to the bus, and `link` is the driver.
"""

from scowl_edge.drivers.modbus.link import LinkCost, ModbusTcpDriver, link_cost

__all__ = ["LinkCost", "ModbusTcpDriver", "link_cost"]
