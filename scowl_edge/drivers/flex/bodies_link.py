"""Bodies that keep a link going: greeting, proof of life, acknowledgement."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import FailFast, Field, Strict

from scowl_edge.drivers.flex.body import Body, absent
from scowl_edge.drivers.flex.fields import Count, Detail, VersionName, Wait, Word
from scowl_edge.model import exchange
from scowl_edge.model.exchange import AckStatus, Code, NodeRole
from scowl_edge.model.flexibility import LimitState


class HelloBody(Body):
    """First message of a session."""

    value_class: ClassVar = exchange.Hello

    versions: Annotated[tuple[VersionName, ...], Field(min_length=1, max_length=16), FailFast()] = Field(
        description="Versions of the protocol that the sender speaks, the one it likes best first."
    )
    role: NodeRole = Field(description="What the sender is on this link.")
    last_seq: Count | None = absent(None, "Number of the last message received in the session before, to go on there.")


class HelloAckBody(Body):
    """Answer to `hello`."""

    value_class: ClassVar = exchange.HelloAck

    version: VersionName = Field(description="The version that was chosen.")
    session_id: Word = Field(description="Name of this session.")
    heartbeat_s: Annotated[int, Strict(), Field(ge=5, le=60)] = Field(
        description="Each side sends something at least this often, in s; 30 by default."
    )


class HeartbeatBody(Body):
    """Proof of life."""

    value_class: ClassVar = exchange.Heartbeat

    limit_state: LimitState = Field(description="State of the sender's limit controller.")
    rev: Count = Field(description="Latest revision of offers that the sender knows.")


class AckBody(Body):
    """A message was read and stored, or refused; no consent to what it asks for."""

    value_class: ClassVar = exchange.Ack

    status: AckStatus = Field(description="What became of the message.")
    code: Code | None = absent(None, "Why it was refused.")
    detail: Detail = absent("", "For logs: the field at fault, and how.")
    retry_after_s: Wait | None = absent(None, "With TEMPORARY_ERROR: when to try again, in s.")
