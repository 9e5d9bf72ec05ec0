"""Settlement: what was intended, promised and delivered, in books that add up to the meter.

The baseline of a selection is what the appliance intended by the revision in force when it was selected, frozen then.
Every slot of the books is exact in W·ms, and where nothing was measured nothing is credited:

    asked     = baseline - promised    over the time that is measured; positive is less consumption
    achieved  = baseline - delivered = credited + beyond
    asked     = credited + short       credited lies between 0 and asked
    baseline - promised over the whole = asked + unproven

Where a later selection of the same appliance holds, the earlier one counts as kept: the later one's baseline is what
the earlier promised. So the sum over an appliance is its first baseline minus its meter, whatever was selected between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace

from scowl_edge.dsr.readings import Readings, Source
from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import Report
from scowl_edge.model.flexibility import SelectionState
from scowl_edge.model.profile import NANO, Timeline, nearest

W_MS_PER_WH = 3_600_000


class SettlementError(ScowlError):
    """An account that cannot be kept."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Account:
    """One selection in the books."""

    select_id: str
    esa_id: str
    cem: str
    event_ref: str
    rev: int
    """In force at the selection."""
    number: int
    """Selections in the order in which they were accepted."""
    begin_ms: int
    end_ms: int
    """UTC: from the first to the last moment at which baseline and promise may differ."""
    baseline: Timeline
    """Of the whole appliance; frozen."""
    promised: Timeline
    """Of the whole appliance, once the selection is carried out."""
    state: SelectionState = SelectionState.ACCEPTED


@dataclass(slots=True, frozen=True, kw_only=True)
class Amounts:
    """Energy of a span, in W·ms, + is consumption; times in ms. Sums of them add up as they do."""

    baseline_w_ms: int = 0
    """While measured, as `promised_w_ms` and `delivered_w_ms`."""
    promised_w_ms: int = 0
    delivered_w_ms: int = 0
    credited_w_ms: int = 0
    """Of what was asked, what came; has its sign."""
    unproven_w_ms: int = 0
    """Asked while nothing was measured; credited to nobody."""
    known_ms: int = 0
    missing_ms: int = 0
    estimated_ms: int = 0
    """Of the known, what the source itself calls an estimate."""
    assumed_ms: int = 0
    """Of the known, where a later selection holds."""

    @property
    def asked_w_ms(self) -> int:
        """Change that was promised over the measured time; positive is less consumption."""
        return self.baseline_w_ms - self.promised_w_ms

    @property
    def achieved_w_ms(self) -> int:
        """Change that was measured."""
        return self.baseline_w_ms - self.delivered_w_ms

    @property
    def short_w_ms(self) -> int:
        """Asked and not delivered."""
        return self.asked_w_ms - self.credited_w_ms

    @property
    def beyond_w_ms(self) -> int:
        """Delivered and not asked: more of it, or the opposite."""
        return self.achieved_w_ms - self.credited_w_ms

    def __add__(self, other: Amounts) -> Amounts:
        """Both together."""
        return Amounts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Amounts)})

    def __sub__(self, other: Amounts) -> Amounts:
        """What came on top of `other`."""
        return Amounts(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(Amounts)})


@dataclass(slots=True, frozen=True, kw_only=True)
class SlotAmounts:
    """One slot of one account."""

    start_ms: int
    """Of the grid; the account may begin within it."""
    amounts: Amounts


@dataclass(slots=True, frozen=True, kw_only=True)
class Row:
    """A line of the books for people and other programs, in Wh. Columns add up in every row and over all rows.

    Whole Wh are carried from row to row of an account, so its sum is right to one Wh.
    """

    select_id: str
    esa_id: str
    cem: str
    event_ref: str
    state: str
    start_ms: int
    baseline_wh: int
    promised_wh: int
    delivered_wh: int
    asked_wh: int
    credited_wh: int
    short_wh: int
    beyond_wh: int
    unproven_wh: int
    known_s: int
    missing_s: int
    estimated_s: int
    assumed_s: int


