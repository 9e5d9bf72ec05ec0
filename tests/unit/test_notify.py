"""What the service manager hears: its protocol on a real socket, readiness once, and a watchdog fed by progress."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scowl_edge import notify
from scowl_edge.notify import Manager, attend


class Listener:
    """Stands where systemd stands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.setblocking(False)

    def heard(self) -> list[dict[str, str]]:
        """All messages that came since the last look."""
        messages = []
        while True:
            try:
                data = self.socket.recv(10_000)
            except BlockingIOError:
                return messages
            messages.append(dict(line.split("=", 1) for line in data.decode().split("\n")))


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    made = Listener(str(tmp_path / "notify") if request.param == "path" else f"@scowl-test-{os.getpid()}")
    yield made
    made.socket.close()


def manager(listener: Listener, **environ: str) -> Manager:
    return Manager({"NOTIFY_SOCKET": listener.name, **environ})


def test_fields_are_lines_of_one_datagram(listener: Listener) -> None:
    told = manager(listener)
    assert told.tell(READY=1, STATUS="two\n  lines and more")
    assert listener.heard() == [{"READY": "1", "STATUS": "two lines and more"}]
    told.close()
    assert not told.tell(READY=1)


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_manager_nothing_is_said(environ: dict[str, str]) -> None:
    nobody = Manager({**environ, "WATCHDOG_USEC": "1000000"})
    assert not nobody.listens
    assert not nobody.tell(READY=1)
    assert nobody.watchdog_s == 0


def test_a_manager_that_went_away_is_no_error(listener: Listener) -> None:
    told = manager(listener)
    listener.socket.close()
    assert told.tell(READY=1) is False
    told.close()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "77"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "78"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_the_watchdog_is_ours_only_if_it_is_meant_for_us(
    environ: dict[str, str], seconds: float, tmp_path: Path
) -> None:
    told = Manager({"NOTIFY_SOCKET": str(tmp_path / "x"), **environ}, pid=77)
    assert told.watchdog_s == seconds
    told.close()


class Patient:
    """Somebody to attend, as well or ill as the test says."""

    def __init__(self) -> None:
        self.is_ready = False
        self.is_stuck = ""
        self.line = "starting"

    def ready(self) -> bool:
        return self.is_ready

    def stuck(self) -> str:
        return self.is_stuck

    def status(self) -> str:
        return self.line


async def until(reached: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not reached():  # noqa: ASYNC110  # what is waited for comes from a socket
            await asyncio.sleep(0.005)


async def test_ready_is_told_once_and_the_watchdog_is_fed_only_while_there_is_progress(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "STATUS_EVERY_S", 0.05)
    told, patient = manager(listener, WATCHDOG_USEC="40000"), Patient()
    heard: list[dict[str, str]] = []

    def has(field: str, value: str) -> Callable[[], bool]:
        def look() -> bool:
            heard.extend(listener.heard())
            return any(message.get(field) == value for message in heard)

        return look

    task = asyncio.create_task(attend(told, patient))
    await until(has("STATUS", "starting"))
    await until(has("WATCHDOG", "1"))
    assert not has("READY", "1")()
    patient.is_ready, patient.line = True, "balanced"
    await until(has("READY", "1"))
    await until(has("STATUS", "balanced"))

    patient.is_stuck = "link plc: nothing is done"
    await until(has("STATUS", "stuck: link plc: nothing is done; balanced"))
    heard.clear()
    listener.heard()
    patient.line = "seen while stuck"
    await until(has("STATUS", "stuck: link plc: nothing is done; seen while stuck"))
    assert not has("WATCHDOG", "1")(), heard
    patient.is_stuck = ""
    await until(has("WATCHDOG", "1"))
    assert not has("READY", "1")(), "ready is told once"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    told.close()


async def test_the_status_is_told_at_most_every_five_seconds(listener: Listener) -> None:
    told, patient = manager(listener, WATCHDOG_USEC="8000"), Patient()
    task = asyncio.create_task(attend(told, patient))
    heard: list[dict[str, str]] = []
    count = 0

    def fed_often() -> bool:
        nonlocal count
        patient.line = f"line {(count := count + 1)}"
        heard.extend(listener.heard())
        return sum("WATCHDOG" in message for message in heard) >= 20

    await until(fed_often)
    assert len([message for message in heard if "STATUS" in message]) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    told.close()


async def test_ready_is_told_again_until_the_manager_takes_it(listener: Listener) -> None:
    told, patient = manager(listener, WATCHDOG_USEC="20000"), Patient()
    while told.tell(X="filler"):
        pass
    patient.is_ready = True
    task = asyncio.create_task(attend(told, patient))
    await asyncio.sleep(0)
    assert all("READY" not in message for message in listener.heard())
    heard: list[dict[str, str]] = []

    def ready() -> bool:
        heard.extend(listener.heard())
        return any("READY" in message for message in heard)

    await until(ready)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    told.close()


async def test_without_a_manager_attending_ends_at_once() -> None:
    async with asyncio.timeout(5):
        await attend(Manager({}), Patient())
