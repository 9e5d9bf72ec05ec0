"""Which messages a peer has sent in the last day: the same one again is answered again, and not delivered again.

The memory is bounded. One that had to forget ids early takes nothing any more that is as old as what it forgot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from hashlib import blake2b
from uuid import UUID

from scowl_edge.drivers.flex.envelope import content_bytes
from scowl_edge.model.exchange import Ack, AckStatus, Message

OK = Ack(status=AckStatus.OK)
ENTRY_BYTES = 320
"""What an id takes in memory, its answer's text apart."""
DIGEST_BYTES = 12


class Seen(Enum):
    """What is known of a message that arrived."""

    NEW = auto()
    PENDING = auto()
    """Delivered, and not yet stored."""
    AGAIN = auto()
    """Answered before."""
    OTHER = auto()
    """Its id was that of another message."""
    FORGOTTEN = auto()
    """As old as ids that had to be forgotten: it may have been here before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenId:
    """An id as it is kept."""

    id: str
    digest: bytes
    ts_ms: int
    """The sender's stamp; the age counts from it, here as in the check of what is too old."""
    answer: Ack


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenState:
    """All that a restart needs; delivered messages that were not stored are not in it."""

    ids: tuple[SeenId, ...] = ()
    floor_ms: int = 0
    """Stamps up to this one may be of messages that were forgotten."""


def digest(message: Message) -> bytes:
    """Of all that a sender may not change when it sends a message again: not its stamp, not its number."""
    return blake2b(content_bytes(message), digest_size=DIGEST_BYTES).digest()


class SeenIds:
    """The memory of one peer's ids, oldest first."""

    def __init__(self, *, keep_ms: int, most: int = 4_096, most_bytes: int = 2 << 20) -> None:
        """`keep_ms` after a message's stamp its id is known."""
        self.keep_ms = keep_ms
        self.most = most
        self.most_bytes = most_bytes
        self.bytes = 0
        self.forgotten_total = 0
        """Ids that gave way to newer ones before their day was over."""
        self._ids: dict[bytes, tuple[bytes, int, Ack | None]] = {}
        self._floor_ms = 0

    def __len__(self) -> int:
        return len(self._ids)

    def look(self, message: Message, found: bytes) -> tuple[Seen, Ack | None]:
        """What is known of a message with this digest, and the answer that it got."""
        known = self._ids.get(_key(message.id))
        if known is None:
            return (Seen.FORGOTTEN if message.ts_ms <= self._floor_ms else Seen.NEW), None
        if known[0] != found:
            return Seen.OTHER, None
        return (Seen.PENDING if known[2] is None else Seen.AGAIN), known[2]

    def delivered(self, message: Message, found: bytes) -> None:
        """A new message was handed on; its answer comes later."""
        self._ids[_key(message.id)] = (found, message.ts_ms, None)
        self.bytes += ENTRY_BYTES

    def answered(self, message_id: str, answer: Ack) -> bool:
        """Keeps the answer; False where no such message waits for one."""
        key = _key(message_id)
        known = self._ids.get(key)
        if known is None or known[2] is not None:
            return False
        self._ids[key] = (known[0], known[1], OK if answer == OK else answer)
        self.bytes += 0 if answer == OK else len(answer.detail)
        return True

    def forget(self, message_id: str) -> None:
        """A message was not taken after all: it may come again."""
        known = self._ids.pop(_key(message_id), None)
        if known is not None:
            self._less(known)

    def tidy(self, utc_ms: int, utc_ok: bool) -> None:
        """Lets go what is over, and what is too much."""
        for _ in range(len(self._ids)):
            key = next(iter(self._ids))
            entry = self._ids[key]
            if entry[2] is None:
                # Its answer is still to come.
                self._ids[key] = self._ids.pop(key)
                continue
            if utc_ok and entry[1] + self.keep_ms < utc_ms:
                pass
            elif len(self._ids) > self.most or self.bytes > self.most_bytes:
                self.forgotten_total += 1
                if utc_ok:
                    # A peer whose clock runs ahead must not shut itself out once it is set right.
                    self._floor_ms = max(self._floor_ms, min(entry[1], utc_ms))
            else:
                return
            del self._ids[key]
            self._less(entry)

    def snapshot(self) -> SeenState:
        """What a restart needs."""
        return SeenState(
            ids=tuple(
                SeenId(id=str(UUID(bytes=key)), digest=found, ts_ms=ts, answer=answer)
                for key, (found, ts, answer) in self._ids.items()
                if answer is not None
            ),
            floor_ms=self._floor_ms,
        )

    def restore(self, state: SeenState) -> None:
        """Goes on from a snapshot."""
        self._ids = {_key(one.id): (one.digest, one.ts_ms, one.answer) for one in state.ids}
        self.bytes = sum(ENTRY_BYTES + len(one.answer.detail) for one in state.ids)
        self._floor_ms = state.floor_ms

    def _less(self, entry: tuple[bytes, int, Ack | None]) -> None:
        self.bytes -= ENTRY_BYTES + (0 if entry[2] is None else len(entry[2].detail))


def _key(message_id: str) -> bytes:
    return bytes.fromhex(message_id.replace("-", ""))
