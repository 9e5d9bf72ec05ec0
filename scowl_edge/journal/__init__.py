"""The journal: what went into the core and what it decided, kept so that a restart and a replay find the same state.

`SqliteJournal` writes on a thread of its own, `MemoryJournal` stands in for it in virtual time; both keep the records
of `records`. `recovery` and `segments` read a stream of records and know nothing of files, so that both journals are
read by the same code. `replay` runs the decisions again and names the first difference.
"""

from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import BootRecord, JournalError, PlanRecord
from scowl_edge.journal.recovery import Recovery
from scowl_edge.journal.replay import ReplayReport, replay
from scowl_edge.journal.store import SqliteJournal

__all__ = [
    "BootRecord",
    "JournalError",
    "MemoryJournal",
    "PlanRecord",
    "Recovery",
    "ReplayReport",
    "SqliteJournal",
    "replay",
]
