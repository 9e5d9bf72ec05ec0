"""Kernels: plain Python over arrays, compiled where the `scale` extra is installed. One source, the same integers.

Uncompiled, a kernel is an ordinary function, which is fast enough for a small site. Compiled or not, it must give the
same result: so every element is widened by `int(...)` before arithmetic (narrow types are storage only), indices are
ints, and no float takes part in what decides.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar, cast

from scowl_edge.model.errors import ScowlError

F = TypeVar("F", bound=Callable[..., Any])

PLAIN_LIMIT = 2_000
"""Most consumers that uncompiled kernels are let loose on."""
COMPILED = find_spec("numba") is not None and os.environ.get("SCOWL_KERNELS", "") != "plain"
"""Whether kernels are compiled in this process. `SCOWL_KERNELS=plain` in the environment keeps them uncompiled."""


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


if COMPILED:
    import numba

    prange: Any = numba.prange
    """`range`, shared among threads in a `parallel_kernel`; every turn must be independent of the others."""

    def kernel(function: F) -> F:
        """Marks a kernel. It is compiled at its first call and kept on disk."""
        return cast(F, numba.njit(cache=True, nogil=True)(function))

    def inner_kernel(function: F) -> F:
        """Marks a kernel that only kernels call: without the way in from Python, it compiles in a third of the time."""
        compiled: Any = numba.njit
        return cast(F, compiled(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function))

    def parallel_kernel(function: F) -> F:
        """Marks a kernel whose `prange` loops run on all cores."""
        return cast(F, numba.njit(cache=True, nogil=True, parallel=True)(function))

else:
    prange = range

    def kernel(function: F) -> F:
        """Marks a kernel; it stays an ordinary function here."""
        return function

    inner_kernel = kernel
    parallel_kernel = kernel
