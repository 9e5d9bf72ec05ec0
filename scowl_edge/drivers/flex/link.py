"""A link at run time: its state machine with the clocks, the timer and the channel that it has at the moment."""

from __future__ import annotations

import asyncio

import structlog

from scowl_edge.contracts import Clock
from scowl_edge.drivers.flex.delivery import Channel, FlexLinkChanged, FlexSink
from scowl_edge.drivers.flex.envelope import Envelope, parse
from scowl_edge.drivers.flex.refusal import Refused
from scowl_edge.drivers.flex.session import (
    Answered,
    Close,
    Deliver,
    Effect,
    Entered,
    LinkState,
    Resync,
    Session,
    Transmit,
)
from scowl_edge.drivers.flex.session_timing import Now
from scowl_edge.model.exchange import Code, Message

_LOOK_MS = 1_000

_log = structlog.get_logger(__name__)


class Moments:
    """The clocks for all links of a node; whether the wall clock is right is asked once a second."""

    def __init__(self, clock: Clock, rate: float = 1.0) -> None:
        """`rate` is how much faster than the machine the clock runs."""
        self.rate = rate
        self._clock = clock
        self._looked_ms: int | None = None
        self._utc_ok = False

    def now(self) -> Now:
        """This moment."""
        mono_ms = self._clock.mono_ms()
        if self._looked_ms is None or mono_ms - self._looked_ms >= _LOOK_MS:
            self._looked_ms, self._utc_ok = mono_ms, self._clock.utc_ok()
        return Now(mono_ms, self._clock.utc_ms(), self._utc_ok)


class Link:
    """One peer, from connection to connection."""

    __slots__ = ("_armed_ms", "_channel", "_moments", "_permanent", "_sink", "_timer", "last_cause", "name", "session")

    def __init__(self, name: str, session: Session, sink: FlexSink, moments: Moments) -> None:
        self.name = name
        self.session = session
        self.last_cause = ""
        """Why the link is not up."""
        self._sink = sink
        self._moments = moments
        self._channel: Channel | None = None
        self._permanent = False
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ms = 0

    @property
    def channel(self) -> Channel | None:
        """What carries its frames; None while there is no connection."""
        return self._channel

    @property
    def permanent(self) -> bool:
        """The last connection ended for something that only a person can change."""
        return self._permanent

    # From the connections.

    def attached(self, channel: Channel) -> None:
        """A connection to the peer stands. One that stood before gives way to it."""
        old, self._channel = self._channel, channel
        if old is not None:
            old.close("another connection of this peer took over", permanent=False)
        self._permanent = False
        self._do(self.session.connected(self._moments.now()))

    def detached(self, channel: Channel, cause: str) -> None:
        """A connection is gone. Nothing happens if another has taken its place."""
        if self._channel is channel:
            self._channel = None
            self._do(self.session.closed(self._moments.now(), cause))

    def frame(self, channel: Channel, data: bytes | str) -> float:
        """A frame arrived. Returns how many seconds to leave the next one unread."""
        if self._channel is not channel:
            return 0.0
        try:
            envelope, message = parse(data)
        except Refused as refused:
            return self.malformed(channel, refused, len(data))
        return self.parsed(channel, envelope, message, len(data))

    def parsed(self, channel: Channel, envelope: Envelope, message: Message, size: int) -> float:
        """As `frame`, for one that was read already."""
        if self._channel is not channel:
            return 0.0
        now = self._moments.now()
        self._do(self.session.received(now, envelope, message, size))
        return self.session.pause_ms(now) / 1_000

    def malformed(self, channel: Channel, refused: Refused, size: int) -> float:
        """As `frame`, for one that could not be read."""
        if self._channel is not channel:
            return 0.0
        now = self._moments.now()
        self._do(self.session.malformed(now, refused, size))
        return self.session.pause_ms(now) / 1_000

    def failed(self, cause: str) -> None:
        """An attempt to connect came to nothing; told once for each cause."""
        if cause != self.last_cause:
            self._entered(LinkState.DOWN, cause)

    # From the daemon.

    def send(self, message: Message, until_ms: int | None = None) -> str:
        """Queues a message. Returns why it is not taken; empty if it is: one `answered` follows then.

        It is given up at `until_ms` (monotonic; by default after two minutes), with or without a link.
        """
        fault, effects = self.session.send(self._moments.now(), message, until_ms)
        self._do(effects)
        return fault

    def stored(self, message_id: str) -> None:
        """A message that was handed on is durable."""
        self._do(self.session.stored(self._moments.now(), message_id))

    def refused(self, message_id: str, code: Code, detail: str) -> None:
        """A message that was handed on can have no effect, and its sender must know why."""
        self._do(self.session.refused(self._moments.now(), message_id, code, detail))

    def drop(self, cause: str, *, permanent: bool = False) -> None:
        """Ends the present connection, if there is one."""
        self._do([Close(cause, permanent)])

    def rest(self) -> None:
        """No timer any more: the node stops."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Inside.

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Transmit(message, ahead):
                    if self._channel is not None:
                        self._channel.write(message, ahead=ahead)
                case Deliver(message):
                    self._sink.message(self.name, message)
                case Entered(state, cause):
                    self._entered(state, cause)
                case Resync(cause):
                    self._sink.resync(self.name, cause)
                case Answered(message_id, ack, cause):
                    self._sink.answered(self.name, message_id, ack, cause)
                case Close(cause, permanent):
                    if (channel := self._channel) is not None:
                        self._permanent = permanent
                        channel.close(cause, permanent=permanent)
                        # What the peer still sends does not count; it may take its time to close its side.
                        self.detached(channel, cause)
        self._arm()

    def _entered(self, state: LinkState, cause: str) -> None:
        if state is LinkState.HELLO:
            self.last_cause = ""
            return
        if state is LinkState.DOWN:
            self.last_cause = cause
            _log.info("flex link down", link=self.name, why=cause)
        at_ms = self._moments.now().mono_ms
        self._sink.link_changed(
            FlexLinkChanged(link=self.name, peer=self.session.peer, state=state, at_ms=at_ms, cause=cause)
        )

    def _arm(self) -> None:
        wake_ms = self.session.wake_ms()
        if wake_ms is None or (self._timer is not None and self._armed_ms <= wake_ms):
            # A timer that is early looks again.
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_ms = wake_ms
        delay_s = max(0, wake_ms - self._moments.now().mono_ms) / 1_000 / self._moments.rate
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._do(self.session.tick(self._moments.now()))
