"""Where compiled kernels are kept between starts: a directory for each state of their sources.

The compiler looks whether the file of a kernel has changed, not those of the kernels that it calls, nor those of the
constants that it was compiled with. So the name of the directory holds a digest of all of them. What cannot be read or
written there costs time, never a step: the kernel is compiled again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

_NAME = "scowl-kernels-"
_UNUSED_S = 7 * 86_400
_HERE = Path(__file__).parent
_SOURCES = (
    _HERE / "compiled.py",
    _HERE / "kernel_cache.py",
    _HERE / "tracker" / "population",
    _HERE / "dsr" / "choice",
)


def directory() -> Path | None:
    """Where the kernels of these sources are kept, made if need be; None where nothing can be written.

    What nobody has used for a week there, of other sources, is removed.
    """
    place = _place()
    if place is None:
        return None
    own = place / (_NAME + digest(_SOURCES))
    try:
        own.mkdir(parents=True, exist_ok=True)
        os.utime(own)
    except OSError:
        return None
    remove_unused(own, time.time())
    return own


def _place() -> Path | None:
    """What the environment names; under a service manager the state directory; else beside the source, or in the user's
    cache."""
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(named)
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":")[0]) / "kernels"
    if os.access(_HERE, os.W_OK):
        return _HERE / "__pycache__"
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/")) / ".cache")
    there = next(p for p in (home, *home.parents) if p.exists())
    return home / "scowl-edge" if os.access(there, os.W_OK) else None


def digest(sources: Iterable[Path]) -> str:
    """Of the names and contents of these modules, and of all modules right below those that are directories."""
    state = hashlib.blake2b(digest_size=12)
    for source in sources:
        for file in sorted(source.glob("*.py")) if source.is_dir() else (source,):
            text = file.read_bytes()
            state.update(f"{file.name}:{len(text)}:".encode() + text)
    return state.hexdigest()


def remove_unused(own: Path, now_s: float) -> None:
    """Removes what stands beside our own directory, is of our making, and was not used for a week before `now_s`."""
    for other in own.parent.glob(_NAME + "*"):
        try:
            unused = other != own and other.is_dir() and now_s - other.stat().st_mtime > _UNUSED_S
        except OSError:
            continue  # somebody else removed it meanwhile
        if unused:
            shutil.rmtree(other, ignore_errors=True)


@cache
def _kept() -> Any:
    # Any: of the compiler's own types some are there and some are not.
    on_disk: Any = import_module("numba.core.caching").FunctionCache

    class Kept(on_disk):  # type: ignore[misc]
        """What cannot be loaded is compiled again; what cannot be stored is not."""

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            # A damaged file, or types that are gone, show as almost any exception.
            try:
                return super().load_overload(sig, target_context)
            except Exception:  # noqa: BLE001
                self._forget()
                return None

        def save_overload(self, sig: Any, data: Any) -> None:
            try:
                super().save_overload(sig, data)
            except Exception:  # noqa: BLE001 - a full disk, or an index that is damaged
                self._forget()

        def _forget(self) -> None:
            try:
                self.flush()
            except OSError:
                self.disable()

    return Kept


def keep(dispatcher: Any, where: Path) -> None:
    """Lets the compiler keep in `where` what it makes of one kernel, for this and for later processes."""
    config: Any = import_module("numba").config
    # Set here, not in the environment: processes that this one starts find their own.
    config.CACHE_DIR = str(where)
    dispatcher._cache = _kept()(dispatcher.py_func)
