"""Many links to one manager's daemon, in small: whatever is said arrives once, before and after all links broke."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench import flex_links

ROOT = Path(__file__).parents[2]
LINKS = 50


def test_nothing_is_lost_between_a_provider_and_the_appliances_of_a_manager(tmp_path: Path) -> None:
    flex_links.issue(tmp_path, LINKS)
    command = [sys.executable, "-m", "bench.flex_links", "--role", "daemon", "--folder", str(tmp_path)]
    command += ["--loop", "asyncio", "--links", str(LINKS), "--rate", "100", "--seconds", "0.5"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["up"] == found["registered"] == found["again_up"] == LINKS
    lost = {key: value for key, value in found.items() if key.endswith("_lost")}
    assert len(lost) == 6 and not any(lost.values()), lost
    said = flex_links.verdicts(found)
    assert said[-1] == "lost 0 met (0)" and len(said) == len(flex_links.BOUNDS) + 1
