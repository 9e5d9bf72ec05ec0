"""A worker does what it is asked in a process of its own, and whatever happens there ends as an answer."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from scowl_edge.clocks import SystemClock
from scowl_edge.model.effect import Ask
from scowl_edge.model.event import Answer
from scowl_edge.model.flexibility import Proposal
from scowl_edge.worker import Worker


def proposal(number: int = 0) -> Proposal:
    return Proposal(
        number=number, picks=(), objective=number, bound=os.getpid(), idle_objective=os.nice(0), gap_ppm=None
    )


def proposed(answer: Answer) -> Proposal:
    assert answer.proposal is not None, answer.failure
    return answer.proposal


def work(what: object) -> Proposal:
    """What a test wants the process to do."""
    match what:
        case int():
            return proposal(what)
        case "print":
            print("a line that is no answer")
            return proposal()
        case "fail":
            raise ValueError("no such offer")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(60)
    raise AssertionError(what)


@pytest.fixture(autouse=True)
def found_by_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))


def driven(course: Callable[[Worker, asyncio.Queue[Answer]], Awaitable[None]]) -> Worker:
    async def run() -> Worker:
        answers: asyncio.Queue[Answer] = asyncio.Queue()
        worker = Worker(work, answers.put_nowait, SystemClock())
        task = asyncio.create_task(worker.run())
        try:
            async with asyncio.timeout(60):
                await course(worker, answers)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return worker

    return asyncio.run(run())


def ask(job: str = "selection", revision: int = 1, within_ms: int = 50_000) -> Ask:
    return Ask(job=job, revision=revision, by_ms=SystemClock().mono_ms() + within_ms)


def test_it_works_in_another_process_at_low_priority() -> None:
    async def course(worker: Worker, answers: asyncio.Queue[Answer]) -> None:
        worker.ask(ask(revision=7), 42)
        first = await answers.get()
        made = proposed(first)
        assert (first.job, first.revision, made.objective, first.failure) == ("selection", 7, 42, "")
        assert made.bound != os.getpid() and made.idle_objective > os.nice(0)
        worker.ask(ask(), 43)
        assert proposed(await answers.get()).bound == made.bound, "the process stays"
        worker.ask(ask(), "print")
        assert not (await answers.get()).failure

    worker = driven(course)
    assert (worker.done, worker.failed) == (3, 0)


def test_only_the_latest_of_a_job_is_done() -> None:
    async def course(worker: Worker, answers: asyncio.Queue[Answer]) -> None:
        for number in range(5):
            worker.ask(ask(revision=number), number)
        worker.ask(ask(job="other"), 9)
        found = [await answers.get() for _ in range(2)]
        assert [(a.job, a.revision, proposed(a).objective) for a in found] == [("selection", 4, 4), ("other", 1, 9)]

    assert driven(course).replaced == 4


def test_what_goes_wrong_is_an_answer_and_the_next_one_is_done() -> None:
    async def course(worker: Worker, answers: asyncio.Queue[Answer]) -> None:
        for what, text in (
            ("fail", "ValueError: no such offer"),
            ("die", "the process ended by itself"),
            ("hang", "not done within"),
        ):
            worker.ask(ask(within_ms=1_500 if what == "hang" else 50_000), what)
            assert text in (await answers.get()).failure
            worker.ask(ask(), 1)
            assert proposed(await answers.get()).objective == 1
        worker.ask(ask(within_ms=-1), 1)
        assert "no time was left" in (await answers.get()).failure

    worker = driven(course)
    assert (worker.done, worker.failed) == (3, 4)


def test_its_process_ends_with_it() -> None:
    seen: list[int] = []

    async def course(worker: Worker, answers: asyncio.Queue[Answer]) -> None:
        worker.ask(ask(), 1)
        seen.append(proposed(await answers.get()).bound or 0)

    driven(course)
    assert not Path(f"/proc/{seen[0]}").exists()
