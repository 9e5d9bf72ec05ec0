"""YAML with positions, knowing nothing of what the keys mean.

`parse` reads text into a `Document`: plain values, and for each key and value its line and column. What a YAML 1.1
reader would silently misread (`yes`, `010`, `1:30`, duplicate keys) is a `Fault` with a hint. Anchors, aliases and
merge keys work. `ConfigError` carries all faults of a file.
"""

from scowl_edge.config.document import Document, Path
from scowl_edge.config.fault import ConfigError, Fault
from scowl_edge.config.reader import parse, read_file

__all__ = ["ConfigError", "Document", "Fault", "Path", "parse", "read_file"]
