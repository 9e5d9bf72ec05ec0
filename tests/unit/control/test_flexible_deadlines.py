"""A provider of thousands looks only at appliances whose deadline has come, and misses none."""

from __future__ import annotations

from flex_evening import MIN, Evening

from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.mirror import ACCEPT_MS, REMEMBERED_MS, Mirror, Turned
from scowl_edge.model.codec import decode, encode
from scowl_edge.model.exchange import Select
from scowl_edge.model.flexibility import Mode


def now(mono_ms: int) -> Now:
    return Now(mono_ms=mono_ms, utc_ms=mono_ms, utc_ok=True)


def test_a_mirror_does_nothing_before_its_deadline_and_something_at_it() -> None:
    mirror = Mirror(esa_id="esa", asks=True)
    assert mirror.due_mono_ms() is None
    select = Select(
        select_id="s", esa_id="esa", offer_id="o", profile_id="p", rev=1, start_ms=10_000_000, mode=Mode.ROUTINE
    )
    mirror.select(select, now(5_000))
    for due, what in ((5_000 + ACCEPT_MS, "given up"), (5_000 + ACCEPT_MS + REMEMBERED_MS, "forgotten")):
        assert mirror.due_mono_ms() == due, what
        before = encode(mirror)
        mirror.advance(now(due - 1))
        assert encode(mirror) == before, f"{what} too early"
        mirror.advance(now(due))
        assert encode(mirror) != before, f"not {what} in time"
    assert mirror.copies == [] and mirror.due_mono_ms() is None


def test_the_index_of_deadlines_is_true_throughout_an_evening() -> None:
    world = Evening(1, start_h=17)
    looked = 0

    def look(boundary: str) -> None:
        nonlocal looked
        provider = world.provider
        for esa_id, mirror in provider.mirrors.items():
            due, known = mirror.due_mono_ms(), provider.due_mono_ms.get(esa_id)
            # One that was answered since may be looked at too early, never too late.
            assert due is None or (known is not None and known <= due), f"{boundary}: {esa_id}"
            looked += due is not None
            if known is None or known > world.now_ms:
                again = decode(Mirror, encode(mirror))
                assert again.advance(world.now) == Turned()
                assert encode(again) == encode(mirror), f"{boundary}: {esa_id}"
        first = min(provider.due_mono_ms.values(), default=None)
        assert first is None or (provider.next_due_mono_ms is not None and provider.next_due_mono_ms <= first)

    world.on_boundary = look
    world.run_for(20 * MIN)
    assert looked, "nothing had a deadline"
