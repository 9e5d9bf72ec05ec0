"""All selections of a provider, from the question to the settled account: promised, delivered, trusted or not."""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.dsr.delivery import Delivery, Finding
from scowl_edge.dsr.forecast import whole
from scowl_edge.dsr.goal import Terms
from scowl_edge.dsr.settlement import Account, Settlement
from scowl_edge.dsr.trust import Trust
from scowl_edge.model.exchange import SelectStatus
from scowl_edge.model.flexibility import Pick, Profile, SelectionState
from scowl_edge.model.profile import Timeline, of_elements
from scowl_edge.model.reason import Reason

_NEVER_GRANTED = (
    SelectionState.PENDING,
    SelectionState.REJECTED,
    SelectionState.EXPIRED,
    SelectionState.WITHDRAWN,
)


@dataclass(slots=True, kw_only=True)
class Asked:
    """A selection that was asked for, until it is settled."""

    account: Account
    pick: Pick
    profile: Profile
    beside: Timeline
    """What the appliance is expected to do when it does not run this."""
    goal: int
    random_offset_max_s: int
    booked: bool = False
    """Granted, and so in the books."""
    cancelling: bool = False
    why: str = ""
    """Why it was selected, in words; empty where a person did it, or nobody said."""


@dataclass(slots=True, kw_only=True)
class Checked:
    """What a look at deliveries found."""

    findings: list[Finding] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    """Selections whose effect the meter shows."""
    reasons: list[Reason] = field(default_factory=list)
    """Why somebody is trusted less."""
    looked: int = 0
    more: bool = False
    """There is more to look at now."""


@dataclass(slots=True, kw_only=True)
class Portfolio:
    """Selections, their books, and what they taught."""

    asked: dict[str, Asked] = field(default_factory=dict)
    """By selection, until it is settled."""
    books: Settlement = field(default_factory=Settlement)
    trust: Trust = field(default_factory=Trust)
    delivery: Delivery = field(default_factory=Delivery)
    checked_ms: dict[str, int] = field(default_factory=dict)
    """By selection: end of the last slot that was looked at."""

    def accounts(self) -> list[Account]:
        """Of all selections that were granted, or may still be; one that is taken back is not built upon."""
        open_ones = [a.account for a in self.asked.values() if not a.cancelling]
        return open_ones + [a for s, a in self.books.accounts.items() if s not in self.asked]

    def changed(self, status: SelectStatus, wall_ms: int | None) -> None:
        """Keeps the books in step with a selection."""
        asked = self.asked.get(status.select_id)
        if asked is None:
            return
        if not asked.booked and status.state not in _NEVER_GRANTED:
            asked.account, asked.booked = self.books.open(asked.account), True
        if not asked.booked:
            if status.state.terminal:
                del self.asked[status.select_id]
            return
        if status.applied_offset_s:
            self._delay(asked, status.applied_offset_s)
        if wall_ms is not None:
            self.books.state(status.select_id, status.state, wall_ms)
            asked.account = self.books.accounts[status.select_id]

    def gone(self, esa_id: str, wall_ms: int) -> None:
        """The appliance left: what it still owes stays in the books."""
        for select_id in [s for s, a in self.asked.items() if a.pick.esa_id == esa_id]:
            if self.asked[select_id].booked:
                self.books.state(select_id, SelectionState.ABORTED, wall_ms)
            else:
                del self.asked[select_id]

    def check(self, terms: Terms, wall_ms: int) -> Checked:
        """Looks at the slots that ended, of at most `terms.checks` selections, and settles what ended long enough ago.

        A slot is judged when its reports have had time to come.
        """
        found = Checked()
        slot_end = (wall_ms - terms.late_ms) // self.books.slot_ms * self.books.slot_ms
        for select_id in sorted(s for s, a in self.asked.items() if a.booked):
            account = self.books.accounts[select_id]
            if slot_end <= self.checked_ms.get(select_id, account.begin_ms):
                continue
            if found.looked == terms.checks:
                found.more = True
                break
            found.looked += 1
            self.checked_ms[select_id] = slot_end
            found.findings += self.delivery.check(self.books, select_id, terms.tolerance, slot_end)
            if self.books.effective(select_id, terms.tolerance, slot_end):
                found.measured.append(select_id)
            if wall_ms < account.end_ms + terms.settle_after_ms:
                continue
            self.books.close(select_id)
            why = self._learn(account, terms)
            found.reasons += [] if why is None else [why]
            self.delivery.forget(select_id)
            del self.asked[select_id], self.checked_ms[select_id]
        self.books.forget(wall_ms - terms.keep_ms)
        return found

    def _learn(self, account: Account, terms: Terms) -> Reason | None:
        if account.state is SelectionState.OVERRIDDEN:
            # Its user's right, and no lie of the appliance; the books show it all the same.
            return None
        slots = tuple(s.amounts for s in self.books.slots(account.select_id))
        return self.trust.settled(account.esa_id, slots, terms.conduct)

    def _delay(self, asked: Asked, offset_s: int) -> None:
        """The promise moves by the delay that was drawn."""
        pick, account = asked.pick, asked.account
        own = of_elements(asked.profile.elements, pick.start_ms + 1000 * offset_s, pick.setpoints_w)
        end = max(account.end_ms, own.end_ms)
        self.books.move(account.select_id, whole(own.over(asked.beside), account.begin_ms, end), end)
        asked.account = self.books.accounts[account.select_id]
