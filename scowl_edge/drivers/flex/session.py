"""One link of `scowl-flex/1` as a state machine: whoever calls it has the sockets and the clocks.

Each call returns what is to be done, in order. Numbers are given to frames by whoever writes them to the wire: they
count what was written on one connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from scowl_edge.drivers.flex.envelope import VERSION, Envelope, frame
from scowl_edge.drivers.flex.refusal import Refused
from scowl_edge.drivers.flex.session_intake import BAD_FRAME_COST, Intake, Rate, refusal
from scowl_edge.drivers.flex.session_outbox import MANY, Outbox
from scowl_edge.drivers.flex.session_seen import OK
from scowl_edge.drivers.flex.session_timing import Now, Timers, bits, draw
from scowl_edge.model.exchange import Ack, AckStatus, Body, Code, Heartbeat, Hello, HelloAck, Message, NodeRole
from scowl_edge.model.exchange import Answered as Known
from scowl_edge.model.flexibility import LimitState

_LATE_MS = 1_000


class LinkState(StrEnum):
    """Where a link stands."""

    DOWN = "DOWN"
    HELLO = "HELLO"
    """Connected; the greeting is not answered."""
    UP = "UP"
    STALE = "STALE"
    """Connected, and silent for two heartbeats."""


@dataclass(frozen=True, slots=True)
class Transmit:
    """Write this to the wire."""

    message: Message
    ahead: bool
    """Before all that is not ahead: answers, greetings, proofs of life."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """The peer's message, once. Unless it is a heartbeat, `stored` or `refused` is called when that is known."""

    message: Message


@dataclass(frozen=True, slots=True)
class Entered:
    """The link changed its state."""

    state: LinkState
    cause: str


@dataclass(frozen=True, slots=True)
class Resync:
    """Either side may have missed something: tell the peer anew what stands (offers, states, open selections)."""

    cause: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a message of ours; without `ack` nobody acknowledged it."""

    message_id: str
    ack: Ack | None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection, after what was transmitted."""

    cause: str
    permanent: bool = False
    """A person must change something before another attempt makes sense."""


Effect = Transmit | Deliver | Entered | Resync | Answered | Close


