"""The protocols that links can speak, and the types of links that carry them."""

from __future__ import annotations

from typing import Any

from scowl_edge.assembly.kinds import Choice
from scowl_edge.devices.declaration import LinkKind

MODBUS, OPCUA = "modbus", "opcua"
"""What a device speaks, whatever carries it."""
TYPES = (*(kind.value for kind in LinkKind), OPCUA)
"""What may stand as `type` of a link."""


class Protocol(Choice):
    """The `type` of a link. Each kind of link has one; hints name them all."""

    def __init__(self, own: str) -> None:
        super().__init__(TYPES)
        self.own = own
        self.shown = own

    def json(self) -> dict[str, Any]:
        return {"enum": [self.own]}
