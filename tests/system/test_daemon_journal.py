"""A journal that cannot be written: safety commands leave, the hole is recorded, all is well when there is space."""

from __future__ import annotations

import csv
import io
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from black_box import START_S, Daemon, Eyes, Simulation, Site, Sites, call, edit, metrics_of, wait_for

RATE = 5
LULL, GALE = {"wind": 0.3, "sun": 0.0}, {"wind": 0.9, "sun": 0.0}
"""Less than is needed; more than the connection takes."""


def journal_alarm(daemon: Daemon) -> bool:
    return any(alarm["key"] == "journal" for alarm in daemon.http.get("/api/v1/alarms")["alarms"])


def kinds(journal: Path) -> list[str]:
    """The kinds of all records, in order."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        return [kind for (kind,) in connection.execute("SELECT kind FROM record ORDER BY seq")]


def withheld(daemon: Daemon) -> float:
    """Commands that the daemon kept back."""
    return sum(count for series, count in metrics_of(daemon.http).items() if 'outcome="withheld"' in series)


def exported(site: Site, what: str, device: str) -> list[dict[str, str]]:
    """The rows of a table that are about a device."""
    done = call("export", str(site.journal), "--what", what)
    rows = csv.DictReader(io.StringIO(done.stdout)) if done.returncode == 0 else ()
    return [row for row in rows if row["device"] == device]


def lull(site: Site, mbpoll: str) -> tuple[Simulation, Daemon, Eyes]:
    """The demo region at rest with little wind: nothing is held back. Its battery is left out of it."""
    edit(site.file, {"  battery-1:\n    link: scada": "  battery-1:\n    mode: out-of-service\n    link: scada"})
    eyes = Eyes(mbpoll, site.file)
    simulation = site.simulate()
    simulation.control.post("/weather", LULL)
    wait_for(
        lambda: simulation.control.get("/truth")["weather"]["wind"] < LULL["wind"] + 0.01,
        60 / RATE + START_S,
        "the lull",
    )
    daemon = site.daemon()
    daemon.ready()
    wait_for(lambda: daemon.http.get("/api/v1/region")["step"] > 20, START_S, "some steps")
    wait_for(lambda: eyes.read("wind-1", "limit") == 1.0, START_S + 60 / RATE, "nothing is held back")
    return simulation, daemon, eyes


def assert_bears_it(
    site: Site, mbpoll: str, spoil: Callable[[Daemon], object], mend: Callable[[Daemon], object]
) -> None:
    """What must happen whenever the disk does not take the journal for a while."""
    simulation, daemon, eyes = lull(site, mbpoll)
    # The machine itself may have kept the journal waiting.
    gaps, kept_back = kinds(site.journal).count("gap"), withheld(daemon)
    http = daemon.http
    spoil(daemon)
    wait_for(lambda: journal_alarm(daemon), START_S, "an alarm: the journal is late")
    step = http.get("/api/v1/region")["step"]
    simulation.control.post("/weather", GALE)
    wait_for(lambda: eyes.read("wind-1", "limit") < 0.999, START_S + 60 / RATE, "a safety command left all the same")
    assert journal_alarm(daemon)
    assert http.get("/api/v1/region")["step"] > step
    assert http.ask("/healthz")[0] == 200
    check = http.get("/healthz")["checks"]["journal"]
    assert not check["ok"]
    assert check["detail"]
    simulation.control.post("/weather", LULL)
    wait_for(lambda: withheld(daemon) > kept_back, START_S + 60 / RATE, "what is not for safety waits for the disk")

    mend(daemon)
    wait_for(lambda: not journal_alarm(daemon), START_S, "the alarm is over")
    wait_for(lambda: http.get("/healthz")["checks"]["journal"]["ok"], START_S, "its own check is good")
    wait_for(lambda: eyes.read("wind-1", "limit") == 1.0, START_S + 60 / RATE, "what waited is done")
    assert kinds(site.journal).count("gap") > gaps
    assert daemon.process.poll() is None
    # Both files can be looked into while they are written; what people look back at was not kept for a while, no more.
    wait_for(lambda: exported(site, "trends", "wind-1"), START_S, "trends are kept again")
    assert any(row["state"] == "acknowledged" for row in exported(site, "commands", "wind-1"))
    assert daemon.end(signal.SIGTERM, START_S) == 0
    done = site.replay()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gap of steps" in done.stdout


def test_a_file_that_may_not_grow(site: Sites, mbpoll: str) -> None:
    """As a quota does it; works for any user. The log on standard error may not grow either."""
    demo = site("demo", rate=RATE)
    before = []

    def spoil(daemon: Daemon) -> None:
        before.append(resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE))
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (1, before[0][1]))

    def mend(daemon: Daemon) -> None:
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, before[0])

    assert_bears_it(demo, mbpoll, spoil, mend)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; test_a_file_that_may_not_grow tries the same as anybody")
    place = tmp_path / "tiny"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"this root may not mount: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(tiny_disk: Path, site: Sites, mbpoll: str) -> None:
    demo = site("demo", rate=RATE)
    journal = tiny_disk / "journal.db"
    edit(demo.file, {str(demo.journal): str(journal)})
    demo.journal_path = journal
    filler = tiny_disk / "filler"

    def spoil(daemon: Daemon) -> None:
        with filler.open("wb") as file, pytest.raises(OSError, match="No space left"):
            while True:
                os.write(file.fileno(), bytes(4096))
        assert shutil.disk_usage(tiny_disk).free == 0

    assert_bears_it(demo, mbpoll, spoil, lambda daemon: filler.unlink())


def test_a_disk_that_answers_too_late(site: Sites, mbpoll: str) -> None:
    """Somebody else holds the file: no commit ends before its time is up."""
    demo = site("demo", rate=RATE)
    with closing(sqlite3.connect(demo.journal, isolation_level=None, timeout=30)) as other:
        assert_bears_it(
            demo, mbpoll, lambda daemon: other.execute("BEGIN IMMEDIATE"), lambda daemon: other.execute("ROLLBACK")
        )
