"""The Prometheus text format: families, escaped labels, numbers; one series at a time, or a hundred thousand.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

import numpy as np
import orjson
from numpy.typing import NDArray

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CHUNK_SAMPLES = 500
"""Samples with labels of their own that are rendered at a stretch: about half a ms."""
CHUNK_ROWS = 2_048
"""Rows of a `Column` that are rendered at a stretch: a fraction of a ms."""

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


def numbers(values: NDArray[np.float64]) -> list[bytes]:
    """`number` of each of a contiguous array, all at once."""
    if not len(values):
        return []
    texts = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    # JSON has no word for these.
    for i in np.flatnonzero(~np.isfinite(values)).tolist():
        texts[i] = number(float(values[i])).encode()
    return texts


@dataclass(frozen=True, slots=True)
class Family:
    """All series of one name."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    """One sentence for HELP."""

    @property
    def head(self) -> str:
        """HELP and TYPE."""
        return f"# HELP {self.name} {self.text.translate(_HELP_ESCAPES)}\n# TYPE {self.name} {self.kind}\n"

    def chunks(self, samples: Iterable[Sample]) -> Iterator[bytes]:
        """The family as text, HELP and TYPE first and once; nothing at all if there is no sample."""
        rest = iter(samples)
        head = self.head
        while part := list(islice(rest, CHUNK_SAMPLES)):
            lines = "\n".join([f"{self.name}{where} {number(value)}" for where, value in part])
            yield f"{head}{lines}\n".encode()
            head = ""


class Column:
    """A family whose series stay the same from scrape to scrape, only their numbers change.

    Everything but the numbers is made once, so that a series costs 0.1 us instead of 0.5; and what many series begin or
    end with is held once, so that it takes 10 bytes instead of 100.
    """

    def __init__(self, family: Family, label_pairs: Iterable[Sequence[tuple[str, str]]] = ()) -> None:
        """`label_pairs` has one entry a series, as `add` takes it."""
        self._family = family
        self._head = family.head.encode()
        self._begins: dict[bytes, int] = {}
        self._ends: dict[bytes, int] = {}
        self._places = array("i")
        """Two numbers a series: which begin and which end it has."""
        for pairs in label_pairs:
            self.add(pairs)

    def add(self, pairs: Sequence[tuple[str, str]]) -> None:
        """One more series with these labels, the first of which many of its neighbours share."""
        begin, end = label_set(pairs[:1]).removesuffix("}"), label_set(pairs[1:]).removeprefix("{")
        begin = f"\n{self._family.name}{begin}{',' if end else '}' if pairs else ''}"
        self._places.append(self._begins.setdefault(begin.encode(), len(self._begins)))
        self._places.append(self._ends.setdefault(f"{end} ".encode(), len(self._ends)))

    def chunks(self, values: NDArray[np.float64], shown: NDArray[np.bool_] | None = None) -> Iterator[bytes]:
        """The family as text with one value a series; series that are not `shown` are left out."""
        headed = False
        begins, ends = np.array([*self._begins, None], object), np.array([*self._ends, None], object)
        places = np.frombuffer(self._places, np.intc).reshape(-1, 2)
        for start in range(0, len(places), CHUNK_ROWS):
            some = slice(start, start + CHUNK_ROWS)
            begin, end, value = places[some, 0], places[some, 1], values[some]
            if shown is not None and not shown[some].all():
                begin, end, value = begin[shown[some]], end[shown[some]], value[shown[some]]
            if not len(value):
                continue
            pieces = [b""] * (3 * len(value))
            pieces[0::3], pieces[1::3] = begins[begin].tolist(), ends[end].tolist()
            pieces[2::3] = numbers(np.ascontiguousarray(value))
            # Each piece begins with the end of the line before it.
            pieces[0] = pieces[0][1:]
            text = b"".join(pieces)
            yield text + b"\n" if headed else b"%b%b\n" % (self._head, text)
            headed = True
