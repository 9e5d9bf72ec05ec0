"""Kernels: plain Python over arrays, compiled where the `scale` extra is installed. One source, the same integers.

Uncompiled, a kernel is an ordinary function, which is fast enough for a small site. Compiled or not, it must give the
same result: so every element is widened by `int(...)` before arithmetic (narrow types are storage only), indices are
ints, and no float takes part in what decides.

The compiler is loaded with the first module that holds a kernel: a site without a population never pays for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

from scowl_edge.model.errors import ScowlError

F = TypeVar("F", bound=Callable[..., Any])

PLAIN_LIMIT = 2_000
"""Most consumers that uncompiled kernels are let loose on."""
COMPILED = find_spec("numba") is not None and os.environ.get("SCOWL_KERNELS", "") != "plain"
"""Whether kernels are compiled in this process. `SCOWL_KERNELS=plain` in the environment keeps them uncompiled."""
_CACHE_DIRECTORY = "NUMBA_CACHE_DIR"


class NotCompiled(ScowlError):
    """A population is too large for uncompiled kernels."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(f"{what}; {todo}")
        self.what, self.todo = what, todo


def require_compiled(consumers: int) -> None:
    """Refuses a population that uncompiled kernels could not keep up with.

    Raises:
        NotCompiled: more than `PLAIN_LIMIT` consumers, and kernels are not compiled here.
    """
    if not COMPILED and consumers > PLAIN_LIMIT:
        raise NotCompiled(
            f"{consumers:,} consumers are too many for uncompiled kernels (at most {PLAIN_LIMIT:,})",
            "install the extra `scale`: pip install 'scowl-edge[scale]'",
        )


def cache_directory() -> Path | None:
    """Where compiled kernels are kept between starts; None where nothing can be written.

    What the environment names; under a service manager the state directory; else beside the source, or in the user's
    cache.
    """
    if named := os.environ.get(_CACHE_DIRECTORY):
        return Path(named)
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0]) / "kernels"
    beside = Path(__file__).parent
    if os.access(beside, os.W_OK):
        return beside / "__pycache__"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/")) / ".cache")
    there = next(p for p in (home, *home.parents) if p.exists())
    return home / "scowl-edge" if os.access(there, os.W_OK) else None


@cache
def _numba() -> tuple[Any, bool]:
    """(the compiler, whether what it makes can be kept)."""
    directory = cache_directory()
    if directory is not None and directory.name != "__pycache__":
        os.environ[_CACHE_DIRECTORY] = str(directory)
    import numba

    return numba, directory is not None


def _compiled(function: F, **options: bool) -> F:
    if not COMPILED:
        return function
    numba, keep = _numba()
    return cast(F, numba.njit(cache=keep, nogil=True, **options)(function))


def kernel(function: F) -> F:
    """Marks a kernel. It is compiled at its first call and kept on disk; uncompiled it stays an ordinary function."""
    return _compiled(function)


def inner_kernel(function: F) -> F:
    """Marks a kernel that only kernels call: without the way in from Python, it compiles in a third of the time."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def parallel_kernel(function: F) -> F:
    """Marks a kernel whose `prange` loops run on all cores."""
    return _compiled(function, parallel=True)


def __getattr__(name: str) -> Any:
    # `prange` is `range`, shared among threads in a `parallel_kernel`; every turn must be independent of the others.
    if name == "prange":
        return _numba()[0].prange if COMPILED else range
    raise AttributeError(name)
