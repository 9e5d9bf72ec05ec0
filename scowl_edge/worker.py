"""A process of its own for work that takes longer than a step may: what the core asks for, and the answer as an event.

One piece of work at a time; of several that wait only the latest of each job is done. The process starts with the first
piece, runs at low priority, and ends with the daemon: it is killed, or its input closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import structlog

from scowl_edge.contracts import Clock
from scowl_edge.model.effect import Ask
from scowl_edge.model.event import Answer
from scowl_edge.model.flexibility import Proposal

log = structlog.get_logger(__name__)

_LENGTH = struct.Struct("<Q")
NICE = 10
"""The control loop goes first on a busy machine."""

Work = Callable[[Any], Proposal]
"""What is done in the process: a function of a module, from what the core gave to what it proposes."""


class Worker:
    """Does the core's asks in another process."""

    def __init__(
        self,
        work: Work,
        answer: Callable[[Answer], None],
        clock: Clock,
        *,
        rate: float = 1.0,
        warm: Callable[[], None] | None = None,
    ) -> None:
        """`answer` takes what came of each piece of work, failures too; `rate` is how much faster the clock runs.

        `warm` is done first in each new process, before the time of any piece of work counts.
        """
        self._warm = warm
        self._work = work
        self._answer = answer
        self._clock = clock
        self._rate = rate
        self._waiting: dict[str, tuple[Ask, Any]] = {}
        self._some = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self.done = 0
        self.failed = 0
        self.replaced = 0
        """Pieces of work that a later one of the same job took the place of before they began."""

    def ask(self, ask: Ask, what: object) -> None:
        """Queues a piece of work; `what` must not change any more."""
        self.replaced += ask.job in self._waiting
        self._waiting[ask.job] = (ask, what)
        self._some.set()

    @property
    def waiting(self) -> int:
        """Pieces of work that have not begun."""
        return len(self._waiting)

    async def run(self) -> None:
        """Works until cancelled."""
        try:
            if self._warm is not None:
                # Compilers take their time: better now than when somebody waits for a plan.
                with contextlib.suppress(OSError, EOFError):
                    await self._running()
            while True:
                while not self._waiting:
                    self._some.clear()
                    await self._some.wait()
                ask, what = self._waiting.pop(next(iter(self._waiting)))
                self._answer(await self._do(ask, what))
        finally:
            await self._end()

    async def _do(self, ask: Ask, what: object) -> Answer:
        try:
            process = await self._running()
        except (OSError, EOFError) as error:
            status = await self._end()
            return self._failure(ask, f"the process cannot begin ({type(error).__name__}, exit status {status})")
        left_s = (ask.by_ms - self._clock.mono_ms()) / 1000 / self._rate
        if left_s <= 0:
            return self._failure(ask, "no time was left for it when its turn came")
        try:
            async with asyncio.timeout(left_s):
                answer = await self._exchange(process, pickle.dumps((self._work, what)))
        except TimeoutError:
            await self._end()
            return self._failure(ask, f"not done within {left_s:.1f} s; the process was ended")
        except (OSError, EOFError) as error:
            status = await self._end()
            return self._failure(ask, f"the process ended by itself ({type(error).__name__}, exit status {status})")
        if isinstance(answer, str):
            return self._failure(ask, answer)
        if not isinstance(answer, Proposal):
            return self._failure(ask, f"it gave {type(answer).__name__}, not a proposal")
        self.done += 1
        return Answer(job=ask.job, revision=ask.revision, proposal=answer)

    def _failure(self, ask: Ask, why: str) -> Answer:
        self.failed += 1
        log.warning("work_failed", job=ask.job, revision=ask.revision, why=why)
        return Answer(job=ask.job, revision=ask.revision, proposal=None, failure=why)

    async def _running(self) -> asyncio.subprocess.Process:
        """The process, begun and warm."""
        process = self._process
        if process is not None and process.returncode is None:
            return process
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "scowl_edge.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        if self._warm is not None:
            failure = await self._exchange(process, pickle.dumps((_warmed, self._warm)))
            if failure is not None:
                log.warning("worker_not_warm", why=failure)
        return process

    async def _exchange(self, process: asyncio.subprocess.Process, data: bytes) -> Any:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        process.stdin.write(_LENGTH.pack(len(data)))
        process.stdin.write(data)
        await process.stdin.drain()
        (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
        return pickle.loads(await process.stdout.readexactly(length))

    async def _end(self) -> int | None:
        """Ends the process, whatever it does; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


def _warmed(warm: Callable[[], None]) -> None:
    warm()


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Does one piece of work after another until the input ends."""
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        data = source.read(_LENGTH.unpack(head)[0])
        try:
            work, what = pickle.loads(data)
            answer: Proposal | str | None = work(what)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answer = f"{type(error).__name__}: {error}"
        out = pickle.dumps(answer)
        target.write(_LENGTH.pack(len(out)))
        target.write(out)
        target.flush()


if __name__ == "__main__":
    os.nice(NICE)
    # What prints must not come between the answers.
    channel = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, channel)
