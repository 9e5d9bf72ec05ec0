"""Which messages a peer has sent in the last day: the same one again is answered again, and not delivered again.

What was answered with OK is soon kept in sorted packs, 12 bytes an id; all is bounded. A memory that had to forget ids
early takes nothing any more that is as old as what it forgot.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto
from hashlib import blake2b
from itertools import islice
from uuid import UUID

import numpy as np

from scowl_edge.drivers.flex.envelope import frame
from scowl_edge.model.exchange import Ack, AckStatus, Answered, Message

OK = Ack(status=AckStatus.OK)
DIGEST_BYTES = 8
ID_BYTES = 12
"""What an id takes in a pack."""
FRESH = 64
"""Ids that are kept one by one, with their digest whole, before they go into a pack."""
PACK_MOST = 8_192
MOST_REFUSED = 64
"""Refusals that are remembered with their words; what was refused did nothing, so the oldest may be judged anew."""
MOST_AGED = 4
"""Of those kept one by one that are looked at in one call: more than come meanwhile."""
_MIX = 0x9E3779B97F4A7C15


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


@dataclass(frozen=True, slots=True)
class _Entry:
    digest: bytes
    ts_ms: int
    """The sender's stamp; the age counts from it, here as in the check of what is too old."""


class _Pack:
    """Ids that were answered with OK, in the order of their keys."""

    __slots__ = ("digests", "keys", "newest_ms", "oldest_ms")

    def __init__(self, keys: array[int], digests: array[int], oldest_ms: int, newest_ms: int) -> None:
        order = np.argsort(np.frombuffer(keys, np.uint64), kind="stable")
        self.keys: array[int] = array("Q", np.frombuffer(keys, np.uint64)[order].tobytes())
        self.digests: array[int] = array("I", np.frombuffer(digests, np.uint32)[order].tobytes())
        self.oldest_ms, self.newest_ms = oldest_ms, newest_ms

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, key: int) -> int | None:
        """What is kept of the digest of this id."""
        at = bisect_left(self.keys, key)
        return self.digests[at] if at < len(self.keys) and self.keys[at] == key else None


def digest(message: Message) -> bytes:
    """Of all that a sender may not change when it sends a message again: not its stamp, not its number."""
    return blake2b(frame(replace(message, ts_ms=0), 0), digest_size=DIGEST_BYTES).digest()


