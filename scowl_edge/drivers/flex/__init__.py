"""Flexibility on the wire: the protocol `scowl-flex/1`, PAS 1878-style.

`envelope` turns frames into messages of the core and back, `bodies` declares what messages hold, `content` checks what
one field says against another, `schema` writes docs/flex. All that is bad gives `Refused`.
"""

from scowl_edge.drivers.flex.content import Fault, export_faults, faults
from scowl_edge.drivers.flex.envelope import FRAME_MAX_BYTES, VERSION, Envelope, content_bytes, frame, parse
from scowl_edge.drivers.flex.refusal import Refused

__all__ = [
    "FRAME_MAX_BYTES",
    "VERSION",
    "Envelope",
    "Fault",
    "Refused",
    "content_bytes",
    "export_faults",
    "faults",
    "frame",
    "parse",
]
