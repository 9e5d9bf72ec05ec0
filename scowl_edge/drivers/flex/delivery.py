"""What the links of `scowl-flex/1` tell the daemon, and what carries their frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scowl_edge.drivers.flex.session import LinkState
from scowl_edge.model.exchange import Ack, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexLinkChanged:
    """A link went up, fell silent, or is down."""

    link: str
    """Name of the link; that of a listener's link is the peer's."""
    peer: str
    state: LinkState
    at_ms: int
    """Monotonic."""
    cause: str
    """In words."""


class FlexSink(Protocol):
    """Where links put what they learn. No call blocks or raises."""

    def message(self, link: str, message: Message) -> None:
        """A peer's message, each once, in order.

        Unless it is a heartbeat, `stored` or `refused` is to be called on the link with its id, once that is durable:
        only then does the peer get its acknowledgement.
        """

    def answered(self, link: str, message_id: str, ack: Ack | None, cause: str) -> None:
        """What became of a message of ours, once for each that was taken; no `ack`: the peer gave none, for `cause`."""

    def link_changed(self, changed: FlexLinkChanged) -> None:
        """Kept, in order."""

    def resync(self, link: str, cause: str) -> None:
        """Either side may have missed something: tell the peer anew what stands."""


class Channel(Protocol):
    """One connection to a peer. Neither call blocks."""

    def write(self, message: Message, *, ahead: bool) -> None:
        """Queues a frame; numbers it when it is written."""

    def close(self, cause: str, *, permanent: bool) -> None:
        """Ends the connection when what is queued ahead is written; the link hears of it by `detached`."""
