"""What people look back at: a trend of every point, and all events. Bounded, never replayed, never in control's way.

`Recorder` looks at the point table each second and hands a bucket at a time to `TelemetryStore`, whose thread alone
writes the file; `StoredHistory` answers questions on connections of its own. Whatever happens to the file, the worst
is that trends are missing: a full queue drops and counts, an error is tried again, a damaged file is moved aside.
"""

from scowl_edge.telemetry.history import StoredHistory
from scowl_edge.telemetry.recorder import Recorder
from scowl_edge.telemetry.store import TelemetryStore

__all__ = ["Recorder", "StoredHistory", "TelemetryStore"]
