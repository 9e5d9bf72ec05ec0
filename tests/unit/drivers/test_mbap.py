"""Only its own reply answers a request, however the stream is chopped and whatever else is in it."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.drivers.errors import BadReply, DriverError, LinkLost, Refused, ReplyTimeout
from scowl_edge.drivers.modbus.mbap import MbapWire
from scowl_edge.drivers.modbus.wire import exchange

REQUEST = bytes((3, 0, 10, 0, 2))
REPLY = bytes((3, 4, 1, 2, 3, 4))


class Wire(asyncio.Transport):
    """The network's end: what was sent, and whether the connection was cut."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.cut = False
        self.wrote = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data
        self.wrote.set()

    def abort(self) -> None:
        self.cut = True


def frame(transaction: int, unit: int, pdu: bytes, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


class Line:
    """A connection, its wire, and its counters."""

    def __init__(self, timeout_s: float = 5.0) -> None:
        self.strays = self.losses = 0
        self.wire = Wire()
        self.timeout_s = timeout_s
        self.connection = MbapWire(self._stray, self._lost)
        self.connection._transaction = 0  # it begins anywhere
        self.connection.connection_made(self.wire)

    def _stray(self) -> None:
        self.strays += 1

    def _lost(self) -> None:
        self.losses += 1

    async def ask(self, deliver: Callable[[int], list[bytes]], unit: int = 7) -> bytes | DriverError:
        """Sends the request; once it left, `deliver` says what comes back, given its transaction id."""
        task = asyncio.create_task(exchange(self.connection, unit, REQUEST, self.timeout_s))
        before = len(self.wire.sent)
        self.wire.wrote.clear()
        await self.wire.wrote.wait()
        transaction = int.from_bytes(self.wire.sent[before : before + 2])
        assert self.wire.sent[before:] == frame(transaction, unit, REQUEST)
        for chunk in deliver(transaction):
            self.connection.data_received(chunk)
        try:
            return await task
        except DriverError as error:
            return error


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(1, 65_534), max_size=3), st.lists(st.integers(1, 12), max_size=40), st.integers(0, 3))
def test_a_reply_is_found_among_strays_however_it_is_chopped(others: list[int], cuts: list[int], after: int) -> None:
    async def scenario() -> None:
        line = Line()

        def deliver(transaction: int) -> list[bytes]:
            strays = [frame(transaction + other & 0xFFFF, 7, b"\x03\x04\xff\xff\xff\xff") for other in others]
            stream = b"".join(strays) + frame(transaction, 7, REPLY) + b"".join(strays[:after])
            chunks, at = [], 0
            for cut in cuts:
                chunks.append(stream[at : at + cut])
                at += cut
            return [*chunks, stream[at:]]

        assert await line.ask(deliver) == REPLY
        assert line.strays == len(others) + len(others[:after])
        assert not line.wire.cut
        assert await line.ask(lambda transaction: [frame(transaction, 7, REPLY)]) == REPLY

    asyncio.run(scenario())


@settings(deadline=None, max_examples=200)
@given(st.binary(min_size=1, max_size=300))
def test_noise_is_never_a_reply(noise: bytes) -> None:
    async def scenario() -> None:
        line = Line(timeout_s=0.001)
        got = await line.ask(lambda transaction: [noise])
        if isinstance(got, bytes):
            # Noise that is a whole frame with the right transaction, unit and function is a reply, by definition.
            assert noise[:4] == b"\0\1\0\0" and noise[6] == 7 and noise[7] == 3
        else:
            assert isinstance(got, BadReply | ReplyTimeout | Refused | LinkLost)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("unit", "pdu", "error", "cut"),
    [
        (8, REPLY, BadReply, False),
        (7, b"\x04" + REPLY[1:], BadReply, False),
        (7, b"\x83\x02", Refused, False),
        (7, b"\x83\x02\x00", BadReply, False),
        (7, b"\x84\x02", BadReply, False),
    ],
)
async def test_what_answers_something_else_is_a_bad_reply(
    unit: int, pdu: bytes, error: type[DriverError], cut: bool
) -> None:
    line = Line()
    assert isinstance(await line.ask(lambda transaction: [frame(transaction, unit, pdu)]), error)
    assert line.wire.cut is cut
    assert await line.ask(lambda transaction: [frame(transaction, 7, REPLY)]) == REPLY


