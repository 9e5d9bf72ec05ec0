"""The soak as a program: stopped with Ctrl-C, it goes on where it was; a seed alone comes out the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scowl_edge.compiled import COMPILED

ROOT = Path(__file__).parents[3]
SEEDS = 8
YEARS = "0.0008"
"""Over so many seeds: one episode each. What is left when the first is done takes many times longer than a signal."""

pytestmark = pytest.mark.skipif(not COMPILED, reason="the kernels are not compiled: the extra `scale` is not installed")


def soak(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-m", "simulators.world.soak", "--years", YEARS, "--seeds", str(SEEDS), *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."})


def test_a_soak_is_stopped_and_goes_on_and_its_seeds_repeat(tmp_path: Path) -> None:
    state, report = tmp_path / "state", tmp_path / "reliability.md"
    arguments = ("--state", str(state), "--workers", "1", "--report", str(report))
    first = soak(*arguments)
    assert first.stdout is not None
    assert "0 are done" in first.stdout.readline()
    assert first.stdout.readline().startswith(f"1/{SEEDS}: seed 1, ")
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=120)
    assert "the same command goes on" in said
    assert first.returncode == 3
    assert not report.exists()
    kept = {f.name: f.read_text() for f in state.glob("seed-*.json")}
    assert "seed-000001.json" in kept
    assert len(kept) < SEEDS

    second = soak(*arguments[:-4], "--workers", "2", *arguments[-2:])
    said, _ = second.communicate(timeout=240)
    assert f"{len(kept)} are done" in said
    assert f"{SEEDS} seeds" in said
    assert second.returncode == 0, said
    assert {name: (state / name).read_text() for name in kept} == kept
    assert f"| Seeds | {SEEDS} |" in report.read_text()

    alone = soak("--seed", "3")
    said, _ = alone.communicate(timeout=120)
    assert alone.returncode == 0
    again, before = json.loads(said), json.loads((state / "seed-000003.json").read_text())
    for took in ("spent_s", "wall_s"):
        del again[took], before[took]
    assert again == before
