"""The Makefile, CI and what is shipped: cheap checks, nothing is installed here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS")) and k != "ARGS"}

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed: apt-get install make")


def make(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs make without what an outer make has put into the environment."""
    return subprocess.run(
        ["make", *arguments], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False
    )


def would_run(target: str, tmp_path: Path) -> str:
    """The commands of a target in an environment that is not there yet."""
    done = make("-n", target, f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def fake_python(directory: Path, body: str) -> Path:
    """An interpreter that is the present one, but for one thing."""
    file = directory / "python"
    file.write_text(f'#!/bin/sh\n{body}\nexec {sys.executable} "$@"\n')
    file.chmod(0o755)
    return file


def test_help_lists_every_target() -> None:
    for arguments in ([], ["help"]):
        done = make(*arguments)
        assert done.returncode == 0
        assert [line.split()[0] for line in done.stdout.splitlines()] == TARGETS
        assert all(len(line.split()) > 3 for line in done.stdout.splitlines()), "a target does not say what it does"


def test_the_promised_targets_are_there_and_no_files() -> None:
    assert {"demo", "test", "lint", "bench", "clean"} <= set(TARGETS)
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(TARGETS)


@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench"])
def test_each_target_sets_itself_up_and_asks_for_no_rights(target: str, tmp_path: Path) -> None:
    commands = would_run(target, tmp_path)
    assert "-m venv" in commands
    assert "-m pip install" in commands
    assert "sudo" not in commands
    assert "sudo" not in (ROOT / "tests" / "system-packages.sh").read_text()


def test_make_test_runs_all_tests_three_at_a_time(tmp_path: Path) -> None:
    commands = would_run("test", tmp_path)
    assert re.search(r"pytest -n 3 --dist worksteal *$", commands)
    assert "-m pytest -n 3 --dist worksteal tests/unit" in make("-n", "test", "ARGS=tests/unit").stdout


def test_make_test_compiles_kernels_once_and_not_in_three_processes_at_a_time(tmp_path: Path) -> None:
    commands = would_run("test", tmp_path)
    assert 0 < commands.index("-m scowl_edge.tracker.population.warm") < commands.index("-m pytest")


def test_a_demo_with_a_population_has_compiled_kernels(tmp_path: Path) -> None:
    arguments = ("-n", "demo", f"VENV={tmp_path / 'venv'}")
    assert "'.[opcua]'" in make(*arguments).stdout
    with_town = make(*arguments, "ARGS=--population 100000").stdout
    assert "'.[opcua,scale]'" in with_town and with_town.rstrip().endswith("scowl-edge demo --population 100000")


@pytest.mark.parametrize("target", ["stories", "laws"])
def test_the_long_forms_are_tests_of_make_test_under_another_setting(target: str, tmp_path: Path) -> None:
    commands = would_run(target, tmp_path)
    setting, name = re.findall(r"(SCOWL_[A-Z]+)=long exec \S+ -m (pytest)", commands)[0]
    files = re.findall(r"tests/\S+\.py", commands)
    assert name == "pytest"
    assert files
    for file in files:
        directory = (ROOT / file).parent
        assert (ROOT / file).exists()
        assert any(setting in path.read_text() for path in directory.glob("*.py")), f"{file} knows no {setting}"


def test_make_lint_checks_style_format_and_types(tmp_path: Path) -> None:
    commands = would_run("lint", tmp_path)
    assert all(part in commands for part in ("ruff check .", "ruff format --check .", "mypy"))


def test_every_make_command_in_the_documents_exists() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        told = set(re.findall(r"(?:^\$ |`)make ([a-z]+)", (ROOT / page).read_text(), re.MULTILINE))
        assert told <= set(TARGETS), page
        assert {"test", "lint"} <= told, page


def test_ci_lints_and_tests_and_lets_no_skip_through() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines.index("export SCOWL_REQUIRE_ALL=1") < lines.index("make lint") < lines.index("make test")
    assert "set -euo pipefail" in lines


def test_an_old_python_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    old = fake_python(tmp_path, 'case "$*" in *version_info*) exit 1;; *--version*) echo Python 3.9.2; exit;; esac')
    done = make("demo", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}")
    assert done.returncode == 2
    assert "needs Python 3.11 or newer" in done.stderr
    assert "Python 3.9.2" in done.stderr
    assert "make demo PYTHON=python3.11" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_missing_ensurepip_names_the_package(tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "ensurepip.py").write_text("raise ModuleNotFoundError\n")
    bare = fake_python(tmp_path, f"export PYTHONPATH={tmp_path / 'path'}")
    done = make("test", f"VENV={tmp_path / 'venv'}", f"PYTHON={bare}")
    assert done.returncode == 2
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    assert "apt-get install python3-venv" in done.stderr
    assert version in done.stderr
    assert not (tmp_path / "venv").exists()


def test_clean_names_only_what_git_ignores() -> None:
    removed = re.findall(r"[\w./-]+", MAKEFILE.split("\trm -rf $(VENV) ", 1)[1].split("\n", 1)[0])
    ignored = (ROOT / ".gitignore").read_text().split()
    missing = [path for path in removed if f"{path}/" not in ignored and f"/{path}/" not in ignored]
    assert not missing, f"make clean removes what may be somebody's work: {missing}"
