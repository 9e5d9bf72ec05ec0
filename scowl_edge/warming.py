"""Kernels are compiled before a start is ready, while the service manager is kept patient."""

from __future__ import annotations

import asyncio
import threading

import structlog

from scowl_edge.compiled import COMPILED
from scowl_edge.notify import Manager

log = structlog.get_logger(__name__)

_PATIENCE_S = 60
_TOLD_EVERY_S = 10.0


async def warm_kernels(manager: Manager) -> None:
    """Calls all kernels of populations once; up to a minute at the first start on a machine, then a second or two.

    Raises what a kernel raises.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    # A thread that does not hold up an end: whoever stops the daemon now need not wait for a compiler.
    threading.Thread(target=_warm, args=(loop, done), name="warming", daemon=True).start()
    started = loop.time()
    while not done.done():
        if COMPILED:
            manager.tell(STATUS="compiling kernels for populations", EXTEND_TIMEOUT_USEC=_PATIENCE_S * 1_000_000)
        await asyncio.wait([done], timeout=_TOLD_EVERY_S)
    await done
    log.info("kernels_ready", compiled=COMPILED, seconds=round(loop.time() - started, 1))


def _warm(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
    failure: Exception | None = None
    try:
        from scowl_edge.tracker.population.warm import warm

        warm()
    except Exception as error:  # noqa: BLE001 - handed on to who waits
        failure = error
    if not loop.is_closed():
        loop.call_soon_threadsafe(_settle, done, failure)


def _settle(done: asyncio.Future[None], failure: Exception | None) -> None:
    if done.done():
        return
    if failure is None:
        done.set_result(None)
    else:
        done.set_exception(failure)
