"""The Modbus columns of the fault matrix: each fault injected (counted), seen as it should be, left behind by the poll
that the cell says, and no value published that the device did not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio
from field_case import PATIENT_MS, Case, WrongValue, case
from field_peer import RATE, RATED_W, VOLTS, Peer, field_peer
from modbus_cells import CELLS, SERIAL, Cell, Course, Strike
from modbus_site import point
from write_case import LIMIT, LIMIT_W, POINTS, POWER, Keeper

from scowl_edge.control.entry import STANDING, Stage
from scowl_edge.model.signal import Cause, Quality
from simulators.faults import FaultKind, ServerAction

PROBES_RATE = 15.0
"""Of a driver that waits for the next probe of a silent unit, which is seconds away."""
CALM_RATE = 1.0
"""Of a driver that waits for nothing but replies: a serial line then bears silence of 50 ms inside of a frame."""
ATTEMPTS = 5
together = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Peer]:
    async with field_peer(tmp_path_factory.mktemp("field")) as it_there:
        yield it_there


async def values_keep_coming(peer: Peer, column: str, cell: Cell) -> None:
    for strike in cell.strikes:
        async with case(peer, column, timeout_ms=PATIENT_MS, rate=CALM_RATE) as it:
            it.begin(strike.kind, **strike.keys)
            await it.until(lambda it=it, strike=strike: it.injected(strike.kind) >= strike.injected)
            await it.sees_more()
            it.clear()
            await it.recovers(cell.polls)
            assert it.causes() <= set(strike.causes)
            assert not it.sink.flips("") and not it.sink.flips("struck")


async def points_are_bad(peer: Peer, column: str, cell: Cell) -> None:
    for strike in cell.strikes:
        async with case(peer, column) as it:
            await _struck(it, strike)
            it.clear()
            await it.recovers(cell.polls)
            assert it.causes() <= set(strike.causes), it.causes()
            assert it.sink.counts[strike.counted] or not strike.counted
    if cell.shared:
        await beside_a_healthy_unit(peer, column, cell)


async def _struck(it: Case, strike: Strike) -> None:
    it.begin(strike.kind, **strike.keys)
    certain = strike.causes[: strike.certain]
    await it.until(lambda: it.bad_by(*certain) and it.injected(strike.kind) >= strike.injected)


async def beside_a_healthy_unit(peer: Peer, column: str, cell: Cell) -> None:
    """On a shared bus the other unit is as good as ever, and the struck one is back two polls after its next probe."""
    (strike,) = cell.strikes
    rate = RATE if column in SERIAL else PROBES_RATE
    async with case(peer, column, shared=True, rate=rate) as it:
        await _struck(it, replace(strike, injected=2))
        silent = strike.kind is not FaultKind.BUSY
        if silent:
            await it.until(lambda: it.sink.flips("struck") == [False])
        await it.sees_more(unit=2)
        it.clear()
        await it.recovers(cell.polls)
        assert not it.causes(unit=2) and not it.sink.flips("healthy") and not it.sink.flips("")
        assert it.sink.flips("struck") == ([False, True] if silent else [])


async def one_value_stands_still(peer: Peer, column: str, cell: Cell) -> None:
    (strike,) = cell.strikes
    measured = replace(POINTS[POWER], stuck_after_ms=2_500)
    peer.produce_freely(column)
    async with case(peer, column, points=(POINTS[LIMIT], measured), timeout_ms=PATIENT_MS) as it:
        it.begin(strike.kind, **strike.keys)
        await it.until(lambda: it.sink.last[POWER][1:] == (Quality.UNCERTAIN, Cause.STUCK))
        assert it.injected(strike.kind) >= strike.injected
        assert it.sink.last[LIMIT][1] is Quality.GOOD, "what nobody measures may stay as it is"
        assert it.sink.last[POWER][0] == it.sink.good[POWER][-1], "the value stays"
        it.clear()
        await it.recovers(cell.polls)
        assert it.causes() == set(strike.causes)


async def one_value_jumps(peer: Peer, column: str, cell: Cell) -> None:
    (strike,) = cell.strikes
    measured = replace(POINTS[POWER], max_change=20_000.0)
    peer.produce_freely(column)
    async with case(peer, column, points=(POINTS[LIMIT], measured), timeout_ms=PATIENT_MS) as it:
        for time in (1, 2, 3):
            it.begin(strike.kind, **strike.keys)
            await it.until(lambda time=time: it.injected(strike.kind) == time)
            await it.recovers(cell.polls)
        assert it.causes() == set(strike.causes)
        assert max(abs(value) for value in it.sink.good[POWER]) <= RATED_W


async def value_and_factor_move(peer: Peer, column: str, cell: Cell) -> None:
    (strike,) = cell.strikes
    points = (
        point("volts", 20, "int16", scale_factor="volts_sf", access="r"),
        point("volts_sf", 21, "int16", access="r"),
    )
    async with case(peer, column, points=points, timeout_ms=PATIENT_MS, rate=CALM_RATE) as it:
        it.begin(strike.kind, **strike.keys)
        await it.until(lambda: it.injected(strike.kind) >= strike.injected)
        await it.until(lambda: len(set(it.sink.good[1])) == 2)
        it.clear()
        await it.recovers(cell.polls)
        assert set(it.sink.good[0]) == {VOLTS} and not it.causes()


async def the_certificate_is_over(peer: Peer, column: str, cell: Cell) -> None:
    server = peer.simulator.modbus[column]
    async with case(peer, column, timeout_ms=PATIENT_MS) as it:
        try:
            await server.act(ServerAction.EXPIRE_CERTIFICATE)
            await it.until(lambda: it.bad_by(Cause.LINK_DOWN))
            await it.until(lambda: any("expired" in event.cause for event in it.sink.events if hasattr(event, "cause")))
            assert server.described()["actions"]["expire-certificate"]  # type: ignore[index]
            since_ms = it.clock.mono_ms()
        finally:
            await server.act(ServerAction.RENEW_CERTIFICATE)
        await it.recovers(cell.polls)
        assert not [r for r in it.polled_since(since_ms)[0] if r.requested_ms < since_ms]
        assert it.causes() == {Cause.LINK_DOWN} and it.sink.flips("") == [False, True]


async def a_register_is_written(peer: Peer, column: str, cell: Cell) -> None:
    (strike,) = cell.strikes
    plant = peer.simulator.plant
    peer.produce_freely(column)
    async with case(peer, column, points=POINTS, timeout_ms=PATIENT_MS) as it:
        accepted = len(plant.accepted)
        keeper = Keeper(it)
        it.begin(strike.kind, **strike.keys)
        await WRITTEN[strike.kind](keeper, it)
        written = [row for row in plant.accepted[accepted:] if row.source == "daemon" and row.device == f"{column}-1"]
        assert len(written) == keeper.writes, "no write is repeated behind the ledger's back"
        assert all(row.value == LIMIT_W for row in written)
        assert any(row.applied for row in written) is (strike.kind is not FaultKind.ACK_NOT_APPLIED)
        assert it.injected(strike.kind)
        it.clear()
        keeper.ledger.reopen(0)
        since_ms = it.clock.mono_ms()
        await keeper.until(Stage.CONFIRMED, Stage.EFFECTIVE, Stage.HOLDING)
        assert keeper.read_backs(since_ms) <= cell.polls
        await keeper.until(Stage.HOLDING)
        assert plant.truth(f"{column}-1")["registers"]["limit"] == LIMIT_W  # type: ignore[index]
        assert not it.causes()


async def contested(keeper: Keeper, it: Case) -> None:
    await keeper.until(Stage.CONTESTED)
    assert keeper.writes == 4, "once, and three times against the other"


async def never_applied(keeper: Keeper, it: Case) -> None:
    await contested(keeper, it)
    assert not set(STANDING) & set(keeper.stages), "an acknowledgement alone confirms nothing"
    assert LIMIT_W not in it.sink.good[LIMIT]


async def without_effect(keeper: Keeper, it: Case) -> None:
    await keeper.until(Stage.NO_EFFECT)
    assert Stage.CONFIRMED in keeper.stages and Stage.EFFECTIVE not in keeper.stages
    assert keeper.writes == 1 and keeper.ledger.closed(it.clock.mono_ms()) == [True]


async def taken_back(keeper: Keeper, it: Case) -> None:
    await contested(keeper, it)
    assert Stage.REVERTED in keeper.stages and set(STANDING) & set(keeper.stages)


WRITTEN: dict[FaultKind, Callable[[Keeper, Case], Awaitable[None]]] = {
    FaultKind.ACK_NOT_APPLIED: never_applied,
    FaultKind.ECHO_WITHOUT_EFFECT: without_effect,
    FaultKind.RESET_AFTER: taken_back,
    FaultKind.SECOND_MASTER: contested,
}
COURSES: dict[Course, Callable[[Peer, str, Cell], Awaitable[None]]] = {
    Course.GOOD: values_keep_coming,
    Course.BAD: points_are_bad,
    Course.WRITTEN: a_register_is_written,
    Course.STUCK: one_value_stands_still,
    Course.JUMPS: one_value_jumps,
    Course.SCALED: value_and_factor_move,
    Course.EXPIRED: the_certificate_is_over,
}


@together
@pytest.mark.parametrize(("fault", "column"), [pytest.param(*key, id="-".join(reversed(key))) for key in CELLS])
async def test_cell(fault: str, column: str, peer: Peer) -> None:
    """Where the machine itself came late during a case, it is done again; a wrong value is one at any time."""
    cell = CELLS[fault, column]
    for attempt in range(ATTEMPTS):
        stalls = peer.stalls
        try:
            await COURSES[cell.course](peer, column, cell)
        except AssertionError:
            if peer.stalls == stalls or attempt == ATTEMPTS - 1:
                raise
        else:
            return


@together
async def test_a_value_of_an_earlier_request_is_found_out(peer: Peer) -> None:
    """So the cells can fail."""
    async with case(peer, "tcp") as it:
        await it.sees_more()
        early = next(reading for reading in it.sink.readings if not reading.quality.any())
        await it.sees_more()
        late = it.sink.readings[-1]
        shifted = replace(early, requested_ms=late.requested_ms, received_ms=late.received_ms)
        it.sink.readings.append(shifted)
        with pytest.raises(WrongValue, match="was published as"):
            it.prove()
        it.sink.readings.remove(shifted)
