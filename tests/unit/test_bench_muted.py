"""What a library writes to standard output by itself is kept out of a benchmark's tables, and nothing else is."""

from __future__ import annotations

import ctypes
import sys

import pytest

from bench.muted import muted


def test_what_is_printed_within_is_swallowed_and_all_around_it_stays(capfd: pytest.CaptureFixture[str]) -> None:
    c = ctypes.CDLL(None)
    print("a row")
    c.printf(b"waiting in the library's buffer\n")
    with muted():
        print("from Python")
        c.printf(b"from a library\n")
    print("another row")
    sys.stdout.flush()
    c.fflush(None)
    told = capfd.readouterr().out
    assert sorted(told.splitlines()) == ["a row", "another row", "waiting in the library's buffer"]


def test_a_failure_within_gives_standard_output_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), muted():
        _ = 1 // 0
    print("a row")
    assert capfd.readouterr().out == "a row\n"