@dataclass(slots=True, kw_only=True)
class Settlement:
    """The books of a provider: accounts, and what was measured."""

    slot_ms: int = 900_000
    accounts: dict[str, Account] = field(default_factory=dict)
    reported: dict[str, Readings] = field(default_factory=dict)
    """By appliance."""
    metered: dict[str, Readings] = field(default_factory=dict)
    closed: dict[str, Amounts] = field(default_factory=dict)
    """By selection: its amounts when it was closed. What comes later is an adjustment."""
    numbered: int = 0

    def open(self, account: Account) -> Account:
        """Enters a selection that was accepted; its number is given here.

        Raises:
            SettlementError: The id is in the books already, or the span is empty.
        """
        if account.select_id in self.accounts:
            raise SettlementError(f"open an account for {account.select_id}: it has one; a selection is entered once")
        if account.end_ms <= account.begin_ms:
            raise SettlementError(
                f"open an account for {account.select_id}: it ends at {account.end_ms}, not after {account.begin_ms}"
            )
        self.numbered += 1
        entered = replace(account, number=self.numbered)
        self.accounts[account.select_id] = entered
        return entered

    def move(self, select_id: str, promised: Timeline, end_ms: int) -> None:
        """The promise with the delay that was drawn, known after it was accepted. The baseline stays."""
        account = self.accounts[select_id]
        self.accounts[select_id] = replace(account, promised=promised, end_ms=max(account.end_ms, end_ms))

    def state(self, select_id: str, state: SelectionState, at_utc_ms: int) -> None:
        """Follows the selection. Cancelled by whoever selected it, it is owed until then and no longer.

        An appliance or user that ends it early still owes the rest: that is what the books are for.
        """
        account = self.accounts.get(select_id)
        if account is None or account.state.terminal:
            return
        end = account.end_ms
        if state is SelectionState.CANCELLED:
            end = min(end, max(account.begin_ms + 1, at_utc_ms))
        self.accounts[select_id] = replace(account, state=state, end_ms=end)

    def enter(self, report: Report, source: Source, now_utc_ms: int) -> list[str]:
        """Enters measured power.

        Returns:
            Accounts already closed whose amounts may have changed by it.
        """
        by_esa = self.reported if source is Source.REPORT else self.metered
        changed = by_esa.setdefault(report.esa_id, Readings()).report(report, now_utc_ms)
        if not changed:
            return []
        return [
            a.select_id
            for a in self.accounts.values()
            if a.esa_id == report.esa_id
            and a.select_id in self.closed
            and any(begin < a.end_ms and a.begin_ms < end for begin, end in changed)
        ]

    def close(self, select_id: str) -> Amounts:
        """Closes an account with what is known now; asked again, gives the same."""
        if select_id not in self.closed:
            self.closed[select_id] = self.amounts(select_id)
        return self.closed[select_id]

    def adjustment(self, select_id: str) -> Amounts:
        """What late and corrected figures changed since it was closed."""
        return self.amounts(select_id) - self.closed[select_id]

    def amounts(self, select_id: str, source: Source | None = None) -> Amounts:
        """The whole of one account; by the meter where there is one, unless a source is named."""
        total = Amounts()
        for slot in self.slots(select_id, source):
            total += slot.amounts
        return total

    def slots(
        self, select_id: str, source: Source | None = None, from_ms: int | None = None, to_ms: int | None = None
    ) -> tuple[SlotAmounts, ...]:
        """One account by slots of the grid; where wanted, only those that begin from a time on and end by another."""
        account = self.accounts[select_id]
        if source is None:
            source = Source.METER if account.esa_id in self.metered else Source.REPORT
        found = (self.reported if source is Source.REPORT else self.metered).get(account.esa_id, Readings())
        later = [
            (a.begin_ms, a.end_ms)
            for a in self.accounts.values()
            if a.esa_id == account.esa_id and a.number > account.number
        ]
        assumed = _union(later, account.begin_ms, account.end_ms)
        slots = []
        start = max(account.begin_ms, from_ms or account.begin_ms) // self.slot_ms * self.slot_ms
        while start < account.end_ms and (to_ms is None or start + self.slot_ms <= to_ms):
            begin, end = max(start, account.begin_ms), min(start + self.slot_ms, account.end_ms)
            slots.append(SlotAmounts(start_ms=start, amounts=_slot(account, found, assumed, begin, end)))
            start += self.slot_ms
        return tuple(slots)

    def effective(self, select_id: str, tolerance: Tolerance, now_utc_ms: int) -> bool:
        """Whether the slot that ended last, wholly measured and with a change asked for, shows the promised power."""
        found = self.slots(select_id, None, now_utc_ms - 2 * self.slot_ms + 1, now_utc_ms)
        asked = [s.amounts for s in found if s.amounts.missing_ms == 0 and s.amounts.asked_w_ms != 0]
        return bool(asked) and tolerance.kept(
            asked[-1].promised_w_ms // asked[-1].known_ms, asked[-1].delivered_w_ms // asked[-1].known_ms
        )

    def rows(self, select_id: str) -> tuple[Row, ...]:
        """One account as lines to export."""
        account = self.accounts[select_id]
        carry = _Carry()
        rows = []
        for slot in self.slots(select_id):
            a = slot.amounts
            baseline, promised, delivered, credited, unproven = carry.wh(
                (a.baseline_w_ms, a.promised_w_ms, a.delivered_w_ms, a.credited_w_ms, a.unproven_w_ms)
            )
            asked, achieved = baseline - promised, baseline - delivered
            rows.append(
                Row(
                    select_id=select_id,
                    esa_id=account.esa_id,
                    cem=account.cem,
                    event_ref=account.event_ref,
                    state=account.state.value,
                    start_ms=slot.start_ms,
                    baseline_wh=baseline,
                    promised_wh=promised,
                    delivered_wh=delivered,
                    asked_wh=asked,
                    credited_wh=credited,
                    short_wh=asked - credited,
                    beyond_wh=achieved - credited,
                    unproven_wh=unproven,
                    known_s=a.known_ms // 1000,
                    missing_s=a.missing_ms // 1000,
                    estimated_s=a.estimated_ms // 1000,
                    assumed_s=a.assumed_ms // 1000,
                )
            )
        return tuple(rows)

    def by_appliance(self) -> dict[str, Amounts]:
        """Sums over all accounts."""
        return self._sums((a.esa_id, a.select_id) for a in self.accounts.values())

    def by_cem(self) -> dict[str, Amounts]:
        """Sums over all accounts."""
        return self._sums((a.cem, a.select_id) for a in self.accounts.values())

    def by_event(self) -> dict[str, Amounts]:
        """Sums over all accounts; those of no event under an empty name."""
        return self._sums((a.event_ref, a.select_id) for a in self.accounts.values())

    def forget(self, before_ms: int) -> None:
        """Drops accounts that are closed and ended before, and what was measured then and nobody needs."""
        for select_id in [s for s in self.closed if self.accounts[s].end_ms < before_ms]:
            del self.accounts[select_id], self.closed[select_id]
        needed: dict[str, int] = {}
        for a in self.accounts.values():
            needed[a.esa_id] = min(needed.get(a.esa_id, before_ms), a.begin_ms)
        for by_esa in (self.reported, self.metered):
            for esa_id, readings in by_esa.items():
                readings.forget(needed.get(esa_id, before_ms))

    def _sums(self, keyed: Iterable[tuple[str, str]]) -> dict[str, Amounts]:
        sums: dict[str, Amounts] = {}
        for key, select_id in keyed:
            sums[key] = sums.get(key, Amounts()) + self.amounts(select_id)
        return sums


