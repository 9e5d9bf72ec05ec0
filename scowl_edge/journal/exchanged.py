"""Which messages of peers were answered lately: after a restart the same one is answered again, and not done again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from scowl_edge.contracts import Record
from scowl_edge.journal.file import from_snapshot
from scowl_edge.journal.records import INPUTS, PLAN, JournalError, read_inputs, read_plan
from scowl_edge.model.effect import Send
from scowl_edge.model.event import Told
from scowl_edge.model.exchange import Ack, AckStatus

SNAPSHOTS_BACK = 3
"""So far back it is looked: many minutes, and a peer gives a message up after two."""


def answered(records: Iterable[Record]) -> list[Told]:
    """What was told and acknowledged with OK, in order; what was refused may come again and be refused again."""
    told: dict[tuple[str, str], Told] = {}
    found: list[Told] = []
    for record in records:
        if record.kind == INPUTS:
            told |= {(e.message.src, e.message.id): e for e in read_inputs(record).events if isinstance(e, Told)}
        elif record.kind == PLAN:
            for effect in read_plan(record).effects:
                body = effect.message.body if isinstance(effect, Send) else None
                if isinstance(body, Ack) and body.status is AckStatus.OK and isinstance(effect, Send):
                    event = told.pop((effect.message.dst, effect.message.corr), None)
                    if event is not None:
                        found.append(event)
            # Acknowledged by their own step, or not at all.
            told.clear()
    return found


def recently_answered(path: Path) -> list[Told]:
    """As `answered`, of the last minutes of a journal's file; nothing where it cannot be read.

    To know too little of the past is no reason not to start: whoever asks again is answered again.
    """
    try:
        with closing(from_snapshot(path, SNAPSHOTS_BACK)) as records:
            return answered(records)
    except (JournalError, sqlite3.Error):
        return []
