"""OPC-UA: nodes to readings, commands to writes and method calls.

`places` and `names` say what a link reads and writes, `meaning` what a raw value stands for, `port` offers that to the
bus, and `link` is the driver. The rest needs asyncua and is imported when a driver first connects: `conversation` is
one connection's life, made of `admission` (certificates in `pki`), `session`, `subscription`, `decoding` and `writing`.
"""

from scowl_edge.drivers.opcua.link import OpcuaDriver

__all__ = ["OpcuaDriver"]
