"""From a configuration to one frozen `Assembly`: what every part of the daemon is built from.

`load(path)` and `assemble(text, file)` raise `ConfigError` with every fault of the file at once. `schema` declares
each key once; the reference and the JSON Schema are generated from it. `cost` computes what a configuration asks of its
links and how fast it reacts, `findings` what is doubtful about it; neither touches a device.
"""

from scowl_edge.assembly.assembly import (
    ActuatorBinding,
    Assembly,
    HttpSettings,
    JournalSettings,
    PointInfo,
    SignalBinding,
    TelemetrySettings,
    TlsSettings,
)
from scowl_edge.assembly.load import assemble, load
from scowl_edge.assembly.signals import Rounding
from scowl_edge.config import ConfigError, Fault

__all__ = [
    "ActuatorBinding",
    "Assembly",
    "ConfigError",
    "Fault",
    "HttpSettings",
    "JournalSettings",
    "PointInfo",
    "Rounding",
    "SignalBinding",
    "TelemetrySettings",
    "TlsSettings",
    "assemble",
    "load",
]