class _Carry:
    """Whole Wh of a running sum, so that the rows add up to the sum's own."""

    def __init__(self) -> None:
        self._sums = [0] * 5

    def wh(self, amounts_w_ms: tuple[int, ...]) -> list[int]:
        found = []
        for i, amount in enumerate(amounts_w_ms):
            before = self._sums[i]
            self._sums[i] = before + amount
            found.append(self._sums[i] // W_MS_PER_WH - before // W_MS_PER_WH)
        return found


def _slot(account: Account, found: Readings, assumed: list[tuple[int, int]], begin_ms: int, end_ms: int) -> Amounts:
    baseline = promised = delivered = known = estimated = assumed_ms = 0
    for first, last in _within(assumed, begin_ms, end_ms):
        kept = _energy_w_ms(account.promised, first, last)
        baseline += _energy_w_ms(account.baseline, first, last)
        promised += kept
        delivered += kept
        assumed_ms += last - first
    for gap_begin, gap_end in _outside(assumed, begin_ms, end_ms):
        for first, last, power_w, is_estimate in found.known(gap_begin, gap_end):
            baseline += _energy_w_ms(account.baseline, first, last)
            promised += _energy_w_ms(account.promised, first, last)
            delivered += power_w * (last - first)
            known += last - first
            estimated += (last - first) * is_estimate
    asked, achieved = baseline - promised, baseline - delivered
    credited = max(0, min(achieved, asked)) if asked >= 0 else min(0, max(achieved, asked))
    whole = _energy_w_ms(account.baseline, begin_ms, end_ms) - _energy_w_ms(account.promised, begin_ms, end_ms)
    return Amounts(
        baseline_w_ms=baseline,
        promised_w_ms=promised,
        delivered_w_ms=delivered,
        credited_w_ms=credited,
        unproven_w_ms=whole - asked,
        known_ms=known + assumed_ms,
        missing_ms=end_ms - begin_ms - known - assumed_ms,
        estimated_ms=estimated,
        assumed_ms=assumed_ms,
    )


def _energy_w_ms(timeline: Timeline, begin_ms: int, end_ms: int) -> int:
    """Exact for stretches of constant power, which is all that elements make."""
    return nearest(timeline.energy_quanta(begin_ms, end_ms), 2 * NANO)


def _union(spans: list[tuple[int, int]], begin_ms: int, end_ms: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(_within(spans, begin_ms, end_ms)):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _within(spans: list[tuple[int, int]], begin_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    for first, last in spans:
        if first < end_ms and begin_ms < last:
            yield max(first, begin_ms), min(last, end_ms)


def _outside(joined: list[tuple[int, int]], begin_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    for first, last in _within(joined, begin_ms, end_ms):
        if begin_ms < first:
            yield begin_ms, first
        begin_ms = last
    if begin_ms < end_ms:
        yield begin_ms, end_ms
