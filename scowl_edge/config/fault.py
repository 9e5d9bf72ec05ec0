"""What is wrong with a configuration, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scowl_edge.model.errors import ScowlError


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault; faults sort by place. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    what: str
    """What is wrong, in the words of the person who wrote the file."""
    todo: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}; {self.todo}"


class ConfigError(ScowlError):
    """A configuration that cannot be used; carries every fault that was found."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(map(str, self.faults)))
