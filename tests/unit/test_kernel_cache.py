"""Kernels that were compiled from other sources are never used, and a damaged store of them is no obstacle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scowl_edge import kernel_cache
from scowl_edge.compiled import COMPILED
from scowl_edge.kernel_cache import digest, directory, remove_unused

DAY_S = 86_400

PROGRAM = """
import sys
import numba.core.event as compiling
from scowl_edge import kernel_cache
from pathlib import Path
kernel_cache._SOURCES = (Path("kernels"),)
from kernels.outer import outer
listener = compiling.RecordingListener()
with compiling.install_listener("numba:compile", listener):
    print(outer(1), len(listener.buffer) // 2)
"""
INNER = """
from scowl_edge.compiled import inner_kernel

@inner_kernel
def inner(number):
    return number + {}
"""
OUTER = """
from scowl_edge.compiled import kernel
from kernels.inner import inner

@kernel
def outer(number):
    return inner(number)
"""

needs_compiler = pytest.mark.skipif(not COMPILED, reason="kernels are not compiled: the extra `scale` is not installed")


class Kernels:
    """Two kernels in files of their own, one calling the other, and a store of what is compiled."""

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, path / "store"
        (path / "kernels").mkdir()
        (path / "kernels" / "outer.py").write_text(OUTER)
        self.write(1)

    def write(self, added: int) -> None:
        """The inner one adds this from now on."""
        (self.path / "kernels" / "inner.py").write_text(INNER.format(added))

    def run(self) -> tuple[int, int]:
        """(what comes out for 1, how many kernels were compiled) in a process of its own."""
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(self.store), "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=self.path, env=environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        result, compiled = done.stdout.split()
        return int(result), int(compiled)


@pytest.fixture
def kernels(tmp_path: Path) -> Kernels:
    return Kernels(tmp_path)


@needs_compiler
def test_a_kernel_is_compiled_again_if_one_that_it_calls_has_changed(kernels: Kernels) -> None:
    assert kernels.run() == (2, 2)
    kernels.write(5)
    assert kernels.run() == (6, 2)
    kernels.write(1)
    assert kernels.run() == (2, 0), "both states of the sources are kept"


@needs_compiler
def test_damaged_files_are_compiled_again_and_replaced(kernels: Kernels) -> None:
    kernels.run()
    for ending, damage in (
        ("nbi", lambda kept: kept[:100]),
        ("nbc", lambda kept: kept[:100]),
        # A pickle that asks for a module that is not there.
        ("nbc", lambda kept: b"cgone_with_the_wind\nColumns\n."),
    ):
        files = list(kernels.store.rglob(f"*.{ending}"))
        assert len(files) == 2
        for file in files:
            file.write_bytes(damage(file.read_bytes()))
        assert kernels.run() == (2, 2), (ending, "what is damaged is not used")
    assert kernels.run() == (2, 0)


@needs_compiler
def test_what_cannot_be_stored_is_compiled_all_the_same(kernels: Kernels) -> None:
    kernels.store.write_text("a file where a directory should be")
    assert kernels.run() == (2, 2)


def test_a_digest_tells_any_two_states_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    seen = []
    for texts in (("a", "b"), ("ab", ""), ("", "ab"), ("a", "c"), ("a", None)):
        for file, text in zip((one, other), texts, strict=True):
            file.unlink(missing_ok=True)
            if text is not None:
                file.write_text(text)
        seen.append(digest([tmp_path]))
    assert len(set(seen)) == len(seen)
    assert digest([one]) == seen[-1]
    os.utime(one, (0, 0))
    assert digest([one]) == seen[-1], "when a file was written does not matter"


def test_all_modules_that_hold_kernels_are_in_the_digest() -> None:
    package = Path(kernel_cache.__file__).parent
    holding = {p for p in package.rglob("*.py") if "from scowl_edge.compiled import" in p.read_text()}
    covered = {p for source in kernel_cache._SOURCES for p in (source.glob("*.py") if source.is_dir() else [source])}
    kernels = {p for p in holding if "kernel" in p.read_text().split("from scowl_edge.compiled import", 1)[1][:60]}
    assert len(kernels) > 20
    assert kernels <= covered


def test_where_kernels_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/state:{tmp_path}/second")
    own = directory()
    assert own is not None and own.is_dir() and own.parent == tmp_path / "state" / "kernels"
    monkeypatch.setenv("NUMBA_CACHE_DIR", f"{tmp_path}/named")
    named = directory()
    assert named is not None and named.parent == tmp_path / "named" and named.name == own.name


def test_what_nobody_has_used_for_a_week_is_removed_if_it_is_ours(tmp_path: Path) -> None:
    own, old, recent = (tmp_path / f"scowl-kernels-{n}" for n in ("own", "old", "recent"))
    strange, file = tmp_path / "strange", tmp_path / "scowl-kernels-file"
    now_s = time.time()
    for path in (own, old, recent, strange):
        path.mkdir()
        (path / "kept").write_text("")
    file.write_text("")
    for path, days in ((own, 30), (old, 8), (recent, 6), (strange, 30), (file, 30)):
        os.utime(path, (now_s - days * DAY_S,) * 2)
    remove_unused(own, now_s)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in (own, recent, strange, file))
