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
_DONE, _TAKEN, _UNKNOWN, _LEFT, _NOT_YOURS = 0, 1, 2, 6, 7


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


@dataclass(slots=True, kw_only=True)
class Goer:
    """Somebody who has said that it leaves."""

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
        self.leaving: dict[Identity, Goer] = {}
        """Those whose leave nobody has confirmed."""
        self._brought: dict[Identity, int] = {}
        """Gateways that brought members; who was there from the start may leave through any."""
        self._twins: dict[Identity, int] = {}
        """Gateways that asked under an identity that is a member's."""

    def ask(self, comer: Comer) -> None:
        """Asks for a place."""
        self.waiting[comer.identity] = comer
        self._say_join(comer)

    def twin(self, identity: Identity, like: Comer) -> None:
        """Somebody asks under an identity that is a member's; refused, it says once that this one leaves."""
        self._twins[identity] = like.gateway
        self._say_join(Comer(**{name: getattr(like, name) for name in like.__slots__} | {"identity": identity}))

    @property
    def newcomers(self) -> list[Identity]:
        """Members who were not there from the start."""
        return list(self._brought)

    def leave(self, identity: Identity, gateway: int, now_ms: int) -> None:
        """A member goes, through the gateway that brought it; through the given one if it was there from the start."""
        first, count = self.members.pop(identity)
        self.peers.vacate(first, count)
        self._go(identity, self._brought.pop(identity, gateway), now_ms)

    def gateway_of(self, identity: Identity, otherwise: int) -> int:
        """Where the answer to an identity goes: to whoever asked."""
        asked = self.waiting.get(identity) or self.leaving.get(identity)
        return asked.gateway if asked is not None else self._twins.get(identity, otherwise)

    def minute(self, now_ms: int) -> None:
        """Asks again where nothing came back."""
        for identity, goer in list(self.leaving.items()):
            if now_ms - goer.asked_ms < AGAIN_MS:
                continue
            goer.tries, goer.asked_ms = goer.tries + 1, now_ms
            if goer.tries > MOST_TRIES:
                del self.leaving[identity]
                self.counts["left unheard"] += 1
            else:
                self._say_leave(identity, goer.gateway)
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
            if outcome in (_UNKNOWN, _LEFT, _NOT_YOURS):
                if outcome == _NOT_YOURS:
                    self.counts["leaves refused as another's"] += 1
                elif self.leaving.pop((high, low), None) is not None:
                    self.counts["left"] += 1
            elif comer is None:
                self.counts["answers to nobody, twins among them"] += 1
                gateway = self._twins.pop((high, low), None)
                if gateway is None:
                    continue
                if outcome == _DONE:
                    # The one whose identity it was has gone meanwhile: it is not wanted that way.
                    self._go((high, low), gateway, now_ms)
                elif self._brought.get((high, low), gateway) != gateway:
                    # It wants the other one out of its way.
                    self._say_leave((high, low), gateway)
            elif outcome == _DONE:
                del self.waiting[comer.identity]
                for other in [i for i, seat in self.members.items() if seat == (place, 1)]:
                    # A tracker that lost its journal's last steps forgot somebody.
                    del self.members[other]
                    self._brought.pop(other, None)
                    self.counts["displaced"] += 1
                self.members[comer.identity] = (place, 1)
                self._brought[comer.identity] = comer.gateway
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
            self._go(comer.identity, comer.gateway, now_ms)
            self.counts["gave up"] += 1
        else:
            self._say_join(comer)

    def _go(self, identity: Identity, gateway: int, now_ms: int) -> None:
        self.leaving[identity] = Goer(gateway=gateway, asked_ms=now_ms)
        self._say_leave(identity, gateway)

    def _say_join(self, comer: Comer) -> None:
        row = np.zeros(1, ROWS[BatchKind.JOIN])
        halves = np.array(comer.identity, np.int64).view(np.uint64)
        row[0] = (halves[0], halves[1], comer.zone, comer.klass, comer.nominal)
        self._send(comer.gateway, BatchKind.JOIN, row.tobytes())

    def _say_leave(self, identity: Identity, gateway: int) -> None:
        self._send(gateway, BatchKind.LEAVE, np.array(identity, np.int64).tobytes())