class Session:
    """What one node knows of its link to one peer, from connection to connection."""

    def __init__(
        self,
        node: str,
        role: NodeRole,
        peer: str,
        *,
        dials: bool,
        seed: int,
        timers: Timers | None = None,
        rate: Rate | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        """`node` and `peer` are names as in `src`; the side that dials greets. `seed` differs at each start."""
        self.node, self.role, self.peer = node, role, peer
        self.timers = timers or Timers()
        self.state = LinkState.DOWN
        self.vital = Heartbeat(limit_state=LimitState.INIT, rev=0)
        """What the next heartbeat says."""
        self.behind: set[str] = set()
        """Names that the peer may speak for, beside its own."""
        self.session_id = ""
        self.gaps_total = self.repeated_total = self.refused_total = self.slowed_total = self.again_total = 0
        self.refused_by: Counter[str] = Counter()
        """Frames and messages that the link itself refused, by code; what the core refuses is not in it."""
        self._dials = dials
        self._seed = seed
        self._drawn = 0
        self._intake = Intake(self.timers, rate or Rate())
        many = role is not NodeRole.ESA and not peer.startswith("esa:")
        self._outbox = outbox or Outbox(self.timers, seed, MANY if many else None)
        self._heartbeat_ms = self.timers.heartbeat_s * 1_000
        self._seq = 0
        self._skipped = 0
        self._last_seq: int | None = None
        self._hello_id = ""
        self._asked_ms: int | None = None
        self._connected_ms = self._heard_ms = self._beat_ms = self._due_ms = 0

    # What the wire brings.

    def connected(self, now: Now) -> list[Effect]:
        """A connection to the peer stands, its certificate checked."""
        effects = [] if self.state is LinkState.DOWN else self.closed(now, "another connection of this peer took over")
        self.state = LinkState.HELLO
        self._seq = self._skipped = 0
        self._asked_ms = None
        self._connected_ms = self._heard_ms = now.mono_ms
        self._due_ms = 0
        self._intake.connected()
        effects.append(Entered(LinkState.HELLO, "connected"))
        if self._dials:
            effects.append(self._greet(now, self._last_seq))
        return effects

    def closed(self, now: Now, cause: str) -> list[Effect]:
        """The connection is gone, or was never had."""
        if self.state is LinkState.DOWN:
            return []
        self.state = LinkState.DOWN
        self._last_seq = self._seq or self._last_seq
        self._outbox.closed()
        return [Entered(LinkState.DOWN, cause), *self._flow(now)]

    def received(self, now: Now, envelope: Envelope, message: Message, size: int) -> list[Effect]:
        """A frame of so many bytes that was read."""
        if self.state is LinkState.DOWN:
            return []
        if message.src != self.peer and message.src not in self.behind:
            self.refused_by[Code.AUTH_FAILED] += 1
            ack = refusal(Code.AUTH_FAILED, f"src: {message.src} is not what the certificate says, {self.peer}")
            return [self._reply(now, message.id, ack), Close(ack.detail, permanent=True)]
        effects: list[Effect] = []
        if not self._in_turn(now, envelope, message, effects):
            return effects
        self._heard(now, effects)
        self._intake.clock(message.ts_ms, now)
        body = message.body
        if isinstance(body, Ack):
            if body.status is AckStatus.PERMANENT_ERROR:
                effects.append(Close(f"the peer refuses this link: {body.code}: {body.detail}", permanent=True))
            effects += self._acknowledged(now, message.corr, body)
        elif isinstance(body, HelloAck):
            effects += self._welcomed(now, message, body)
        elif (wait_ms := self._intake.spend(size, now)) > 0:
            self.refused_total += 1
            self.refused_by[Code.RATE] += 1
            ack = refusal(Code.RATE, "more than this peer may send", retry_after_s=-(-wait_ms // 1_000))
            effects.append(self._reply(now, message.id, ack))
        elif isinstance(body, Hello):
            effects += self._greeted(now, message, body)
        elif self.state is LinkState.HELLO:
            effects.append(self._reply(now, message.id, refusal(Code.BUSY, "say hello first", retry_after_s=1)))
        elif isinstance(body, Heartbeat):
            effects.append(Deliver(message))
        else:
            effects += self._message(now, message)
        return effects

    def malformed(self, now: Now, refused: Refused, size: int) -> list[Effect]:
        """A frame that could not be read; it has used a number that nobody knows."""
        if self.state is LinkState.DOWN:
            return []
        self._skipped += 1
        self.refused_total += 1
        self.refused_by[refused.code] += 1
        self._intake.spend(size, now, messages=BAD_FRAME_COST)
        return [self._reply(now, refused.message_id or "", refused.ack())]

    def unreadable(self) -> None:
        """Something that is no frame of the protocol ended the connection."""
        self.refused_total += 1
        self.refused_by[Code.SCHEMA] += 1

    def pause_ms(self, now: Now) -> int:
        """How long to leave the peer's next frame unread: it has used up what it may send."""
        pause_ms = min(self._intake.lack_ms(now), 1_000)
        self.slowed_total += pause_ms > 0
        return pause_ms

    # What our side wants.

    def send(self, now: Now, message: Message, until_ms: int | None = None) -> tuple[str, list[Effect]]:
        """Queues a message. The text says why it is not taken; empty if it is, and one `Answered` will follow.

        It is given up at `until_ms` (monotonic), with or without a link.
        """
        try:
            size = len(frame(message, 0))
        except Refused as refused:
            return str(refused), []
        fault = self._outbox.full(size)
        if fault:
            return fault, []
        self._outbox.put(message, size, now.mono_ms + self.timers.keep_ms if until_ms is None else until_ms)
        return "", self._flow(now)

    def stored(self, now: Now, message_id: str) -> list[Effect]:
        """A delivered message is durable: only now is it acknowledged."""
        return self._settle(now, message_id, OK)

    def refused(self, now: Now, message_id: str, code: Code, detail: str) -> list[Effect]:
        """A delivered message has no effect, for a reason that its sender must know."""
        retry_after_s = 1 if code.status is AckStatus.TEMPORARY_ERROR else None
        return self._settle(now, message_id, refusal(code, detail, retry_after_s=retry_after_s))

    def tick(self, now: Now) -> list[Effect]:
        """Time went on to what `wake_ms` said, or beyond."""
        if self.state is LinkState.DOWN:
            return self._flow(now)
        if self._due_ms and now.mono_ms - self._due_ms > _LATE_MS:
            # Nothing ran here meanwhile, so what the peer sent lies unread: that is not its silence.
            self._heard_ms = min(now.mono_ms, self._heard_ms + now.mono_ms - self._due_ms)
            self._connected_ms = min(now.mono_ms, self._connected_ms + now.mono_ms - self._due_ms)
        effects: list[Effect] = []
        silence_ms = now.mono_ms - self._heard_ms
        if self.state is LinkState.HELLO:
            if now.mono_ms - self._connected_ms >= self.timers.hello_ms:
                effects.append(Close(f"no greeting within {self.timers.hello_ms} ms"))
            return effects
        if silence_ms >= self.timers.loss_ms:
            return [Close(f"link_lost: silent for {self.timers.loss_ms} ms")]
        if self.state is LinkState.UP and silence_ms >= self._stale_ms():
            self.state = LinkState.STALE
            effects.append(Entered(LinkState.STALE, f"silent for {silence_ms} ms: two heartbeats are missing"))
        if now.mono_ms >= self._beat_ms:
            self._beat_ms += self._heartbeat_ms
            if self._beat_ms <= now.mono_ms:
                self._beat_ms = now.mono_ms + self._heartbeat_ms
            effects.append(self._say(now, self.vital))
        return effects + self._flow(now)

    def wake_ms(self) -> int | None:
        """When to call `tick`, monotonic; None: nothing is due."""
        due = self._outbox.wake_ms(up=self.state in (LinkState.UP, LinkState.STALE))
        if self.state is LinkState.HELLO:
            due = _earlier(due, self._connected_ms + self.timers.hello_ms)
        elif self.state is not LinkState.DOWN:
            due = _earlier(due, self._beat_ms)
            due = _earlier(due, self._heard_ms + self.timers.loss_ms)
            if self.state is LinkState.UP:
                due = _earlier(due, self._heard_ms + self._stale_ms())
        self._due_ms = due or 0
        return due

    # What a restart needs.

    def known_as(self, message_id: str, answer: Ack) -> Known | None:
        """What has to be durable before an answer for good leaves; None: nothing waits for it, or it is one for now."""
        awaited = self._intake.seen.awaited(message_id)
        if awaited is None or answer.status is AckStatus.TEMPORARY_ERROR:
            return None
        found, ts_ms = awaited
        return Known(
            peer=self.peer, message_id=message_id, digest=found, ts_ms=ts_ms, code=answer.code, detail=answer.detail
        )

    def remember(self, past: Iterable[Known], floor_ms: int, now: Now) -> None:
        """What was answered before a restart, oldest first; of until `floor_ms` (UTC) something may be missing."""
        self._intake.remember(past, floor_ms, now)

    @property
    def forgotten_total(self) -> int:
        """Ids that gave way to newer ones before their day was over."""
        return self._intake.seen.forgotten_total

    @property
    def ids(self) -> int:
        """How many ids of the peer are known."""
        return len(self._intake.seen)

    def keep_ids(self, most: int) -> None:
        """How many ids may be known at most: links share the room."""
        self._intake.seen.most = most

    def carries(self, appliances: int) -> None:
        """The peer speaks for so many: it may send more than one that speaks for itself."""
        self._intake.carries(appliances)
        self._outbox.carries(appliances)

    @property
    def last_seq(self) -> int:
        """Number of the newest frame on this connection; 0 before the first."""
        return self._seq

    @property
    def waiting(self) -> int:
        """Messages of ours that are not acknowledged."""
        return len(self._outbox)

    @property
    def skew_ms(self) -> int:
        """How far the peer's clock is ahead (+) of ours, by its last frame."""
        return self._intake.skew_ms

    # Inside.

    def _in_turn(self, now: Now, envelope: Envelope, message: Message, effects: list[Effect]) -> bool:
        """Whether a frame is newer than all before it; a hole before it is told."""
        if envelope.seq == 0 and isinstance(message.body, Ack | HelloAck):
            return True
        if envelope.seq <= self._seq:
            self.repeated_total += 1
            return False
        missing = envelope.seq - self._seq - 1
        if missing > self._skipped:
            self.gaps_total += 1
            cause = f"{missing} frames before number {envelope.seq} did not arrive"
            if self.state is not LinkState.HELLO:
                effects.append(Resync(cause))
                if self._asked_ms is None or now.mono_ms - self._asked_ms >= self.timers.again_ms:
                    self._asked_ms = now.mono_ms
                    effects.append(self._greet(now, self._seq))
        self._seq, self._skipped = envelope.seq, 0
        return True

    def _heard(self, now: Now, effects: list[Effect]) -> None:
        self._heard_ms = now.mono_ms
        if self.state is LinkState.STALE:
            self.state = LinkState.UP
            effects.append(Entered(LinkState.UP, "heard again"))

    def _greet(self, now: Now, last_seq: int | None) -> Transmit:
        said = self._say(now, Hello(versions=(VERSION,), role=self.role, last_seq=last_seq))
        self._hello_id = said.message.id
        return said

    def _greeted(self, now: Now, message: Message, body: Hello) -> list[Effect]:
        """The peer's hello: the beginning, or, in the midst of a session, its wish for a resync."""
        if message.dst != self.node:
            ack = refusal(Code.AUTH_FAILED, f"dst: this is {self.node}, not {message.dst}")
            return [self._reply(now, message.id, ack), Close(ack.detail, permanent=True)]
        if not any(one.split(".")[0] == VERSION.split(".")[0] for one in body.versions):
            ack = refusal(Code.UNSUPPORTED, f"body.versions: only {VERSION} is spoken here")
            return [self._reply(now, message.id, ack), Close(f"VERSION: the peer speaks {', '.join(body.versions)}")]
        if body.role.lower() != self.peer.split(":")[0]:
            ack = refusal(Code.AUTH_FAILED, f"body.role: {body.role} is not what the certificate says, {self.peer}")
            return [self._reply(now, message.id, ack), Close(ack.detail, permanent=True)]
        if self.state is LinkState.HELLO and self._dials:
            return []
        first = self.state is LinkState.HELLO
        if first:
            self.session_id = self._uuid()
        answer = HelloAck(version=VERSION, session_id=self.session_id, heartbeat_s=self._heartbeat_ms // 1_000)
        effects: list[Effect] = [self._say(now, answer, message.id)]
        if first:
            return effects + self._up(now)
        return [*effects, Resync(f"the peer asks for it: it has frames up to number {body.last_seq}")]

    def _welcomed(self, now: Now, message: Message, body: HelloAck) -> list[Effect]:
        if self.state is not LinkState.HELLO or not self._dials or message.corr != self._hello_id:
            return []
        if body.version.split(".")[0] != VERSION.split(".")[0]:
            return [Close(f"VERSION: the peer chose {body.version}, only {VERSION} is spoken here")]
        self.session_id = body.session_id
        self._heartbeat_ms = body.heartbeat_s * 1_000
        return self._up(now)

    def _up(self, now: Now) -> list[Effect]:
        self.state = LinkState.UP
        # The first one anywhere within the interval: thousands of links that came up together beat apart.
        self._beat_ms = now.mono_ms + draw(self._heartbeat_ms, self._seed, "beat", self.peer, self.session_id)
        return [Entered(LinkState.UP, f"session {self.session_id}"), Resync("a new session"), *self._flow(now)]

    def _message(self, now: Now, message: Message) -> list[Effect]:
        if message.dst != self.node and not message.dst.startswith("esa:"):
            text = f"dst: this is {self.node}, not {message.dst}"
            return [self._reply(now, message.id, refusal(Code.UNKNOWN_ESA, text))]
        verdict = self._intake.judge(message, now)
        if verdict is True:
            return [Deliver(message)]
        if verdict is False:
            return []
        if verdict.status is AckStatus.OK:
            self.again_total += 1
        else:
            self.refused_total += 1
            self.refused_by[verdict.code or Code.INTERNAL] += 1
        return [self._reply(now, message.id, verdict)]

    def _acknowledged(self, now: Now, message_id: str, ack: Ack) -> list[Effect]:
        if message_id == self._hello_id and self.state is LinkState.HELLO and ack.status is not AckStatus.OK:
            return [Close(f"the peer refuses the greeting: {ack.code}: {ack.detail}")]
        done = self._outbox.answered(message_id, ack, now.mono_ms)
        return [*([Answered(message_id, ack)] if done else []), *self._flow(now)]

    def _settle(self, now: Now, message_id: str, answer: Ack) -> list[Effect]:
        if not self._intake.answered(message_id, answer):
            return []
        self.refused_total += answer is not OK
        # Without a link the answer goes out when the peer asks again.
        return [] if self.state is LinkState.DOWN else [self._reply(now, message_id, answer)]

    def _flow(self, now: Now) -> list[Effect]:
        moves = self._outbox.moves(now.mono_ms, up=self.state in (LinkState.UP, LinkState.STALE))
        failed = [Answered(message_id, None, cause) for message_id, cause in moves.failed]
        return [*failed, *(Transmit(replace(one, ts_ms=now.utc_ms), ahead=False) for one in moves.send)]

    def _reply(self, now: Now, corr: str, ack: Ack) -> Transmit:
        return self._say(now, ack, corr)

    def _say(self, now: Now, body: Body, corr: str = "") -> Transmit:
        said = Message(id=self._uuid(), ts_ms=now.utc_ms, src=self.node, dst=self.peer, body=body, corr=corr)
        return Transmit(said, ahead=True)

    def _uuid(self) -> str:
        self._drawn += 1
        drawn = bits(self._seed, "id", self.node, self.peer, self._drawn)
        # Version 4, variant of RFC 9562.
        text = f"{drawn & ~(0xF << 76 | 3 << 62) | 4 << 76 | 2 << 62:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _stale_ms(self) -> int:
        return 2 * self._heartbeat_ms + self._heartbeat_ms // 4


def _earlier(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)
