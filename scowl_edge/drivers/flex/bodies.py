"""Every body of the protocol by the name that the envelope gives it as `type`."""

from __future__ import annotations

from typing import Any

from scowl_edge.drivers.flex.bodies_link import AckBody, HeartbeatBody, HelloAckBody, HelloBody
from scowl_edge.drivers.flex.bodies_member import (
    DeregisterBody,
    InitBody,
    InitDoneBody,
    RegisterBody,
    RegisterResultBody,
)
from scowl_edge.drivers.flex.bodies_offer import OfferSetBody, OfferWithdrawBody
from scowl_edge.drivers.flex.bodies_order import (
    CancelBody,
    CapacityGrantBody,
    CapacityRequestBody,
    ConstraintBody,
    LimitBody,
    LimitStatusBody,
    OverrideBody,
    SelectBody,
    SelectStatusBody,
)
from scowl_edge.drivers.flex.bodies_report import ReportBody, StateBody
from scowl_edge.drivers.flex.body import Body

BODIES: dict[str, type[Body]] = {
    "hello": HelloBody,
    "hello_ack": HelloAckBody,
    "heartbeat": HeartbeatBody,
    "ack": AckBody,
    "register": RegisterBody,
    "register_result": RegisterResultBody,
    "deregister": DeregisterBody,
    "init": InitBody,
    "init_done": InitDoneBody,
    "offer_set": OfferSetBody,
    "offer_withdraw": OfferWithdrawBody,
    "select": SelectBody,
    "select_status": SelectStatusBody,
    "cancel": CancelBody,
    "override": OverrideBody,
    "constraint": ConstraintBody,
    "capacity_request": CapacityRequestBody,
    "capacity_grant": CapacityGrantBody,
    "limit": LimitBody,
    "limit_status": LimitStatusBody,
    "report": ReportBody,
    "state": StateBody,
}

TYPES: dict[type[Any], str] = {body.value_class: name for name, body in BODIES.items()}
"""Name of the message that carries a value of the core."""
