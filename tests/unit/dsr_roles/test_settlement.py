"""The books: every identity holds in every slot, row and sum, whatever was measured, late or not at all."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.dsr.readings import Source
from scowl_edge.dsr.settlement import Account, Amounts, Settlement, SettlementError
from scowl_edge.model.codec import decode, encode
from scowl_edge.model.exchange import Report, ReportKind, ReportSlot, SlotQuality
from scowl_edge.model.flexibility import SelectionState
from scowl_edge.model.profile import EMPTY, Timeline, flat, total

MIN = 60_000
HOUR = 60 * MIN
LATE = 1_000 * HOUR


def account(select_id: str, begin_ms: int, end_ms: int, baseline: Timeline, promised: Timeline, **more: str) -> Account:
    return Account(
        select_id=select_id,
        esa_id=more.get("esa_id", "e"),
        cem=more.get("cem", "c"),
        event_ref=more.get("event_ref", ""),
        rev=1,
        number=0,
        begin_ms=begin_ms,
        end_ms=end_ms,
        baseline=baseline,
        promised=promised,
    )


def report(start_ms: int, slot_s: int, powers: Sequence[int | None], esa_id: str = "e") -> Report:
    slots = tuple(ReportSlot(p_avg_w=p, q=SlotQuality.MISSING if p is None else SlotQuality.OK) for p in powers)
    return Report(esa_id=esa_id, kind=ReportKind.ACTUAL, start_ms=start_ms, slot_s=slot_s, slots=slots)


def moved() -> Settlement:
    """2 kW for an hour, intended at 0 h and promised at 3 h."""
    books = Settlement()
    books.open(account("s", 0, 4 * HOUR, flat(0, HOUR, 2_000), flat(3 * HOUR, HOUR, 2_000)))
    return books


def test_a_kept_promise() -> None:
    books = moved()
    books.enter(report(0, 60, [0] * 180 + [2_000] * 60), Source.REPORT, LATE)
    amounts = books.close("s")
    assert (amounts.asked_w_ms, amounts.credited_w_ms) == (0, 0)
    first = books.slots("s")[0].amounts
    assert first.asked_w_ms == first.credited_w_ms == 2_000 * 15 * MIN
    assert amounts.short_w_ms == amounts.beyond_w_ms == amounts.missing_ms == 0
    assert [r.credited_wh for r in books.rows("s")] == [500] * 4 + [0] * 8 + [-500] * 4


def test_half_a_promise_is_half_short() -> None:
    books = moved()
    books.enter(report(0, 900, [1_000] * 4 + [0] * 8 + [1_000] * 4), Source.REPORT, LATE)
    row = books.rows("s")[0]
    assert (row.asked_wh, row.credited_wh, row.short_wh, row.beyond_wh) == (500, 250, 250, 0)
    assert books.rows("s")[-1].short_wh == -250


def test_what_is_not_measured_is_neither_credited_nor_guessed() -> None:
    books = moved()
    books.enter(report(0, 900, [0, None, 0, 0]), Source.REPORT, LATE)
    second = books.slots("s")[1].amounts
    assert (second.known_ms, second.missing_ms) == (0, 15 * MIN)
    assert second.credited_w_ms == 0
    assert second.unproven_w_ms == 2_000 * 15 * MIN
    assert books.amounts("s").unproven_w_ms == 2_000 * 15 * MIN - 2_000 * HOUR


def test_a_late_figure_after_the_close_is_an_adjustment() -> None:
    books = moved()
    books.enter(report(0, 900, [0, None, 0, 0]), Source.REPORT, LATE)
    before = books.close("s")
    assert books.enter(report(15 * MIN, 900, [500]), Source.REPORT, LATE) == ["s"]
    assert books.close("s") == before
    assert books.adjustment("s").credited_w_ms == 1_500 * 15 * MIN
    assert books.adjustment("s").missing_ms == -15 * MIN
    assert books.enter(report(15 * MIN, 900, [500]), Source.REPORT, LATE) == []


def test_the_meter_goes_before_the_word() -> None:
    books = moved()
    books.enter(report(0, 900, [0] * 4), Source.REPORT, LATE)
    books.enter(report(0, 900, [2_000] * 4), Source.METER, LATE)
    assert books.slots("s")[0].amounts.credited_w_ms == 0
    assert books.slots("s", Source.REPORT)[0].amounts.credited_w_ms == 2_000 * 15 * MIN


def test_cancelled_by_the_provider_it_is_owed_until_then() -> None:
    books = moved()
    books.state("s", SelectionState.CANCELLED, 30 * MIN)
    books.state("s", SelectionState.COMPLETED, 40 * MIN)
    assert books.accounts["s"].state is SelectionState.CANCELLED
    assert books.accounts["s"].end_ms == 30 * MIN


def test_overridden_by_the_user_it_is_owed_to_the_end() -> None:
    books = moved()
    books.state("s", SelectionState.OVERRIDDEN, 30 * MIN)
    assert books.accounts["s"].end_ms == 4 * HOUR


def test_an_account_is_opened_once_and_has_a_length() -> None:
    books = moved()
    with pytest.raises(SettlementError, match="entered once"):
        books.open(account("s", 0, 1, EMPTY, EMPTY))
    with pytest.raises(SettlementError, match="not after 5"):
        books.open(account("t", 5, 5, EMPTY, EMPTY))


def test_sums_by_manager_and_event() -> None:
    books = Settlement()
    for n, cem in enumerate(("c1", "c1", "c2")):
        esa = f"e{n}"
        books.open(
            account(f"s{n}", 0, HOUR, flat(0, HOUR, 1_000), EMPTY, esa_id=esa, cem=cem, event_ref="peak"[: n * 4])
        )
        books.enter(report(0, 900, [0] * 4, esa), Source.REPORT, LATE)
    kwh = 1_000 * HOUR
    assert {k: v.credited_w_ms for k, v in books.by_cem().items()} == {"c1": 2 * kwh, "c2": kwh}
    assert {k: v.credited_w_ms for k, v in books.by_event().items()} == {"": kwh, "peak": 2 * kwh}


def test_the_state_survives_the_codec_and_old_accounts_go() -> None:
    books = moved()
    books.enter(report(0, 60, [0] * 180 + [2_000] * 60), Source.REPORT, LATE)
    books.close("s")
    again = decode(Settlement, encode(books))
    assert again == books
    assert again.rows("s") == books.rows("s")
    again.forget(5 * HOUR)
    assert not again.accounts
    assert not again.reported["e"].begins_ms


powers = st.one_of(st.none(), st.integers(-5_000, 5_000))
curves = st.lists(st.tuples(st.integers(0, 170), st.integers(1, 90), st.integers(-5_000, 5_000)), max_size=4).map(
    lambda parts: total(flat(a * MIN, n * MIN, p) for a, n, p in parts)
)


@given(
    st.lists(curves, min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 150)), min_size=3, max_size=3),
    st.lists(powers, min_size=52, max_size=52),
)
@settings(max_examples=120, deadline=None)
def test_the_books_add_up_to_the_meter(
    chain: list[Timeline], spans: list[tuple[int, int]], measured: list[int | None]
) -> None:
    """Each selection's baseline is the promise before it, over a span of its own; reports on a grid of 5 min 7 s."""
    books, slot_ms = Settlement(), 307_000
    intended = chain[0]
    covered: list[tuple[int, int]] = []
    for n, (wanted, (begin, length)) in enumerate(zip(chain[1:], spans, strict=False)):
        first, last = begin * MIN, (begin + length) * MIN
        promised = total((intended.clip(None, first), wanted.clip(first, last), intended.clip(last, None)))
        books.open(account(f"s{n}", first, last, intended, promised))
        intended = promised
        covered.append((first, last))
    books.enter(report(0, 307, measured), Source.REPORT, LATE)
    everything = Amounts()
    for select_id, entry in books.accounts.items():
        slots = books.slots(select_id)
        whole = books.amounts(select_id)
        everything += whole
        assert whole.known_ms + whole.missing_ms == entry.end_ms - entry.begin_ms
        for amounts in (*(s.amounts for s in slots), whole):
            assert amounts.achieved_w_ms == amounts.credited_w_ms + amounts.beyond_w_ms
            assert amounts.asked_w_ms == amounts.credited_w_ms + amounts.short_w_ms
        for slot in slots:
            a = slot.amounts
            assert min(0, a.asked_w_ms) <= a.credited_w_ms <= max(0, a.asked_w_ms)
        rows = books.rows(select_id)
        for row in rows:
            assert row.baseline_wh - row.delivered_wh == row.credited_wh + row.beyond_wh
            assert row.baseline_wh - row.promised_wh == row.asked_wh == row.credited_wh + row.short_wh
        for name in ("baseline", "promised", "delivered", "credited", "unproven"):
            exact = getattr(whole, f"{name}_w_ms")
            assert sum(getattr(r, f"{name}_wh") for r in rows) == exact // 3_600_000
    # Against the meter: what nobody selected is not in the books, what somebody did is there once.
    expected = 0
    for i, power in enumerate(measured):
        if power is None:
            continue
        for ms in range(i * slot_ms, (i + 1) * slot_ms, 1000):
            holder = [a for a in books.accounts.values() if a.begin_ms <= ms < a.end_ms]
            if holder:
                expected += ((chain[0].power_w(ms) or 0) - power) * 1000
    holes = 0
    for i, power in enumerate(measured):
        if power is not None:
            continue
        for ms in range(i * slot_ms, (i + 1) * slot_ms, 1000):
            for held in [a for a in books.accounts.values() if a.begin_ms <= ms < a.end_ms][:-1]:
                # The later one's hole; the earlier ones count as kept.
                holes += ((held.baseline.power_w(ms) or 0) - (held.promised.power_w(ms) or 0)) * 1000
    assert everything.achieved_w_ms == expected + holes
