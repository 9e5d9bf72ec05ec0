"""The protocols that links can speak."""

from __future__ import annotations

from typing import Any

from scowl_edge.assembly.kinds import Choice

MODBUS, OPCUA = "modbus-tcp", "opcua"
PROTOCOLS = (MODBUS, OPCUA)


class Protocol(Choice):
    """The `type` of a link. Each kind of link has one; hints name them all."""

    def __init__(self, own: str) -> None:
        super().__init__(PROTOCOLS)
        self.own = own
        self.shown = own

    def json(self) -> dict[str, Any]:
        return {"enum": [self.own]}
