"""Whether a message that arrived is handed on: its rate, its age, its clock, and whether it was here before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scowl_edge.drivers.flex.session_seen import OK, Seen, SeenIds, digest
from scowl_edge.drivers.flex.session_timing import Now, Timers
from scowl_edge.model.exchange import (
    Ack,
    Answered,
    Body,
    Cancel,
    CapacityGrant,
    CapacityRequest,
    Code,
    Constraint,
    Limit,
    Message,
    Override,
    Select,
)
from scowl_edge.model.flexibility import OfferSet

BOUND_TO_TIME: tuple[type[Body], ...] = (
    Select,
    Cancel,
    Limit,
    Override,
    Constraint,
    CapacityRequest,
    CapacityGrant,
    OfferSet,
)
"""What a peer with a wrong clock would mean for another moment than it says."""
_COST_BYTES = 16_384
"""So many bytes count as one message more."""
BAD_FRAME_COST = 5
IDS_EACH = 8
"""Ids of messages that are known at least, for each appliance that a peer speaks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a peer may send."""

    per_s: int = 100
    """Messages; a long one counts for several."""
    burst: int = 1_000
    pending: int = 1_024
    """Messages that were handed on and are not stored; more than any peer has under way at a time."""

    def times(self, appliances: int) -> Rate:
        """That of a peer who speaks for so many: a selection a second for each of them, and what it is answered."""
        return replace(
            self,
            per_s=self.per_s + 3 * appliances,
            burst=self.burst + 3 * appliances,
            pending=self.pending + appliances,
        )


class Intake:
    """One peer's messages, connections come and go."""

    def __init__(self, timers: Timers, rate: Rate) -> None:
        self._timers = timers
        self._rate = self._usual = rate
        self._tokens_milli = rate.burst * 1_000
        self._filled_ms: int | None = None
        self._pending = 0
        self._right_ms: int | None = None
        self.seen = SeenIds(keep_ms=timers.seen_ms + timers.skew_ms)
        self.skew_ms = 0
        """Of the peer's clock, by its last frame: + is ahead. What the frame spent on its way counts as behind."""

    def carries(self, appliances: int) -> None:
        """The peer speaks for so many appliances."""
        rate = self._usual.times(appliances)
        self._tokens_milli += max(0, rate.burst - self._rate.burst) * 1_000
        self._rate = rate
        # Ids of some seconds: one that is forgotten while others of its moment are on their way would shut them out.
        self.seen.most = max(self.seen.most, IDS_EACH * appliances)

    def connected(self) -> None:
        """A new connection: the peer's clock is judged anew."""
        self._right_ms = None

    def clock(self, ts_ms: int, now: Now) -> None:
        """Every frame tells something of the peer's clock."""
        self.skew_ms = ts_ms - now.utc_ms
        if abs(self.skew_ms) <= self._timers.skew_ms:
            self._right_ms = now.mono_ms

    def spend(self, size: int, now: Now, *, messages: int = 1) -> int:
        """Takes a frame from the peer's allowance. Returns 0, or in how many ms there would be enough."""
        cost = messages + size // _COST_BYTES
        lack_ms = self.lack_ms(now, cost)
        if not lack_ms:
            self._tokens_milli -= cost * 1_000
        return lack_ms

    def lack_ms(self, now: Now, cost: int = 1) -> int:
        """In how many ms the peer may send so much; 0: now."""
        if self._filled_ms is not None:
            gained = (now.mono_ms - self._filled_ms) * self._rate.per_s
            self._tokens_milli = min(self._rate.burst * 1_000, self._tokens_milli + gained)
        self._filled_ms = now.mono_ms
        return max(0, -((self._tokens_milli - cost * 1_000) // self._rate.per_s))

    def judge(self, message: Message, now: Now) -> Ack | bool:
        """True: hand it on. False: say nothing yet. Else the answer."""
        found = digest(message)
        known, answer = self.seen.look(message, found)
        if known is Seen.AGAIN:
            return answer or OK
        if known is Seen.PENDING:
            return False
        if known is Seen.OTHER:
            return refusal(Code.DUPLICATE_ID, "id: was that of a message with another body; give each its own")
        fault = self._age(message, now, known) or self._clock(message, now)
        if fault is not None:
            return fault
        if self._pending >= self._rate.pending:
            return refusal(Code.BUSY, f"{self._pending} messages are not stored yet", retry_after_s=1)
        self.seen.delivered(message, found)
        self.seen.tidy(now.utc_ms, now.utc_ok)
        self._pending += 1
        return True

    def answered(self, message_id: str, answer: Ack) -> bool:
        """The answer to a message that was handed on; a temporary one lets it come again. False if none waits."""
        if not self.seen.answered(message_id, answer):
            return False
        self._pending -= 1
        return True

    def remember(self, past: Iterable[Answered], floor_ms: int, now: Now) -> None:
        """What was answered before a restart, oldest first; of until `floor_ms` something may be missing."""
        self.seen.remember(past, floor_ms, now.utc_ms, now.utc_ok)

    def _age(self, message: Message, now: Now, known: Seen) -> Ack | None:
        if known is Seen.FORGOTTEN:
            return refusal(Code.EXPIRED, "ts: as old as messages whose ids are forgotten; send it with a new id and ts")
        most_ms = self._timers.seen_ms + self._timers.skew_ms
        if now.utc_ok and message.ts_ms < now.utc_ms - most_ms:
            return refusal(Code.EXPIRED, f"ts: {(now.utc_ms - message.ts_ms) // 1000} s old; too old to be known again")
        if now.utc_ok and message.ts_ms > now.utc_ms + most_ms:
            return self._skewed(message, now)
        return None

    def _clock(self, message: Message, now: Now) -> Ack | None:
        if not now.utc_ok or not isinstance(message.body, BOUND_TO_TIME):
            return None
        skew_ms = message.ts_ms - now.utc_ms
        if abs(skew_ms) <= self._timers.skew_ms:
            return None
        # A frame that was long on its way looks as if it came from a clock that is behind; one that showed the right
        # time a moment ago is not. Nothing makes a clock look as if it were ahead.
        recent_ms = 2_000 * self._timers.heartbeat_s
        if skew_ms < 0 and self._right_ms is not None and now.mono_ms - self._right_ms <= recent_ms:
            return None
        return self._skewed(message, now)

    def _skewed(self, message: Message, now: Now) -> Ack:
        skew_ms = message.ts_ms - now.utc_ms
        side = "ahead" if skew_ms > 0 else "behind"
        return refusal(
            Code.CLOCK_SKEW, f"ts: {abs(skew_ms)} ms {side} of the receiver's clock; synchronise before sending again"
        )


def refusal(code: Code, detail: str, *, retry_after_s: int | None = None) -> Ack:
    """An acknowledgement that says no."""
    return Ack(status=code.status, code=code, detail=detail[:200], retry_after_s=retry_after_s)
