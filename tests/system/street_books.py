"""What a provider's books say of an evening, from its journal, held against the feeder's meter."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from scowl_edge.assembly import assemble
from scowl_edge.control import Core
from scowl_edge.dsr.provider import Provider
from scowl_edge.dsr.settlement import Account, Settlement
from scowl_edge.journal.file import recover_file
from scowl_edge.journal.records import read_snapshot
from scowl_edge.model.profile import EMPTY, NANO, Timeline, layered

QUARTER_MS = 900_000


def provider_of(folder: Path, name: str = "grid") -> Provider:
    """The provider as its daemon left it."""
    recovery = recover_file(folder / f"{name}.db")
    core = Core(assemble((folder / f"{name}.yaml").read_text(), f"{name}.yaml").site)
    assert recovery.snapshot is not None
    core.restore(read_snapshot(recovery.snapshot))
    assert core.flexible is not None
    found = core.flexible.talks.provider
    assert found is not None
    return found


def quarters_w(counted: dict[int, int]) -> dict[int, float]:
    """Means of the whole quarters of an hour, by their begin."""
    ended = sorted(counted)
    return {
        begin: (counted[end] - counted[begin]) / QUARTER_MS
        for begin, end in pairwise(ended)
        if end - begin == QUARTER_MS
    }


@dataclass(kw_only=True)
class Held:
    """Sums over all appliances between two times, W·ms."""

    by_books_wms: int = 0
    """Baseline less what was achieved where something was selected, and reports elsewhere."""
    selected_wms: int = 0
    """Of that, where something was selected."""
    achieved_wms: int = 0
    """Moved away from there by selections."""
    known_ms: int = 0
    missing_ms: int = 0


def held(books: Settlement, appliances: list[str], from_ms: int, to_ms: int) -> Held:
    """The books between two times on their grid."""
    found = Held()
    for esa_id in appliances:
        accounts = sorted((a for a in books.accounts.values() if a.esa_id == esa_id), key=lambda a: a.number)
        baseline = layered([a.baseline.clip(a.begin_ms, a.end_ms) for a in accounts]) if accounts else EMPTY
        readings = books.reported[esa_id]
        before_ms = found.known_ms
        for begin, end, power_w, _ in readings.known(from_ms, to_ms):
            found.known_ms += end - begin
            for first, last, inside in _pieces(accounts, begin, end):
                if inside:
                    found.selected_wms += _energy_wms(baseline, first, last)
                else:
                    found.by_books_wms += power_w * (last - first)
        found.missing_ms += to_ms - from_ms - (found.known_ms - before_ms)
        for account in accounts:
            for slot in books.slots(account.select_id, None, from_ms, to_ms):
                found.achieved_wms += slot.amounts.achieved_w_ms
    found.selected_wms -= found.achieved_wms
    found.by_books_wms += found.selected_wms
    return found


def _pieces(accounts: list[Account], begin: int, end: int) -> list[tuple[int, int, bool]]:
    """A span cut where accounts begin and end: (begin, end, whether an account covers it)."""
    edges = sorted({begin, end, *(e for a in accounts for e in (a.begin_ms, a.end_ms) if begin < e < end)})
    return [(first, last, any(a.begin_ms <= first < a.end_ms for a in accounts)) for first, last in pairwise(edges)]


def _energy_wms(course: Timeline, begin: int, end: int) -> int:
    return round(course.energy_quanta(begin, end) / (2 * NANO))
