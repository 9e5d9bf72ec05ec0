"""The Prometheus text format: families, escaped labels, numbers; one series at a time, or a hundred thousand.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
"""

from __future__ import annotations

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

    def __init__(self, family: Family, label_pairs: Iterable[Sequence[tuple[str, str]]]) -> None:
        """`label_pairs` has one entry a series: its labels, the first of which most of its neighbours share."""
        self._head = family.head.encode()
        begins: dict[bytes, int] = {}
        ends: dict[bytes, int] = {}
        places: list[tuple[int, int]] = []
        for pairs in label_pairs:
            begin, end = label_set(pairs[:1]).removesuffix("}"), label_set(pairs[1:]).removeprefix("{")
            begin = f"\n{family.name}{begin}," if end else f"\n{family.name}{begin}{'}' if pairs else ''}"
            places.append(
                (
                    begins.setdefault(begin.encode(), len(begins)),
                    ends.setdefault(f"{end} ".encode(), len(ends)),
                )
            )
        self._begins, self._ends = np.array([*begins, b""], object)[:-1], np.array([*ends, b""], object)[:-1]
        self._places = np.array(places, np.int32).reshape(-1, 2).T.copy()

    def chunks(self, values: NDArray[np.float64], shown: NDArray[np.bool_] | None = None) -> Iterator[bytes]:
        """The family as text with one value a series; series that are not `shown` are left out."""
        headed = False
        for start in range(0, self._places.shape[1], CHUNK_ROWS):
            some = slice(start, start + CHUNK_ROWS)
            (begin, end), value = self._places[:, some], values[some]
            if shown is not None and not shown[some].all():
                begin, end, value = begin[shown[some]], end[shown[some]], value[shown[some]]
            if not len(value):
                continue
            pieces = [b""] * (3 * len(value))
            pieces[0::3], pieces[1::3] = self._begins[begin].tolist(), self._ends[end].tolist()
            pieces[2::3] = numbers(np.ascontiguousarray(value))
            # Each piece begins with the end of the line before it.
            pieces[0] = pieces[0][1:]
            text = b"".join(pieces)
            yield text + b"\n" if headed else b"%b%b\n" % (self._head, text)
            headed = True
