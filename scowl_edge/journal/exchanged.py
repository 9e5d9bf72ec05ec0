"""Which messages of peers were answered within a day: the same again is answered again after a restart, and not done.

A step's answers stand in a record of their own, behind its plan and before the answers leave. What was answered after
the last snapshot is known without it: those steps are run again.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from scowl_edge.contracts import Record
from scowl_edge.journal.file import connect
from scowl_edge.journal.records import ANSWERED, JournalError, read_answered
from scowl_edge.model.exchange import Answered

DAY_MS = 86_400_000
MARGIN_MS = 60_000
"""So much longer than a day, for stamps of clocks that are a little behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a journal knows of the messages of the last day."""

    answered: tuple[Answered, ...] = ()
    """Oldest first."""
    floor_ms: int = 0
    """UTC: what was answered until then may be missing; 0: nothing is."""


def answered_within(path: Path, utc_ms: int | None, most: int, day_ms: int = DAY_MS) -> Past:
    """Reads a journal's file backwards, as far as a day goes back and no further than `most` messages.

    Where it cannot be read nothing is known: to know too little of the past is no reason not to start.

    Args:
        path: The journal's file.
        utc_ms: Now; None while no clock can be trusted: then only `most` bounds how far.
        most: Messages.
        day_ms: How far back.
    """
    if not path.exists():
        return Past()
    try:
        with closing(connect(path, writable=False)) as connection:
            return _read(connection, utc_ms, most, day_ms + MARGIN_MS)
    except (JournalError, sqlite3.Error):
        return Past()


def _read(connection: sqlite3.Connection, utc_ms: int | None, most: int, back_ms: int) -> Past:
    found: list[list[Answered]] = []
    count = oldest_ms = 0
    rows = connection.execute(
        "SELECT written_utc_ms, boot, step, payload FROM record INDEXED BY record_answered "
        "WHERE kind = 'answered' ORDER BY seq DESC"
    )
    whole = False
    for written_ms, boot, step, payload in rows:
        if count >= most:
            break
        if utc_ms is not None and written_ms is not None and written_ms < utc_ms - back_ms:
            whole = True
            break
        found.append(list(read_answered(Record(boot=boot, step=step, kind=ANSWERED, payload=payload))))
        count += len(found[-1])
        oldest_ms = written_ms or oldest_ms
    else:
        # The beginning of the journal, if nothing of it was deleted.
        first = connection.execute("SELECT seq FROM record ORDER BY seq LIMIT 2").fetchall()
        whole = not first or [seq for (seq,) in first] in ([1], [1, 2])
    floor_ms = 0 if whole else oldest_ms
    return Past(answered=tuple(one for group in reversed(found) for one in group), floor_ms=floor_ms)
