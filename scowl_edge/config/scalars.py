"""Plain scalars by the rules of YAML 1.2, and the traps that YAML 1.1 laid around them.

Readers disagree about `yes`, `010` or `1:30`; here such a word is a fault with a hint, never a silent guess.
"""

from __future__ import annotations

import re
from typing import NamedTuple

Scalar = str | int | float | bool | None

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_RADIX = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_OCTAL = re.compile(r"[-+]?0[0-9]+")
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?")
_BINARY = re.compile(r"[-+]?0b[01_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NULLS = frozenset({"~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_TRUE = frozenset({"yes", "on"})
_OLD_FALSE = frozenset({"no", "off"})


class Trap(NamedTuple):
    """A word that different readers of YAML read differently."""

    what: str
    todo: str


def value_of(text: str) -> tuple[Scalar, Trap | None]:
    """The value of an unquoted scalar; with a trap, the value is the bare text."""
    if not text:
        return None, None
    first = text[0]
    if not (first.isdigit() or first in "+-."):
        return _word(text)
    if _INT.fullmatch(text):
        return int(text), None
    if _RADIX.fullmatch(text):
        return int(text, 0), None
    if _OCTAL.fullmatch(text):
        return text, _octal(text)
    if _FLOAT.fullmatch(text):
        return float(text), None
    if _SPECIAL.fullmatch(text):
        return text, Trap(
            f"{text} is not a number that a configuration can use",
            "write a finite number (a float register that holds NaN is taken as 'not available' without being told)",
        )
    if _SEXAGESIMAL.fullmatch(text):
        return text, Trap(
            f"{text} is a number to base 60 for some readers of YAML and text for others",
            'write a time with its unit, e.g. "90 s", or put it in quotes if text is meant',
        )
    if "_" in text and _UNDERSCORES.fullmatch(text):
        return text, Trap(
            f"{text} is a number for some readers of YAML and text for others",
            f"write {text.replace('_', '')}, or put it in quotes if text is meant",
        )
    if _BINARY.fullmatch(text):
        return text, Trap(
            f"{text} is a binary number for some readers of YAML and text for others",
            f"write {int(text.replace('_', ''), 2)}",
        )
    return text, None


def _word(text: str) -> tuple[Scalar, Trap | None]:
    if text in _NULLS:
        return None, None
    if text in _BOOLS:
        return _BOOLS[text], None
    lower = text.lower()
    if (lower in _OLD_TRUE or lower in _OLD_FALSE) and text in (lower, lower.capitalize(), lower.upper()):
        meant = "true" if lower in _OLD_TRUE else "false"
        return text, Trap(
            f"{text} is a truth value for some readers of YAML and text for others",
            f'write {meant}, or "{text}" in quotes if text is meant',
        )
    return text, None


def _octal(text: str) -> Trap:
    decimal = str(int(text))
    try:
        octal = f"{int(text, 8)}, which YAML 1.1 makes of it"
    except ValueError:
        octal = "in quotes if text is meant"
    return Trap(
        f"{text} starts with 0: an octal number for some readers of YAML, a decimal one for others",
        f"write {decimal}, or {octal}",
    )


def key_of(text: str) -> tuple[str, Trap | None]:
    """The text of an unquoted key. `on` is a word of our own and stays text; other traps are faults."""
    if text == "on":
        return text, None
    value, trap = value_of(text)
    if trap is not None:
        return text, Trap(f"the key {trap.what}", f'write the key in quotes, "{text}", if text is meant')
    if not isinstance(value, str):
        shown = text or "(empty)"
        kind = "empty" if value is None else "a truth value" if isinstance(value, bool) else "a number"
        return text, Trap(
            f"the key {shown} is {kind}, not text", f'write the key in quotes, "{text}", if a name is meant'
        )
    return text, None
