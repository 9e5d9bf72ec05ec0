"""The interpreter looks for cycles of dead objects; what lives as long as the daemon need not be looked through.

With 5,000 devices each full look would hold the event loop for 100 to 300 ms, every few seconds.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

ASKED_EVERY_S = 1.0
THRESHOLDS = (5_000, 10, 50)
"""As `gc.set_threshold` takes them. What comes and goes with each request dies by its reference count; by the
interpreter's own thresholds the rest would be looked through every second."""


def set_aside() -> None:
    """Takes everything that is alive now out of all later looks. Reference counts still free it when it goes."""
    gc.collect()
    gc.freeze()


async def set_aside_lasting(is_complete: Callable[[], bool]) -> None:
    """Sets aside what is there now, and again when the last connections have been made."""
    gc.set_threshold(*THRESHOLDS)
    set_aside()
    complete = False
    while not complete:
        await asyncio.sleep(ASKED_EVERY_S)
        complete = is_complete()
    set_aside()
