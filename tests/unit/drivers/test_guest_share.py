"""Other tools on a link's bus, in virtual time: never before what is due, and never more than their share."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.drivers.bound import UnitTimes
from scowl_edge.drivers.schedule import Job, Schedule, Ticket, Turn, TurnKind

PATIENT = 1 << 60


def play(share_ppm: int, took_ms: list[int], periods_ms: list[int], poll_ms: int, for_ms: int) -> list[tuple[int, int]]:
    """(began, ended) of all guests on a bus whose queue of them is never empty."""
    jobs = [Job(unit=unit, period_ms=period, cost=1) for unit, period in enumerate(periods_ms, 1)]
    units = [UnitTimes(number=job.unit, turn_ms=500, jobs=1) for job in jobs]
    schedule = Schedule("bus", jobs, units, guest_share_ppm=share_ppm)
    now_ms, guests = 1_000_000, list[tuple[int, int]]()
    schedule.opened(now_ms, afresh=True)
    settled_ms, end_ms = now_ms + max(periods_ms), now_ms + for_ms
    serial = missed = 0
    while now_ms < end_ms:
        if now_ms < settled_ms:
            # At the start all is due at once, and what is next on the grid may come before all of it is done.
            missed = schedule.missed
        while serial <= len(guests):
            schedule.submit_guest(Ticket(serial=serial, units=(jobs[serial % len(jobs)].unit,), valid_until_ms=PATIENT))
            serial += 1
        due = [job for job in range(len(jobs)) if schedule.due_ms(job) <= now_ms]
        turn = schedule.next(now_ms)
        if not isinstance(turn, Turn):
            assert now_ms < turn <= end_ms + max(periods_ms) * 1000
            now_ms = turn
            continue
        began_ms = now_ms
        if turn.kind is TurnKind.GUEST:
            assert not due, "a guest went before a poll that was due"
            assert turn.ticket is not None
            now_ms += took_ms[len(guests) % len(took_ms)]
            guests.append((began_ms, now_ms))
            # Whether it was answered is no news of the unit.
            answered = len(guests) % 3 > 0
            schedule.done(turn, began_ms=began_ms, now_ms=now_ms, answered=answered, unit=turn.ticket.units[0])
            assert not any(schedule.misses(job.unit) for job in jobs)
        else:
            now_ms += poll_ms
            schedule.done(turn, began_ms=began_ms, now_ms=now_ms, answered=True)
    assert schedule.missed == missed, "a guest cost a poll"
    return guests


@settings(max_examples=30, deadline=None)
@given(
    st.integers(10_000, 800_000),
    st.lists(st.integers(1, 200), min_size=1, max_size=5),
    st.lists(st.sampled_from([1000, 1500, 4000]), min_size=1, max_size=4),
    st.integers(1, 20),
)
def test_guests_come_last_and_keep_to_their_share(
    share_ppm: int, took_ms: list[int], periods_ms: list[int], poll_ms: int
) -> None:
    for_ms = 60_000
    guests = play(share_ppm, took_ms, periods_ms, poll_ms, for_ms)
    assert guests
    used_ms = sum(ended - began for began, ended in guests)
    # The last one may have begun at the very end.
    assert used_ms <= for_ms * share_ppm / 1_000_000 + max(took_ms) + len(guests)
