"""Delivery: while a selection runs, what is measured is held against what was promised."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scowl_edge.dsr.readings import Source
from scowl_edge.dsr.selecting import BAD_SLOTS, Tolerance
from scowl_edge.dsr.settlement import Account, Settlement, SlotAmounts
from scowl_edge.model.reason import Reason, declare

UNDER = declare("under-delivered", "{}: {:W} on average instead of {:W} for {:s}, by the {}; selected {}")
SILENT = declare("delivery-unproven", "{}: nothing measured for {:s} of its selection {}")
DISPUTED = declare("delivery-disputed", "{}: it reports {:W} on average where its meter shows {:W}; selected {}")

_BACK = 2 * BAD_SLOTS + 1
"""Slots that are looked at: of these, some may be holes."""


class Fault(StrEnum):
    """What is wrong with a delivery."""

    UNDER_DELIVERED = "UNDER_DELIVERED"
    UNPROVEN = "UNPROVEN"
    DISPUTED = "DISPUTED"
    """Report and meter contradict each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a delivery that somebody should know."""

    esa_id: str
    select_id: str
    fault: Fault
    why: Reason


@dataclass(slots=True, kw_only=True)
class Delivery:
    """What was found so far; each fault of a selection is told once, until it is mended."""

    told: dict[str, list[Fault]] = field(default_factory=dict)
    """By selection."""

    def check(self, books: Settlement, select_id: str, tolerance: Tolerance, now_utc_ms: int) -> list[Finding]:
        """Judges the slots that have ended; a fault that stands already is not told again.

        A change in the direction that nobody asked counts as under-delivery too; more of what was asked does not.
        """
        account = books.accounts[select_id]
        found: list[Finding] = []
        since_ms = min(now_utc_ms, account.end_ms) - _BACK * books.slot_ms
        by_source = {
            source: list(books.slots(select_id, source, since_ms, now_utc_ms))
            for source, kept in ((Source.REPORT, books.reported), (Source.METER, books.metered))
            if account.esa_id in kept
        }
        for source, slots in by_source.items():
            if (finding := _under(account, slots, source, tolerance)) is not None:
                found.append(finding)
                break
        best = by_source.get(Source.METER) or by_source.get(Source.REPORT)
        if best is None:
            best = list(books.slots(select_id, None, since_ms, now_utc_ms))
        silent_ms = sum(s.amounts.missing_ms for s in best[-BAD_SLOTS:])
        if len(best) >= BAD_SLOTS and all(s.amounts.missing_ms > 0 for s in best[-BAD_SLOTS:]):
            found.append(_finding(account, Fault.UNPROVEN, Reason(SILENT, (account.esa_id, silent_ms, select_id))))
        if len(by_source) == 2 and (finding := _disputed(account, by_source, tolerance)) is not None:
            found.append(finding)
        before = self.told.get(select_id, [])
        if found:
            self.told[select_id] = [f.fault for f in found]
        else:
            self.told.pop(select_id, None)
        return [f for f in found if f.fault not in before]

    def forget(self, select_id: str) -> None:
        """Its account is closed."""
        self.told.pop(select_id, None)


def _under(account: Account, slots: list[SlotAmounts], source: Source, tolerance: Tolerance) -> Finding | None:
    known = [s for s in slots if s.amounts.known_ms > s.amounts.assumed_ms]
    last = known[-BAD_SLOTS:]
    if len(last) < BAD_SLOTS or any(not _fails(s, tolerance) for s in last):
        return None
    time = sum(s.amounts.known_ms for s in last)
    promised = sum(s.amounts.promised_w_ms for s in last) // time
    delivered = sum(s.amounts.delivered_w_ms for s in last) // time
    word = "meter" if source is Source.METER else "reports"
    why = Reason(UNDER, (account.esa_id, delivered, promised, time, word, account.select_id))
    return _finding(account, Fault.UNDER_DELIVERED, why)


def _fails(slot: SlotAmounts, tolerance: Tolerance) -> bool:
    a = slot.amounts
    if tolerance.kept(a.promised_w_ms // a.known_ms, a.delivered_w_ms // a.known_ms):
        return False
    # More of what was asked is no shortfall; where nothing was asked, any change is one.
    return a.short_w_ms != 0 or a.asked_w_ms == 0 or (a.beyond_w_ms > 0) != (a.asked_w_ms > 0)


def _disputed(account: Account, by_source: dict[Source, list[SlotAmounts]], tolerance: Tolerance) -> Finding | None:
    both = [
        (r.amounts, m.amounts)
        for r, m in zip(by_source[Source.REPORT], by_source[Source.METER], strict=True)
        # Only the same span can be compared.
        if r.amounts.missing_ms == m.amounts.missing_ms == 0
    ][-BAD_SLOTS:]
    if len(both) < BAD_SLOTS:
        return None
    if any(tolerance.kept(m.delivered_w_ms // m.known_ms, r.delivered_w_ms // r.known_ms) for r, m in both):
        return None
    time = sum(m.known_ms for _, m in both)
    said, shown = (sum(a.delivered_w_ms for a in side) // time for side in zip(*both, strict=True))
    return _finding(account, Fault.DISPUTED, Reason(DISPUTED, (account.esa_id, said, shown, account.select_id)))


def _finding(account: Account, fault: Fault, why: Reason) -> Finding:
    return Finding(esa_id=account.esa_id, select_id=account.select_id, fault=fault, why=why)
