"""Log lines: JSON for programs, text for people, libraries included."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from scowl_edge import logs


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_json_lines() -> None:
    out = io.StringIO()
    logs.configure(stream=out)
    structlog.get_logger().info("order taken", who="Ada", watts=3)
    structlog.get_logger().debug("not shown")
    logging.getLogger("some.library").warning("odd %s", "thing", extra={"unit": 3})
    logging.getLogger("pymodbus.x").info("chatter")
    ours, theirs = map(orjson.loads, out.getvalue().splitlines())
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {"event": "order taken", "level": "info", "who": "Ada", "watts": 3}
    assert theirs.pop("timestamp").endswith("Z")
    assert theirs == {"event": "odd thing", "level": "warning", "logger": "some.library", "unit": 3}


def test_an_exception_stays_on_one_line() -> None:
    out = io.StringIO()
    logs.configure(stream=out)
    try:
        raise ValueError("spoiled")
    except ValueError:
        structlog.get_logger().exception("request failed")
    (line,) = out.getvalue().splitlines()
    assert "ValueError: spoiled" in orjson.loads(line)["exception"]


def test_what_json_does_not_know_is_written_as_text() -> None:
    out = io.StringIO()
    logs.configure(stream=out)
    structlog.get_logger().info("x", where={1: object})
    assert "<class 'object'>" in orjson.loads(out.getvalue())["where"]["1"]


def test_text_on_a_terminal() -> None:
    out = Terminal()
    logs.configure(logging.DEBUG, out)
    structlog.get_logger().debug("hello", unit=3)
    assert "hello" in out.getvalue()
    assert not out.getvalue().startswith("{")
