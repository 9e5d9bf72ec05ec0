"""What each unit of a line still owes: replies that may come although nobody waits for them any more.

This outlives a connection: a converter hands a late reply to whoever is connected by then.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from scowl_edge.devices.declaration import Canary, ModbusLink
from scowl_edge.drivers.modbus.pdu import read_request
from scowl_edge.drivers.modbus.rtu import CHECKS, Shape, shape

PROVE_EVERY_S = 10.0
"""So often a unit that answers checks is checked without a cause: an order of replies that shifted unseen ends then."""
PROVE_MUTE_EVERY_S = 600.0
"""The same for a unit that never answered a check: it costs a time-out."""
_IGNORED_BEFORE_MUTE = 3
_REMEMBERED = 64
"""Replies kept for each unit, to see one that comes again."""


@dataclass(slots=True)
class Account:
    """What is known of the order of one unit's replies. All times are those of the event loop, in seconds."""

    owes_until_s: float
    """Until then a reply to a request that was given up may come."""
    shapes: set[Shape] = field(default_factory=set)
    """Of the replies owed."""
    anything: bool = True
    """Replies of any shape may come: nobody knows what was asked before this process began."""
    check_owed_until_s: float = 0.0
    """Until then the answer to a check that was given up may come, which only its number tells from another's."""
    barred_until_s: float = 0.0
    """No request until then: it owes replies, and no check can tell when they are over."""
    doubted_until_s: float = 0.0
    """It sent what nobody asked for, so each reply is checked afterwards."""
    proven_s: float = 0.0
    """When a check last showed the order to be right."""
    in_order: bool = True
    """No request was given up since then. A unit may keep a reply for as long as it is asked nothing else."""
    checks_answered: int = 0
    checks_unanswered: int = 0
    refuses_query: bool = False
    """It knows no FC 8, whose answer would carry a number."""
    turn: int = 0
    """Which check such a unit gets next."""
    last: OrderedDict[bytes, tuple[bytes, float]] = field(default_factory=OrderedDict)
    """Last reply to each request, and strays; and when each came."""

    def owes(self, now_s: float) -> bool:
        """Whether a reply may come that nobody waits for."""
        if self.owes_until_s <= now_s:
            self.shapes.clear()
            self.anything = False
            return False
        return True

    def given_up(self, request: bytes, until_s: float) -> None:
        """A request whose reply may still come."""
        if request[0] in CHECKS:
            self.check_owed_until_s = max(self.check_owed_until_s, until_s)
            return
        self.owes_until_s = max(self.owes_until_s, until_s)
        self.in_order = False
        self.shapes.add(shape(request))

    @property
    def ignores_checks(self) -> bool:
        """Whether it seems to know no check at all: each would cost a time-out."""
        return not self.checks_answered and self.checks_unanswered >= _IGNORED_BEFORE_MUTE

    @property
    def knows_no_number(self) -> bool:
        """Whether no check was ever answered with its number."""
        return self.refuses_query or (not self.checks_answered and self.checks_unanswered > 0)

    def proven(self, now_s: float, *, by_canary: bool) -> None:
        """A check was answered: all that was asked before it is over."""
        self.checks_answered += not by_canary
        self.owes_until_s = self.barred_until_s = now_s
        self.shapes.clear()
        self.anything = False
        self.found_in_order(now_s)

    def found_in_order(self, now_s: float) -> None:
        """A reply was shown to be that to its request."""
        self.proven_s, self.in_order = now_s, True

    def due(self, now_s: float) -> bool:
        """Whether it is time for a check though nothing speaks against a reply."""
        if self.ignores_checks:
            return now_s - self.proven_s > PROVE_MUTE_EVERY_S
        return not self.in_order or now_s - self.proven_s > PROVE_EVERY_S

    def remember(self, request: bytes, reply: bytes, now_s: float) -> None:
        """Notes a reply that was taken."""
        self.last[request] = reply, now_s
        self.last.move_to_end(request)
        if len(self.last) > _REMEMBERED:
            self.last.popitem(last=False)

    def remember_stray(self, reply: bytes, now_s: float) -> None:
        """Notes a reply that was not taken: it may come again too."""
        # No request begins so.
        self.remember(b"\0" + reply, reply, now_s)

    def seen_before(self, request: bytes, reply: bytes, since_s: float) -> bool:
        """Whether a reply came a short while ago as another's: it may be that one again.

        Two requests whose replies are alike and were found to be so are not doubted again.
        """
        own = self.last.get(request)
        if own is not None and own[0] == reply:
            return False
        return any(pdu == reply and at_s >= since_s for pdu, at_s in self.last.values())


class OwedReplies:
    """The accounts of a link's units. One object a link, made once and handed to each of its connections."""

    def __init__(self, link: ModbusLink, *, rate: float) -> None:
        self.late_s = link.late_reply_ms / 1000 / rate
        """How long after its time-out a reply may come."""
        self._first_s = (link.timeout_ms + link.late_reply_ms) / 1000 / rate
        self._born_s = -1.0
        self._units = {device.unit for device in link.devices}
        self._accounts: dict[int, Account] = {}
        self._canaries: dict[int, tuple[bytes, Canary]] = {}
        for device in link.devices:
            if device.canary is not None:
                request = read_request(device.canary.table, device.canary.address, 1)
                self._canaries.setdefault(device.unit, (request, device.canary))

    def opened(self, now_s: float) -> None:
        """A connection is there. With the first one begins the time in which what others asked for may come."""
        if self._born_s < 0:
            self._born_s = now_s

    def of(self, unit: int) -> Account:
        """The account of a unit."""
        account = self._accounts.get(unit)
        if account is None:
            account = self._accounts[unit] = Account(self._born_s + self._first_s)
        return account

    def knows(self, unit: int) -> bool:
        """Whether anything is ever asked of a unit."""
        return unit in self._units or unit in self._accounts

    def canary(self, unit: int) -> tuple[bytes, Canary] | None:
        """The request that reads a unit's canary, and what it must bring."""
        return self._canaries.get(unit)

    def repeated(self, unit: int, now_s: float) -> None:
        """A reply came twice."""
        self.of(unit).doubted_until_s = now_s + self.late_s

    def stray(self, unit: int, reply: bytes, now_s: float) -> None:
        """A whole frame came that answers nothing under way."""
        if not self.knows(unit):
            return
        account = self.of(unit)
        if reply[0] & 0x7F in CHECKS:
            # The answer to a check, though late, is never taken for anything else.
            account.checks_answered += 1
            if account.check_owed_until_s <= now_s:
                account.doubted_until_s = now_s + self.late_s
            return
        account.remember_stray(reply, now_s)
        until_s = now_s + self.late_s
        if not account.owes(now_s):
            account.doubted_until_s = until_s
            return
        account.owes_until_s = max(account.owes_until_s, until_s)
        if account.barred_until_s > now_s:
            account.barred_until_s = account.owes_until_s
