"""Messages that wait to leave, and those that left and are not acknowledged: in order, bounded, never for ever."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from scowl_edge.drivers.flex.session_timing import Timers, draw
from scowl_edge.model.exchange import Ack, AckStatus, Message


@dataclass(slots=True)
class Outgoing:
    """One message on its way."""

    message: Message
    size: int
    until_ms: int
    """Monotonic; not acknowledged by then, it has failed."""
    sent: int = 0
    """Times, on the present connection."""
    due_ms: int = 0
    """When its next move is due."""
    resting: bool = False
    """It waits for its pause to be over, not for its acknowledgement."""


@dataclass(slots=True)
class Moves:
    """What an outbox wants done."""

    send: list[Message] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    """Ids of messages given up, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What an outbox holds."""

    most: int = 512
    """Messages."""
    most_bytes: int = 4 << 20
    flight: int = 32
    """Messages that are under way at a time."""
    flight_bytes: int = 1 << 20


MOST_FLIGHT = 4_096
"""Under way to a peer, however many it speaks for."""
MANY = Room(most=20_000, most_bytes=64 << 20, flight=512, flight_bytes=4 << 20)
"""Between a manager and a provider: one link carries what is for thousands of appliances."""


class Outbox:
    """Messages of one link, in the order of `put`."""

    def __init__(
        self,
        timers: Timers,
        seed: int,
        room: Room | None = None,
    ) -> None:
        """`room` is that of a link to one appliance unless said."""
        room = room or Room()
        self._timers = timers
        self._seed = seed
        self._most, self._most_bytes = room.most, room.most_bytes
        self._flight, self._flight_bytes = room.flight, room.flight_bytes
        self._waiting: deque[Outgoing] = deque()
        self._under_way: dict[str, Outgoing] = {}
        self._under_way_bytes = 0
        self._held_until_ms = 0
        self._look_ms: int | None = None
        """No later than the first move of what is under way; None: nothing is."""
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)

    def carries(self, appliances: int) -> None:
        """The peer takes what is for so many appliances: a message for each may be under way, which it allows for."""
        self._flight = max(self._flight, min(MOST_FLIGHT, MANY.flight + appliances))

    def full(self, size: int) -> str:
        """Why a message of this size is not taken; empty if it is."""
        if len(self) >= self._most:
            return f"{self._most} messages wait already"
        if len(self) and self.bytes + size > self._most_bytes:
            return f"{self.bytes} bytes wait already, and no more than {self._most_bytes} may"
        return ""

    def put(self, message: Message, size: int, until_ms: int) -> None:
        """Takes a message; ask `full` before."""
        self.bytes += size
        self._waiting.append(Outgoing(message, size, until_ms))

    def answered(self, message_id: str, ack: Ack, mono_ms: int) -> bool:
        """An acknowledgement came. True if the message is done with; one that may be tried again is kept."""
        out = self._under_way.get(message_id)
        if out is None:
            return False
        if ack.status is AckStatus.TEMPORARY_ERROR and out.sent <= len(self._timers.retries_ms):
            pause_ms = max(self._pause_ms(out), (ack.retry_after_s or 0) * 1_000)
            out.resting, out.due_ms = True, mono_ms + pause_ms
            self._look_by(out)
            # What follows waits too: the peer wants less, and order is worth more than haste.
            self._held_until_ms = max(self._held_until_ms, mono_ms + pause_ms)
            return False
        self._drop(out)
        return True

    def closed(self) -> None:
        """The connection is gone: what was not acknowledged goes first on the next one, in its old order."""
        for out in self._under_way.values():
            out.sent, out.resting = 0, False
        self._waiting.extendleft(reversed(self._under_way.values()))
        self._under_way.clear()
        self._under_way_bytes = 0
        self._held_until_ms = 0
        self._look_ms = None

    def moves(self, mono_ms: int, *, up: bool) -> Moves:
        """What is due; new messages leave only while the link is up."""
        moves = Moves()
        if self._look_ms is not None and mono_ms >= self._look_ms:
            # Of hundreds under way, few have a move due: all are looked at only when the first may have.
            self._look_ms = None
            for out in list(self._under_way.values()):
                self._move(out, mono_ms, moves)
            for out in self._under_way.values():
                self._look_by(out)
        while self._waiting:
            out = self._waiting[0]
            if out.until_ms <= mono_ms:
                self._waiting.popleft()
                self.bytes -= out.size
                moves.failed.append((out.message.id, "the link did not come up in time"))
            elif up and mono_ms >= self._held_until_ms and self._fits(out):
                self._waiting.popleft()
                self._under_way[out.message.id] = out
                self._under_way_bytes += out.size
                self._sent(out, mono_ms, moves)
            else:
                break
        return moves

    def wake_ms(self, *, up: bool) -> int | None:
        """When `moves` has something to do again, or finds that what it had was acknowledged."""
        due = [] if self._look_ms is None else [self._look_ms]
        if self._waiting:
            due.append(self._waiting[0].until_ms)
            if up and self._held_until_ms and self._fits(self._waiting[0]):
                due.append(self._held_until_ms)
        return min(due, default=None)

    def _move(self, out: Outgoing, mono_ms: int, moves: Moves) -> None:
        if out.until_ms <= mono_ms or (
            not out.resting and out.due_ms <= mono_ms and out.sent > len(self._timers.retries_ms)
        ):
            self._drop(out)
            moves.failed.append((out.message.id, f"sent {out.sent} times and not acknowledged"))
        elif out.due_ms <= mono_ms and out.resting:
            self._sent(out, mono_ms, moves)
        elif out.due_ms <= mono_ms:
            out.resting, out.due_ms = True, mono_ms + self._pause_ms(out)

    def _sent(self, out: Outgoing, mono_ms: int, moves: Moves) -> None:
        out.sent += 1
        out.resting, out.due_ms = False, mono_ms + self._timers.ack_ms
        moves.send.append(out.message)
        self._look_by(out)

    def _look_by(self, out: Outgoing) -> None:
        at_ms = min(out.due_ms, out.until_ms)
        if self._look_ms is None or at_ms < self._look_ms:
            self._look_ms = at_ms

    def _pause_ms(self, out: Outgoing) -> int:
        pause_ms = self._timers.retries_ms[min(out.sent, len(self._timers.retries_ms)) - 1]
        return pause_ms + draw(pause_ms // 2, self._seed, "again", out.message.id, out.sent)

    def _fits(self, out: Outgoing) -> bool:
        room = len(self._under_way) < self._flight and self._under_way_bytes + out.size <= self._flight_bytes
        return room or not self._under_way

    def _drop(self, out: Outgoing) -> None:
        del self._under_way[out.message.id]
        self._under_way_bytes -= out.size
        self.bytes -= out.size
        if not self._under_way:
            self._look_ms = None