@pytest.mark.parametrize("head", [b"\0\1\0\1\0\6", b"\0\1\0\0\0\0", b"\0\1\0\0\0\2", b"\0\1\0\0\1\0", b"HTTP/1"])
async def test_what_is_no_frame_ends_the_connection(head: bytes) -> None:
    line = Line()
    assert isinstance(await line.ask(lambda transaction: [head]), BadReply)
    assert line.wire.cut and not line.connection.is_open and line.losses == 1
    with pytest.raises(LinkLost) as lost:
        await exchange(line.connection, 7, REQUEST, 5.0)
    assert not lost.value.sent


async def test_half_a_frame_when_time_is_over_ends_the_connection_too() -> None:
    line = Line(timeout_s=0.01)
    assert isinstance(await line.ask(lambda transaction: [frame(transaction, 7, REPLY)[:9]]), ReplyTimeout)
    assert line.wire.cut and line.losses == 1


async def test_silence_leaves_the_connection_and_a_late_reply_is_stray() -> None:
    line = Line(timeout_s=0.01)
    late: list[bytes] = []

    def nothing(transaction: int) -> list[bytes]:
        late.append(frame(transaction, 7, b"\x03\x04\xff\xff\xff\xff"))
        return []

    assert isinstance(await line.ask(nothing), ReplyTimeout)
    assert not line.wire.cut
    assert await line.ask(lambda transaction: [*late, frame(transaction, 7, REPLY)]) == REPLY
    assert line.strays == 1


async def test_a_reply_cut_short_is_never_filled_up_by_a_late_one() -> None:
    """Both come from the same server: the late reply to the first request right behind half of the second one's."""
    for pieces in (1, 2, 13):
        line = Line(timeout_s=0.01)
        late: list[bytes] = []

        def nothing(transaction: int, late: list[bytes] = late) -> list[bytes]:
            late.append(frame(transaction, 7, REPLY))
            return []

        def cut(transaction: int, late: list[bytes] = late, pieces: int = pieces) -> list[bytes]:
            rest = late[0]
            size = -(-len(rest) // pieces)
            return [frame(transaction, 7, REPLY)[:-3], *(rest[at : at + size] for at in range(0, len(rest), size))]

        assert isinstance(await line.ask(nothing), ReplyTimeout)
        assert isinstance(await line.ask(cut), BadReply)
        assert line.wire.cut


async def test_what_comes_behind_a_reply_must_be_frames_before_it_counts() -> None:
    line = Line()
    answer = await line.ask(lambda transaction: [frame(transaction, 7, REPLY) + b"no frame at all"])
    assert isinstance(answer, BadReply)
    assert line.wire.cut


async def test_a_reply_in_pieces_is_fine_when_no_other_is_owed() -> None:
    line = Line()
    whole = frame(1, 7, REPLY)
    assert await line.ask(lambda transaction: [whole[at : at + 1] for at in range(len(whole))]) == REPLY


async def test_a_cancelled_request_leaves_nothing_behind() -> None:
    line = Line()
    task = asyncio.create_task(exchange(line.connection, 7, REQUEST, 5.0))
    await line.wire.wrote.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    line.connection.data_received(frame(1, 7, b"\x03\x04\xff\xff\xff\xff"))
    assert await line.ask(lambda transaction: [frame(transaction, 7, REPLY)]) == REPLY


async def test_a_lost_connection_fails_the_request_under_way_at_once() -> None:
    line = Line()

    def lose(_: int) -> list[bytes]:
        line.connection.connection_lost(ConnectionResetError("reset by peer"))
        return []

    error = await line.ask(lose)
    assert isinstance(error, LinkLost) and error.sent and "reset by peer" in str(error)
    assert line.losses == 1


async def test_transaction_ids_wrap() -> None:
    line = Line()
    line.connection._transaction = 0xFFFF
    assert await line.ask(lambda transaction: [frame(transaction, 7, REPLY)]) == REPLY
    assert line.wire.sent[:2] == b"\0\0"


async def test_requests_under_way_together_get_each_its_own_reply() -> None:
    line = Line()
    tasks = [asyncio.create_task(exchange(line.connection, 7, REQUEST, 5.0)) for _ in range(3)]
    await asyncio.sleep(0)
    for transaction in (2, 3, 1):
        line.connection.data_received(frame(transaction, 7, bytes((3, 4, 0, 0, 0, transaction))))
    assert [reply[-1] for reply in await asyncio.gather(*tasks)] == [1, 2, 3]


async def test_each_request_has_its_own_time() -> None:
    line = Line()
    slow = asyncio.create_task(exchange(line.connection, 7, REQUEST, 5.0))
    await asyncio.sleep(0)
    with pytest.raises(ReplyTimeout):
        await exchange(line.connection, 8, REQUEST, 0.01)
    line.connection.data_received(frame(1, 7, REPLY))
    assert await slow == REPLY