class SeenIds:
    """The memory of one peer's ids, oldest first."""

    def __init__(self, *, keep_ms: int, most: int = 65_536) -> None:
        """`keep_ms` after a message's stamp its id is known."""
        self.keep_ms = keep_ms
        self.most = most
        self.forgotten_total = 0
        """Ids that gave way to newer ones before their day was over."""
        self._pending: dict[bytes, _Entry] = {}
        self._refused: dict[bytes, tuple[_Entry, Ack]] = {}
        self._fresh: dict[bytes, _Entry] = {}
        self._packs: list[_Pack] = []
        self._packed = 0
        self._floor_ms = 0

    def __len__(self) -> int:
        return len(self._pending) + len(self._refused) + len(self._fresh) + self._packed

    def look(self, message: Message, found: bytes) -> tuple[Seen, Ack | None]:
        """What is known of a message with this digest, and the answer that it got."""
        key = _key(message.id)
        if (pending := self._pending.get(key)) is not None:
            return (Seen.PENDING if pending.digest == found else Seen.OTHER), None
        if (refused := self._refused.get(key)) is not None:
            return (Seen.AGAIN, refused[1]) if refused[0].digest == found else (Seen.OTHER, None)
        if (fresh := self._fresh.get(key)) is not None:
            return (Seen.AGAIN, OK) if fresh.digest == found else (Seen.OTHER, None)
        if self._packs:
            number, short = _number(key), _short(found)
            for pack in reversed(self._packs):
                if (kept := pack.find(number)) is not None:
                    return (Seen.AGAIN, OK) if kept == short else (Seen.OTHER, None)
        return (Seen.FORGOTTEN if message.ts_ms <= self._floor_ms else Seen.NEW), None

    def delivered(self, message: Message, found: bytes) -> None:
        """A new message was handed on; its answer comes later."""
        self._pending[_key(message.id)] = _Entry(found, message.ts_ms)

    def awaited(self, message_id: str) -> tuple[bytes, int] | None:
        """(digest, stamp) of a message that waits for its answer; None if none does."""
        entry = self._pending.get(_key(message_id))
        return None if entry is None else (entry.digest, entry.ts_ms)

    def answered(self, message_id: str, answer: Ack) -> bool:
        """Keeps the answer, unless it is one for now; False where no such message waits for one."""
        key = _key(message_id)
        entry = self._pending.pop(key, None)
        if entry is None:
            return False
        self._keep(key, entry, answer)
        return True

    def remember(self, past: Iterable[Answered], floor_ms: int, utc_ms: int, utc_ok: bool) -> None:
        """What was answered before a restart, oldest first; what was answered until `floor_ms` may not be among it."""
        for one in past:
            key = _key(one.message_id)
            over = utc_ok and one.ts_ms + self.keep_ms < utc_ms
            if over or key in self._fresh or key in self._refused:
                continue
            answer = OK if one.code is None else Ack(status=one.code.status, code=one.code, detail=one.detail)
            self._keep(key, _Entry(one.digest, one.ts_ms), answer)
            if len(self._fresh) >= 4 * FRESH:
                self._pack()
        self._floor_ms = max(self._floor_ms, floor_ms)
        self.tidy(utc_ms, utc_ok)

    def tidy(self, utc_ms: int, utc_ok: bool) -> None:
        """Lets go what is over, and what is too much."""
        if utc_ok:
            self._age(utc_ms)
        if len(self._fresh) >= min(FRESH, max(1, self.most // 4)):
            self._pack()
        while self._packs:
            pack = self._packs[0]
            if not (utc_ok and pack.newest_ms + self.keep_ms < utc_ms):
                if len(self) <= self.most:
                    return
                self.forgotten_total += len(pack)
                if utc_ok:
                    # A peer whose clock runs ahead must not shut itself out once it is set right.
                    self._floor_ms = max(self._floor_ms, min(pack.newest_ms, utc_ms))
            del self._packs[0]
            self._packed -= len(pack)

    def _age(self, utc_ms: int) -> None:
        """Of those that are kept one by one."""
        for key, entry in list(islice(self._fresh.items(), MOST_AGED)):
            if entry.ts_ms + self.keep_ms < utc_ms:
                del self._fresh[key]
        for key, (entry, _) in list(islice(self._refused.items(), MOST_AGED)):
            if entry.ts_ms + self.keep_ms < utc_ms:
                del self._refused[key]

    def _keep(self, key: bytes, entry: _Entry, answer: Ack) -> None:
        if answer.status is AckStatus.OK:
            self._fresh[key] = entry
        elif answer.status is not AckStatus.TEMPORARY_ERROR:
            self._refused[key] = (entry, answer)
            if len(self._refused) > MOST_REFUSED:
                del self._refused[next(iter(self._refused))]

    def _pack(self) -> None:
        """Those kept one by one become a pack; packs of a size become one, so that a day is in few of them."""
        entries = self._fresh.values()
        stamps = [entry.ts_ms for entry in entries]
        new = _Pack(
            array("Q", map(_number, self._fresh)),
            array("I", [_short(entry.digest) for entry in entries]),
            min(stamps),
            max(stamps),
        )
        self._packed += len(new)
        self._fresh = {}
        while self._packs and self._fits(self._packs[-1], new):
            old = self._packs.pop()
            oldest_ms, newest_ms = min(old.oldest_ms, new.oldest_ms), max(old.newest_ms, new.newest_ms)
            new = _Pack(old.keys + new.keys, old.digests + new.digests, oldest_ms, newest_ms)
        self._packs.append(new)

    def _fits(self, old: _Pack, new: _Pack) -> bool:
        span_ms = max(old.newest_ms, new.newest_ms) - min(old.oldest_ms, new.oldest_ms)
        size = len(old) + len(new)
        # Packs go whole: none may be a large part of what is allowed, nor of a day.
        return len(old) <= 2 * len(new) and size <= min(PACK_MOST, self.most // 4) and span_ms <= self.keep_ms // 12


def _key(message_id: str) -> bytes:
    return UUID(message_id).bytes


def _number(key: bytes) -> int:
    """64 bits of an id: among a million ids of a peer a new one is taken for another by a chance of 1 in 10^13."""
    return (int.from_bytes(key[:8]) * _MIX + int.from_bytes(key[8:])) & 0xFFFF_FFFF_FFFF_FFFF


def _short(found: bytes) -> int:
    return int.from_bytes(found[:4])
