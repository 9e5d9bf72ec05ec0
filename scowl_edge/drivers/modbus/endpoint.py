"""Opens the wire of a link: by its kind, over TCP, TLS or a serial port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scowl_edge.devices.declaration import LinkKind, ModbusLink
from scowl_edge.drivers.errors import LinkLost
from scowl_edge.drivers.modbus.mbap import MbapWire
from scowl_edge.drivers.modbus.wire import Wire


async def open_wire(
    link: ModbusLink, *, rate: float, on_stray: Callable[[], None], on_lost: Callable[[], None]
) -> Wire:
    """Opens a link. A host name is looked up each time, so that a device whose address changes is followed.

    Args:
        link: Declaration.
        rate: Seconds of the site's clock that pass in a real one; waits shrink with it.
        on_stray: Called for each frame that answers nothing that is under way.
        on_lost: Called when the connection goes without `close`.

    Raises:
        LinkLost: nobody there, or not in time.
    """
    if link.kind is not LinkKind.TCP:
        raise LinkLost(f"links of type {link.kind} cannot be opened yet", sent=False)
    connect_timeout_s = link.connect_timeout_ms / 1000 / rate
    what = f"connect to {link.host} port {link.port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_timeout_s):
            _, wire = await loop.create_connection(lambda: MbapWire(on_stray, on_lost), link.host, link.port)
    except TimeoutError:
        raise LinkLost(
            f"no answer within {connect_timeout_s:g} s; is the address right?", sent=False, what=what
        ) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LinkLost(f"{reason}; is the device on, and host and port right?", sent=False, what=what) from None
    return wire
