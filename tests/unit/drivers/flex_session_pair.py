"""Two sessions and what lies between them, in virtual time: frames may be lost, doubled, late, and a connection cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from scowl_edge.drivers.flex import Refused, frame, parse
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
from scowl_edge.drivers.flex.session_intake import Rate
from scowl_edge.drivers.flex.session_seen import OK
from scowl_edge.drivers.flex.session_timing import Now, Timers
from scowl_edge.model.exchange import AckStatus, Body, Heartbeat, Message, NodeRole, Running, State
from scowl_edge.model.exchange import Answered as Known
from scowl_edge.model.flexibility import OverrideScope

START_UTC_MS = 1_790_000_000_000
CEM, DSRSP = "cem:one", "dsrsp:one"


def uuid(number: int) -> str:
    """A valid id for each number."""
    return str(UUID(int=number, version=4))


def state(number: int) -> State:
    """A body that tells numbers apart."""
    return State(esa_id=f"esa-{number:08d}", value=Running.IDLE, override=OverrideScope.NONE)


def number_of(message: Message) -> int:
    """The number of `state`."""
    assert isinstance(message.body, State)
    return int(message.body.esa_id[4:])


@dataclass
class End:
    """One side: its session, what is on the way to its peer, and all that its daemon was told."""

    name: str
    session: Session
    seq: int = 0
    wire: list[bytes] = field(default_factory=list)
    """Written and not yet arrived at the other end."""
    delivered: list[Message] = field(default_factory=list)
    journal: dict[str, Message] = field(default_factory=dict)
    """Stored: survives a restart."""
    answers: dict[str, Known] = field(default_factory=dict)
    """What the journal notes of them."""
    waiting: list[str] = field(default_factory=list)
    """Delivered and not stored."""
    answered: dict[str, Answered] = field(default_factory=dict)
    resyncs: list[str] = field(default_factory=list)
    states: list[tuple[LinkState, str]] = field(default_factory=list)
    closed: str = ""
    sent: list[Message] = field(default_factory=list)
    beats: int = 0


class Pair:
    """A CEM that dials and the provider that listens."""

    def __init__(self, timers: Timers | None = None, rate: Rate | None = None) -> None:
        self.timers, self.rate = timers or Timers(), rate or Rate()
        self.mono_ms = 1_000_000
        self.starts = 0
        self.a, self.b = End(CEM, self._new(CEM)), End(DSRSP, self._new(DSRSP))
        self.ends = (self.a, self.b)
        self.connected = False
        self.numbers = 0

    def _new(self, name: str) -> Session:
        self.starts += 1
        cem = name == CEM
        return Session(
            name,
            NodeRole.CEM if cem else NodeRole.DSRSP,
            DSRSP if cem else CEM,
            dials=cem,
            seed=self.starts,
            timers=self.timers,
            rate=self.rate,
        )

    @property
    def now(self) -> Now:
        """Both ends have the same clocks."""
        return Now(self.mono_ms, START_UTC_MS + self.mono_ms, True)

    def other(self, end: End) -> End:
        """The one at the far side."""
        return self.b if end is self.a else self.a

    def connect(self) -> None:
        """A new connection; nothing of the old one arrives."""
        if self.connected:
            self.cut()
        self.connected = True
        for end in (self.b, self.a):
            end.wire.clear()
            end.seq, end.closed = 0, ""
        for end in (self.b, self.a):
            self.do(end, end.session.connected(self.now))

    def cut(self) -> None:
        """The connection breaks; what was on its way is gone."""
        self.connected = False
        for end in self.ends:
            end.wire.clear()
            self.do(end, end.session.closed(self.now, "cut"))

    def do(self, end: End, effects: list[Effect]) -> None:
        """Carries out what a session wants."""
        for effect in effects:
            match effect:
                case Transmit(message):
                    end.seq += 1
                    end.wire.append(frame(message, end.seq))
                case Deliver(message):
                    if isinstance(message.body, Heartbeat):
                        end.beats += 1
                    else:
                        end.delivered.append(message)
                        end.waiting.append(message.id)
                case Entered(entered, cause):
                    end.states.append((entered, cause))
                case Resync(cause):
                    end.resyncs.append(cause)
                case Answered(message_id):
                    assert message_id not in end.answered, "answered twice"
                    end.answered[message_id] = effect
                case Close(cause):
                    end.closed = cause

    def send(self, end: End, body: Body | None = None, *, until_ms: int | None = None) -> str:
        """Queues a message; the reason if it is not taken."""
        self.numbers += 1
        message = Message(
            id=uuid(self.numbers),
            ts_ms=self.now.utc_ms,
            src=end.name,
            dst=self.other(end).name,
            body=body or state(self.numbers),
        )
        fault, effects = end.session.send(self.now, message, until_ms)
        if not fault:
            end.sent.append(message)
        self.do(end, effects)
        return fault

    def arrive(self, end: End, index: int = 0, *, keep: bool = False) -> None:
        """A frame arrives at `end`, by default the first; with `keep` it will arrive once more."""
        data = self.other(end).wire[index]
        if not keep:
            del self.other(end).wire[index]
        self.put(end, data)

    def put(self, end: End, data: bytes) -> None:
        """Bytes of a frame at `end`."""
        try:
            envelope, message = parse(data)
        except Refused as refused:
            self.do(end, end.session.malformed(self.now, refused, len(data)))
        else:
            self.do(end, end.session.received(self.now, envelope, message, len(data)))

    def store(self, end: End) -> None:
        """All that was delivered is durable."""
        waiting, end.waiting = end.waiting, []
        for message_id in waiting:
            end.journal.update({one.id: one for one in end.delivered if one.id == message_id})
            if (known := end.session.known_as(message_id, OK)) is not None:
                end.answers[message_id] = known
            self.do(end, end.session.stored(self.now, message_id))

    def pass_time(self, ms: int) -> None:
        """Time goes on, each session ticked when it asked for it."""
        until_ms = self.mono_ms + ms
        while True:
            due = [(at, n) for n, end in enumerate(self.ends) if (at := end.session.wake_ms()) is not None]
            at, n = min(due, default=(until_ms + 1, 0))
            if at > until_ms:
                break
            self.mono_ms = max(self.mono_ms, at)
            end = self.ends[n]
            self.do(end, end.session.tick(self.now))
            if end.closed and self.connected:
                self.cut()
        self.mono_ms = until_ms

    def settle(self, rounds: int = 40) -> None:
        """A good connection, and all that is written arrives and is stored, until nothing is left to say."""
        for _ in range(rounds):
            if not self.connected:
                self.connect()
            for end in self.ends:
                while self.other(end).wire:
                    self.arrive(end)
                self.store(end)
            if all(one.session.state is LinkState.UP and not one.wire + one.waiting for one in self.ends) and not any(
                one.session.waiting for one in self.ends
            ):
                return
            self.pass_time(1_000)

    def restart(self, end: End, remembered: int) -> None:
        """The process dies and comes back with what the journal noted, and what was answered since."""
        self.cut()
        end.session = self._new(end.name)
        known = list(end.answers.values())
        # The journal's notes, and what was run again; both may tell of the same.
        end.session.remember(known[:remembered], 0, self.now)
        end.session.remember(known[max(0, remembered - 3) :], 0, self.now)
        # What was handed on and not stored is gone with the process, and so is what it had not sent.
        end.delivered = [one for one in end.delivered if one.id in end.journal]
        end.waiting.clear()
        end.sent = [one for one in end.sent if one.id in end.answered]


def ok(end: End) -> set[str]:
    """Ids that the peer acknowledged."""
    return {name for name, one in end.answered.items() if one.ack is not None and one.ack.status is AckStatus.OK}
