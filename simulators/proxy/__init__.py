"""A proxy that understands Modbus and does harm on demand, before any device: ours, a foreign one, a real one.

    async with FaultProxy("127.0.0.1:0", "127.0.0.1:5020") as proxy:
        proxy.inject("delay", ms=300, unit=3)
        ...  # a client of 127.0.0.1:{proxy.port}
        assert proxy.injected["delay"]
        proxy.clear()

`relay` carries requests and replies, `active` holds the faults that are on, `control` is the HTTP port of the command
line. What each fault does to a frame stands in `simulators.wire.mischief`.
"""

from simulators.proxy.relay import FaultProxy

__all__ = ["FaultProxy"]
