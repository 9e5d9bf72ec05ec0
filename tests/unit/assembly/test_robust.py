"""Whatever is done to a good file, the answer is an assembly or a list of faults, never a crash."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.assembly import Assembly, ConfigError, assemble
from scowl_edge.assembly.cost import cost_lines
from scowl_edge.assembly.findings import warnings
from scowl_edge.assembly.keys import keys
from scowl_edge.assembly.schema import Configuration
from scowl_edge.config import parse

ROOT = Path(__file__).resolve().parents[3]
GOOD = (ROOT / "tests" / "unit" / "assembly" / "good.yaml").read_text(encoding="utf-8")
DATA = parse(GOOD, "good.yaml").data

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "x", "5 kW", "10 %", "500 ms", "abc", "grid", "plc", "uint64", "rw", "2", "opcua", "generator", "A"]
    ),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(
        st.sampled_from(["kind", "file", "limit", "x y", "power"]), st.sampled_from(["x", 1, None]), max_size=2
    ),
)


def _places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = (
        [place for key, part in value.items() for place in _places(part, (*path, key))]
        if isinstance(value, dict)
        else []
    )
    return [path, *below] if path else below


PLACES = _places(DATA)


def outcome(text: str) -> Assembly | ConfigError:
    try:
        assembly = assemble(text, "f")
    except ConfigError as error:
        return error
    warnings(assembly)
    list(cost_lines(assembly))
    return assembly


def test_the_good_file_is_good() -> None:
    assert isinstance(outcome(GOOD), Assembly)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(PLACES), JUNK, st.sampled_from(["replace", "remove", "rename"])),
        min_size=1,
        max_size=4,
    )
)
def test_damaged_values(damages: list[tuple[tuple[str, ...], Any, str]]) -> None:
    data = copy.deepcopy(DATA)
    for path, junk, how in damages:
        at = data
        for step in path[:-1]:
            at = at.get(step) if isinstance(at, dict) else None
        if not isinstance(at, dict) or path[-1] not in at:
            continue
        if how == "replace":
            at[path[-1]] = junk
        else:
            value = at.pop(path[-1])
            if how == "rename":
                at[f"{path[-1]}x"] = value
    result = outcome(yaml.safe_dump(data, allow_unicode=True))
    if isinstance(result, ConfigError):
        assert result.faults
        for fault in result.faults:
            assert fault.what and fault.todo


@settings(deadline=None)
@given(st.integers(0, len(GOOD)), st.integers(0, 40), st.text(alphabet="{}[]:,-&*!|>'\"\t\n #%@x0", max_size=4))
def test_damaged_text(start: int, length: int, put: str) -> None:
    outcome(GOOD[:start] + put + GOOD[start + length :])


def test_the_good_file_knows_every_section() -> None:
    assert set(DATA) == {key.name for key in keys(Configuration)}
