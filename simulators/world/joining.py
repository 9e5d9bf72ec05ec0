"""Peers that come and go: they ask for a place, are told which, ask again when nothing comes back, and leave.

Joins and leaves of a gateway are numbered together, so that an old leave cannot undo a newer join.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scowl_edge.model.batch import ROWS, BatchKind, Seated
from simulators.world.peers import Peers
from simulators.world.trouble import MINUTE_MS

Identity = tuple[int, int]
"""Two halves, signed."""
Send = Callable[[int, BatchKind, bytes], None]
"""(gateway, kind, rows)"""
AGAIN_MS = 3 * MINUTE_MS
MOST_TRIES = 5
_DONE, _TAKEN = 0, 1


@dataclass(slots=True, kw_only=True)
class Comer:
    """Somebody who has asked for a place."""

    identity: Identity
    zone: int
    klass: int
    nominal: int
    gateway: int
    asked_ms: int
    tries: int = 1


class Joining:
    """Who is a member, who wants to be, and who is on the way out."""

    def __init__(self, peers: Peers, members: dict[Identity, tuple[int, int]], send: Send) -> None:
        """`members` gives (first place, places) of those who are there from the start."""
        self.peers, self.members = peers, members
        self.waiting: dict[Identity, Comer] = {}
        self.counts: Counter[str] = Counter()
        self._send = send
        self._leaving: list[tuple[int, Identity, int]] = []
        """(when to say it again, who, through which gateway)"""

    def ask(self, comer: Comer) -> None:
        """Asks for a place."""
        self.waiting[comer.identity] = comer
        self._say_join(comer)

    def twin(self, identity: Identity, like: Comer) -> None:
        """Somebody asks under an identity that is a member's, and gives up when refused."""
        self._say_join(Comer(**{name: getattr(like, name) for name in like.__slots__} | {"identity": identity}))

    def leave(self, identity: Identity, gateway: int, now_ms: int) -> None:
        """A member goes: it says so three times, since nobody answers."""
        first, count = self.members.pop(identity)
        self.peers.vacate(first, count)
        self._say_leave(identity, gateway)
        self._leaving += [(now_ms + k * AGAIN_MS, identity, gateway) for k in (1, 2)]

    def minute(self, now_ms: int) -> None:
        """Asks again where nothing came back."""
        for at_ms, identity, gateway in [entry for entry in self._leaving if entry[0] <= now_ms]:
            self._leaving.remove((at_ms, identity, gateway))
            if identity not in self.members and identity not in self.waiting:
                self._say_leave(identity, gateway)
        for comer in list(self.waiting.values()):
            if now_ms - comer.asked_ms >= AGAIN_MS:
                self._again(comer, now_ms)

    def heed(self, seated: Seated, now_ms: int) -> None:
        """An answer reaches those who asked."""
        rows = zip(
            seated.high.tolist(), seated.low.tolist(), seated.place.tolist(), seated.outcome.tolist(), strict=True
        )
        for high, low, place, outcome in rows:
            comer = self.waiting.get((high, low))
            if comer is None:
                self.counts["answers to nobody, twins among them"] += 1
            elif outcome == _DONE:
                del self.waiting[comer.identity]
                for other in [i for i, seat in self.members.items() if seat == (place, 1)]:
                    # A tracker that lost its journal's last steps forgot somebody.
                    del self.members[other]
                    self.counts["displaced"] += 1
                self.members[comer.identity] = (place, 1)
                self.peers.settle(place, comer.nominal)
                self.counts["seated"] += 1
            elif outcome == _TAKEN:
                # Somebody else is there under this identity: who asks again in the same words is told the place.
                del self.waiting[comer.identity]
                self.counts["refused as taken"] += 1
            else:
                del self.waiting[comer.identity]
                self.counts["found no room"] += 1

    def _again(self, comer: Comer, now_ms: int) -> None:
        comer.tries += 1
        comer.asked_ms = now_ms
        if comer.tries > MOST_TRIES:
            del self.waiting[comer.identity]
            self._say_leave(comer.identity, comer.gateway)
            self.counts["gave up"] += 1
        else:
            self._say_join(comer)

    def _say_join(self, comer: Comer) -> None:
        row = np.zeros(1, ROWS[BatchKind.JOIN])
        halves = np.array(comer.identity, np.int64).view(np.uint64)
        row[0] = (halves[0], halves[1], comer.zone, comer.klass, comer.nominal)
        self._send(comer.gateway, BatchKind.JOIN, row.tobytes())

    def _say_leave(self, identity: Identity, gateway: int) -> None:
        self._send(gateway, BatchKind.LEAVE, np.array(identity, np.int64).tobytes())
