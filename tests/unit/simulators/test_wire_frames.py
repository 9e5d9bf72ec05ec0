"""Frames cut out of streams. Expected bytes are the standard's examples, or put together here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.wire.frames import Cutter, Frame, Framing, crc

REQUESTS = [
    "0103006e0001",
    "0105000aff00",
    "01060001000a",
    "010f0013000a02cd01",
    "01100001000204000a0102",
    "0116000400f20025",
]
REPLIES = ["0103020064", "010102cd6b", "01060001000a", "018302", "01100001 0002", "0116000400f20025"]


def with_check_sum(text: str) -> bytes:
    """The bit-by-bit rule of the standard."""
    body = bytes.fromhex(text)
    register = 0xFFFF
    for byte in body:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return body + bytes((register & 0xFF, register >> 8))


def in_tcp(transaction: int, text: str) -> bytes:
    body = bytes.fromhex(text)
    return transaction.to_bytes(2) + b"\0\0" + len(body).to_bytes(2) + body


def test_the_check_sum_of_the_standards_example() -> None:
    assert crc(bytes.fromhex("0207")) == bytes.fromhex("4112"), "Modbus over Serial Line V1.02, appendix B"


@given(st.data())
def test_serial_frames_come_out_however_the_bytes_come(data: st.DataObject) -> None:
    replies = data.draw(st.booleans())
    texts = data.draw(st.lists(st.sampled_from(REPLIES if replies else REQUESTS), min_size=1, max_size=6))
    cutter = Cutter(Framing.RTU, replies=replies)
    found: list[Frame | bytes] = []
    stream = b"".join(with_check_sum(text) for text in texts)
    while stream:
        count = data.draw(st.integers(1, len(stream)))
        found += cutter.feed(stream[:count])
        stream = stream[count:]
    assert found == [Frame(1, bytes.fromhex(text)[1:]) for text in texts]
    assert not cutter.waits
    assert [with_check_sum(text) for text in texts] == [f.encoded(Framing.RTU) for f in found if isinstance(f, Frame)]


@given(st.data())
def test_tcp_frames_come_out_however_the_bytes_come(data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.sampled_from(REQUESTS + REPLIES), min_size=1, max_size=6))
    cutter = Cutter(Framing.TCP, replies=True)
    found: list[Frame | bytes] = []
    stream = b"".join(in_tcp(number, text) for number, text in enumerate(texts))
    while stream:
        count = data.draw(st.integers(1, len(stream)))
        found += cutter.feed(stream[:count])
        stream = stream[count:]
    assert found == [Frame(1, bytes.fromhex(text)[1:], number) for number, text in enumerate(texts)]
    assert [in_tcp(n, text) for n, text in enumerate(texts)] == [
        f.encoded(Framing.TCP) for f in found if isinstance(f, Frame)
    ]


def test_after_a_wrong_check_sum_silence_ends_the_bytes() -> None:
    cutter = Cutter(Framing.RTU, replies=False)
    spoiled = with_check_sum(REQUESTS[0])[:-1] + b"\0"
    assert list(cutter.feed(spoiled)) == []
    assert cutter.waits
    assert cutter.silence() == spoiled
    assert cutter.silence() is None
    assert list(cutter.feed(with_check_sum(REQUESTS[0]))) == [Frame(1, bytes.fromhex("03006e0001"))]


def test_a_function_of_unknown_length_is_ended_by_silence() -> None:
    cutter = Cutter(Framing.RTU, replies=False)
    assert list(cutter.feed(with_check_sum("012b0e0100"))) == []
    assert cutter.silence() == Frame(1, bytes.fromhex("2b0e0100"))


def test_what_is_no_tcp_frame_ends_the_cutting() -> None:
    cutter = Cutter(Framing.TCP, replies=False)
    assert list(cutter.feed(b"GET / HTTP/1.1\r\n")) == [b"GET / HTTP/1.1\r\n"]
    assert list(cutter.feed(in_tcp(1, REQUESTS[0]))) == [in_tcp(1, REQUESTS[0])], "nobody knows where it begins"


@pytest.mark.parametrize("text", [*REQUESTS, *REPLIES])
@pytest.mark.parametrize("bits", [(3,), (0, 17), (5, 9, 30)])
def test_up_to_three_flipped_bits_are_found(text: str, bits: tuple[int, ...]) -> None:
    spoiled = bytearray(with_check_sum(text))
    for bit in bits:
        spoiled[bit // 8] ^= 1 << bit % 8
    assert crc(bytes(spoiled[:-2])) != bytes(spoiled[-2:])
