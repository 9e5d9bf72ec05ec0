"""SCOWL_REQUIRE_ALL=1 turns a skip that nobody allowed into a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest

def test_runs(): pass

def test_skips(): pytest.skip("no such tool")

@pytest.mark.skip(reason="never")
def test_marked(): pass

@pytest.mark.xfail
def test_expected(): raise AssertionError
"""


@pytest.mark.parametrize(
    ("allowed", "require", "failed"),
    [
        ("", "0", set()),
        ("", "1", {"test_skips", "test_marked", "test_module.py"}),
        ("tests/test_some.py::test_skips  # not on this machine", "1", {"test_marked", "test_module.py"}),
        ("tests/test_some.py::*\ntests/test_module.py", "1", set()),
    ],
)
def test_only_listed_skips_pass(allowed: str, require: str, failed: set[str], tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(CONFTEST, tests)
    (tests / "allowed-skips.txt").write_text(f"# a comment\n{allowed}\n")
    (tests / "test_some.py").write_text(TESTS)
    (tests / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-rA",
            "--continue-on-collection-errors",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            "tests",
        ],
        cwd=tmp_path,
        env={**os.environ, "SCOWL_REQUIRE_ALL": require},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    found = {
        line.split(" - ")[0].split("::")[-1].split("/")[-1] for line in lines if line.startswith(("FAILED ", "ERROR "))
    }
    assert found == failed, done.stdout
    assert bool(done.returncode) is bool(failed)
    if failed:
        assert "no such tool" in done.stdout or "no_such_module" in done.stdout
