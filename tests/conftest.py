"""Holds for all tests: with SCOWL_REQUIRE_ALL=1 a skip that is not listed in allowed-skips.txt is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

import pytest

ALLOWED = Path(__file__).with_name("allowed-skips.txt")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def allowed_skips(text: str) -> list[str]:
    """Patterns of test ids that may be skipped: one a line, `#` begins a comment."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def judge(report: Report) -> Report:
    """Turns a skip that is not allowed into a failure that gives its reason."""
    if not report.skipped or hasattr(report, "wasxfail") or os.environ.get("SCOWL_REQUIRE_ALL") != "1":
        return report
    if not any(fnmatch(report.nodeid, pattern) for pattern in allowed_skips(ALLOWED.read_text())):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason}; SCOWL_REQUIRE_ALL=1 allows only the skips listed in tests/{ALLOWED.name}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return judge((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return judge((yield))
