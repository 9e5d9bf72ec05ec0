"""Kernels: plain Python over arrays, compiled where the `scale` extra is installed. One source, the same integers.

Uncompiled, a kernel is an ordinary function, which is fast enough for a small site. Compiled or not, it must give the
same result: so every element is widened by `int(...)` before arithmetic (narrow types are storage only), indices are
ints, and no float takes part in what decides.

Uncompiled, `int(...)` is enough. Compiled, it leaves a narrow type as it is, and arithmetic is what widens: sums,
products, quotients have 64 bits. Three forms go wrong all the same, and are written otherwise:

- `abs(x)` and `-x` overflow at the least value of a narrow type: `abs(0 + x)`, `0 - x`;
- the difference (or any result) of two unsigned values is unsigned, 1 - 2 being 2^64 - 1: `0 + x - y`;
- a name that holds such a result on one way and a signed one on another is a float.

What a kernel is called with is 64 bits wide, whatever the caller has (but for np.uint32): so each is compiled once, and
its arguments are safe in every form. Tests read the types that the compiler has found (test_population_types.py).

The compiler is loaded with the first module that holds a kernel: a site without a population never pays for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar, cast

from scowl_edge import kernel_cache
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


@cache
def _compiler() -> tuple[Any, Path | None]:
    """(the compiler, where what it makes is kept)."""
    where = kernel_cache.directory()
    import numba

    return numba, where


def _compiled(function: F, **options: bool) -> F:
    if not COMPILED:
        return function
    numba, where = _compiler()
    made = numba.njit(nogil=True, no_cfunc_wrapper=True, **options)(function)
    if where is not None:
        kernel_cache.keep(made, where)
    compile_for = made.compile
    # An instance's own: the compiler asks here whenever somebody calls with types that it has not seen yet.
    made.compile = lambda types: compile_for(tuple(map(_widened, types)) if isinstance(types, tuple) else types)
    return cast(F, made)


def _widened(kind: Any) -> Any:
    """Type that a kernel is compiled for where a caller has this one.

    Bits that are meant to be bits, np.uint32, stay: a hash of them fits twice as many into a register.
    """
    types = _compiler()[0].types
    if isinstance(kind, types.BooleanLiteral):
        return types.boolean
    narrow = isinstance(kind, types.Integer) and kind.bitwidth < 64 and kind != types.uint32
    return types.int64 if narrow or isinstance(kind, types.IntegerLiteral) else kind


def kernel(function: F) -> F:
    """Marks a kernel. It is compiled at its first call and kept on disk; uncompiled it stays an ordinary function."""
    return _compiled(function)


def inner_kernel(function: F) -> F:
    """Marks a kernel that only kernels call: without the way in from Python, it compiles in a third of the time."""
    return _compiled(function, no_cpython_wrapper=True)


def parallel_kernel(function: F) -> F:
    """Marks a kernel whose `prange` loops run on all cores."""
    return _compiled(function, parallel=True)


def __getattr__(name: str) -> Any:
    # `prange` is `range`, shared among threads in a `parallel_kernel`; every turn must be independent of the others.
    if name == "prange":
        return _compiler()[0].prange if COMPILED else range
    raise AttributeError(name)
