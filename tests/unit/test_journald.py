"""Entries in the journal of systemd: fields, priorities, long ones, and a journal that does not read."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from scowl_edge import journald, logs


class Reader:
    """Stands where journald stands: takes datagrams, or the sealed files that come in their place."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(5)

    def entry(self) -> dict[str, str]:
        """The next entry."""
        data, files, _, _ = socket.recv_fds(self.socket, 1_000_000, 1)
        for file in files:
            assert data == b""
            with os.fdopen(file, "rb") as memory:
                memory.seek(0)
                data = memory.read()
        return parse(data)


def parse(data: bytes) -> dict[str, str]:
    """The native format, read as its description has it."""
    fields = {}
    while data:
        head, _, rest = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value.decode()
        data = rest
    return fields


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path / "journal")
    yield made
    made.socket.close()


@pytest.fixture
def configured(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """The process's logging as under systemd, with a file in place of the stream that it connects."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with (tmp_path / "stderr").open("w") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        monkeypatch.setattr(journald.Journald.__init__, "__defaults__", (reader.path,))
        logs.configure(stream=stream)
        yield reader
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    assert (tmp_path / "stderr").read_text() == ""


def test_our_own_lines_have_fields_and_a_priority(configured: Reader) -> None:
    structlog.get_logger().error("order refused", device="wind-1", why="no token", watts=3, path=Path("/x"))
    assert configured.entry() == {
        "MESSAGE": 'order refused device=wind-1 why="no token" watts=3 path="/x"',
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "scowl-edge",
        "SCOWL_EVENT": "order refused",
        "SCOWL_DEVICE": "wind-1",
        "SCOWL_WHY": "no token",
        "SCOWL_WATTS": "3",
        "SCOWL_PATH": '"/x"',
    }
    structlog.get_logger().debug("not shown")
    structlog.get_logger().info("shown")
    assert configured.entry()["PRIORITY"] == "6"


def test_lines_of_libraries_have_them_too(configured: Reader) -> None:
    logging.getLogger("some.library").warning("odd %s", "thing", extra={"unit": 3})
    entry = configured.entry()
    assert (entry["MESSAGE"], entry["PRIORITY"]) == ("odd thing unit=3 logger=some.library", "4")
    assert (entry["SCOWL_UNIT"], entry["SCOWL_LOGGER"]) == ("3", "some.library")


@pytest.mark.parametrize("ours", [True, False])
def test_an_exception_is_one_entry(configured: Reader, ours: bool) -> None:
    try:
        raise ValueError("spoiled\nin two lines")
    except ValueError:
        (structlog.get_logger() if ours else logging.getLogger("library")).exception("request failed")
    entry = configured.entry()
    assert entry["MESSAGE"].startswith("request failed")
    assert entry["MESSAGE"].endswith("ValueError: spoiled\nin two lines")
    assert entry["SCOWL_EXCEPTION"].startswith("Traceback")
    assert entry["PRIORITY"] == "3"


def test_what_no_datagram_holds_arrives_whole(configured: Reader) -> None:
    text = "x" * 900_000
    structlog.get_logger().info("long", what=text)
    assert configured.entry()["SCOWL_WHAT"] == text


@pytest.mark.parametrize("name", ["token", "password", "Authorization", "key_pem"])
def test_secrets_are_not_shown(configured: Reader, name: str) -> None:
    structlog.get_logger().info("login", **{name: "s3cret"})
    logging.getLogger("library").warning("login", extra={name: "s3cret"})
    for _ in range(2):
        entry = configured.entry()
        assert "s3cret" not in str(entry)
        assert entry[f"SCOWL_{name.upper()}"] == "(not shown)"


def test_a_journal_that_does_not_read_costs_lines_and_says_how_many(reader: Reader) -> None:
    log = journald.Journald(reader.path)
    sent = 0
    while not log.lost:
        log.send({"event": f"line {sent}"})
        sent += 1
    for _ in range(5):
        log.send({"event": "lost too"})
    assert log.lost == 6
    for number in range(sent - 1):
        assert reader.entry()["SCOWL_EVENT"] == f"line {number}"
    log.send({"event": "taken again"})
    assert reader.entry()["SCOWL_EVENT"] == "taken again"
    told = reader.entry()
    assert (told["SCOWL_EVENT"], told["SCOWL_LINES"], told["PRIORITY"]) == ("log_lines_lost", "6", "4")
    assert log.lost == 0
    log.close()


def test_no_journal_at_all_stops_nobody(tmp_path: Path) -> None:
    log = journald.Journald(str(tmp_path / "nobody"))
    log.send({"event": "x"})
    assert log.lost == 1
    log.close()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("word", "word"),
        ("two words", '"two words"'),
        ("", '""'),
        (None, "null"),
        ("a=b", '"a=b"'),
        (1 << 70, str(1 << 70)),
    ],
)
def test_values_read_as_words_or_json(value: Any, shown: str) -> None:
    assert journald.fields_of({"event": "x", "v": value})["MESSAGE"] == f"x v={shown}"


def test_names_of_fields_are_what_journald_takes() -> None:
    fields = journald.fields_of({"event": "x", "9 odd-näme": 1, "_private": 2, "y" * 80: 3})
    assert {"SCOWL_9_ODD_N_ME", "SCOWL__PRIVATE", "SCOWL_" + "Y" * 58} <= set(fields)


def test_another_stream_is_not_journald(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        assert not journald.connected_to_journald(stream, {})
        assert not journald.connected_to_journald(stream, {"JOURNAL_STREAM": "1:2"})
        assert not journald.connected_to_journald(stream, {"JOURNAL_STREAM": "nonsense"})
