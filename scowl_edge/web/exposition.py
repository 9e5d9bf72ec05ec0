"""The Prometheus text format: families, escaped labels, numbers.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CHUNK_SAMPLES = 2_000
"""Samples rendered at a stretch (about 2 ms): between two chunks the event loop may do other work."""

_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})

Sample = tuple[str, float]
"""Labels as `labels` gives them, and the value."""


def label_set(pairs: Iterable[tuple[str, str]]) -> str:
    """`{name="value",...}` with the values escaped; empty without pairs."""
    text = ",".join(f'{name}="{value.translate(_LABEL_ESCAPES)}"' for name, value in pairs)
    return f"{{{text}}}" if text else ""


@lru_cache(maxsize=65_536)
def labels(*pairs: tuple[str, str]) -> str:
    """`label_set` for sets that come back at each scrape."""
    return label_set(pairs)


def number(value: float) -> str:
    """A value as the format wants it: shortest form that reads back the same, `+Inf`, `-Inf`, `NaN`."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(value)


@dataclass(frozen=True, slots=True)
class Family:
    """All series of one name."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    """One sentence for HELP."""

    def chunks(self, samples: Iterable[Sample]) -> Iterator[bytes]:
        """The family as text, HELP and TYPE first and once; nothing at all if there is no sample."""
        rest = iter(samples)
        head = f"# HELP {self.name} {self.text.translate(_HELP_ESCAPES)}\n# TYPE {self.name} {self.kind}\n"
        while part := list(islice(rest, CHUNK_SAMPLES)):
            lines = "\n".join([f"{self.name}{where} {number(value)}" for where, value in part])
            yield f"{head}{lines}\n".encode()
            head = ""
