"""Reasons: kept as a code with its numbers, said in words only where somebody reads them."""

from __future__ import annotations

from dataclasses import dataclass

_WORDS: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was decided. `args` fill the places of the code's sentence in order."""

    code: str
    args: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return words(self)


def declare(code: str, sentence: str) -> str:
    """Registers the sentence of a reason code, with `{}` places, and returns the code.

    A place may carry the unit of its number: `{:W}` prints watts as W, kW or MW; `{:s}` prints ms as seconds.
    """
    if _WORDS.setdefault(code, sentence) != sentence:
        raise ValueError(f"reason code {code!r} is declared twice with different sentences")
    return code


class _Watts(int):
    def __format__(self, spec: str) -> str:
        if spec == "W":
            return watts(self)
        if spec == "s":
            return f"{self / 1000:g} s"
        return super().__format__(spec)


def watts(value_w: int) -> str:
    """Power for people: 950 W, 3.2 kW, 1.25 MW, 32.4 GW."""
    size = abs(value_w)
    if size < 1_000:
        return f"{value_w} W"
    if size < 1_000_000:
        return f"{value_w / 1_000:.4g} kW"
    if size < 1_000_000_000:
        return f"{value_w / 1_000_000:.4g} MW"
    return f"{value_w / 1_000_000_000:.4g} GW"


def words(reason: Reason) -> str:
    """The sentence of a reason; an unknown code is shown as it is."""
    sentence = _WORDS.get(reason.code)
    if sentence is None:
        return " ".join([reason.code, *map(str, reason.args)])
    return sentence.format(*(_Watts(a) if isinstance(a, int) else a for a in reason.args))
