"""Kinds of values that keys may have: each checks a value, says what is wrong in plain words, and documents itself."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from scowl_edge.model import quantity
from scowl_edge.model.quantity import Family, QuantityError


class Wrong(Exception):
    """A value that a kind refuses: `what` follows the key's name in a sentence."""

    def __init__(self, what: str, todo: str) -> None:
        self.what = what
        self.todo = todo
        super().__init__(what)


def found(value: Any) -> str:
    """A value as its writer would recognise it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def suggest(word: str, known: Iterable[str], *, noun: str = "known are") -> str:
    """What to do about a word that is not among the known ones."""
    choices = list(known)
    close = _closest(word, choices)
    if close is not None:
        return f"did you mean {close}?"
    if not choices:
        return "there are none"
    shown = ", ".join(choices[:16]) + (", ..." if len(choices) > 16 else "")
    return f"{noun}: {shown}"


def _closest(word: str, choices: list[str]) -> str | None:
    """The choice that was probably meant."""
    plain = _letters(word)
    same = [choice for choice in choices if _letters(choice) == plain]
    same += [choice for choice in choices if sorted(choice) == sorted(word)]
    if same:
        return same[0]
    near = difflib.get_close_matches(word, choices, n=3, cutoff=0.6)
    # People rarely miss the first letter.
    return min(near, key=lambda choice: (choice[:1] != word[:1], near.index(choice)), default=None)


def _letters(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


class Kind:
    """One kind of value. Subclasses give `accept`, `label`, `bounds` and `json`."""

    label: str = ""
    """For documentation: what is written there."""
    bounds: str = ""
    """For documentation: the range, empty if there is none."""

    def accept(self, value: Any) -> Any:
        """The value as the program uses it.

        Raises:
            Wrong: it is not of this kind.
        """
        raise NotImplementedError

    def json(self) -> dict[str, Any]:
        """JSON Schema of what is written in the file."""
        raise NotImplementedError

    def show(self, value: Any) -> str:
        """An accepted value as it would be written in a file."""
        return (value or '""') if isinstance(value, str) else found(value)

    def _validate(self, value: Any) -> Any:
        try:
            return self.accept(value)
        except Wrong as wrong:
            raise PydanticCustomError("value", "{what}", {"what": wrong.what, "todo": wrong.todo}) from None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.json()


class Measure(Kind):
    """A number with a unit of one of the families. One family gives an int in its quantum, several a `Quantity`."""

    def __init__(self, *families: Family, low: str = "", high: str = "") -> None:
        self.families = families
        self.low = low
        self.high = high
        self.label = ", ".join(family.name.split(" ", 1)[1] for family in families)
        self.bounds = (
            f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
        )

    def accept(self, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            fits = quantity.units_in_words(*self.families)
            raise Wrong(f"is {value} without a unit", f"write one of {fits} behind it, e.g. {self.families[0].example}")
        if not isinstance(value, str):
            kinds = " or ".join(family.name for family in self.families)
            raise Wrong(f"is {found(value)}, not {kinds}", f"write e.g. {self.families[0].example}")
        try:
            parsed = quantity.parse(value, *self.families)
        except QuantityError as error:
            raise Wrong(f"cannot be read: {error.what}", error.todo) from None
        for bound, sign in ((self.low, 1), (self.high, -1)):
            limit = _limit(bound, parsed.family)
            if limit is not None and (parsed.value - limit) * sign < 0:
                raise Wrong(f"is {value}, outside of its range", f"write {self.bounds}")
        return parsed.value if len(self.families) == 1 else parsed

    def show(self, value: Any) -> str:
        if isinstance(value, quantity.Quantity):
            return value.family.show(value.value)
        return self.families[0].show(value)

    def json(self) -> dict[str, Any]:
        units = "|".join(re.escape(unit) for family in self.families for unit in family.units)
        number = r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?"
        return {"type": "string", "pattern": rf"^\s*{number}\s*({units})\s*$"}


def _limit(bound: str, family: Family) -> int | None:
    """A bound in the family's quantum; None if there is none, or if it is meant for another family."""
    if not bound:
        return None
    number, unit = bound.split(" ", 1)
    if number == "0":
        return 0
    return family(bound) if unit in family.units else None


class Whole(Kind):
    """A whole number within bounds."""

    label = "whole number"

    def __init__(self, low: int, high: int | None = None) -> None:
        self.low = low
        self.high = high
        self.bounds = f"at least {low}" if high is None else f"{low} to {high}" if low < high else f"{low}"

    def accept(self, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Wrong(f"is {found(value)}, not a whole number", f"write a number, {self.bounds}")
        if value < self.low or (self.high is not None and value > self.high):
            raise Wrong(f"is {value}, outside of its range", f"write {self.bounds}")
        return value

    def json(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low} | ({} if self.high is None else {"maximum": self.high})


class Number(Kind):
    """A finite number without a unit."""

    label = "number"

    def __init__(self, *, nonzero: bool = False, positive: bool = False) -> None:
        self.nonzero = nonzero
        self.positive = positive
        self.bounds = "not 0" if nonzero else "above 0" if positive else ""

    def accept(self, value: Any) -> float:
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
            raise Wrong(f"is {found(value)}, not a number", "write a number without a unit, e.g. 0.1")
        if self.nonzero and value == 0:
            raise Wrong("is 0", "write a number other than 0")
        if self.positive and value <= 0:
            raise Wrong(f"is {value:g}, outside of its range", "write a number above 0")
        return float(value)

    def show(self, value: Any) -> str:
        return f"{value:g}"

    def json(self) -> dict[str, Any]:
        if self.positive:
            return {"type": "number", "exclusiveMinimum": 0}
        return {"type": "number"} | ({"not": {"const": 0}} if self.nonzero else {})


class Flag(Kind):
    """true or false."""

    label = "true or false"

    def accept(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise Wrong(f"is {found(value)}", "write true or false")
        return value

    def json(self) -> dict[str, Any]:
        return {"type": "boolean"}


class Text(Kind):
    """Text, perhaps of a certain form."""

    def __init__(self, label: str = "text", *, form: str = "", said: str = "", empty: bool = False) -> None:
        self.label = label
        self.form = re.compile(form) if form else None
        self.said = said
        self.empty = empty
        self.bounds = said

    def accept(self, value: Any) -> str:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            fits = self.form is None or self.form.fullmatch(str(value)) is not None
            raise Wrong(
                f"is the number {value}, not text", f'put it in quotes: "{value}"' if fits else f"use {self.said}"
            )
        if not isinstance(value, str):
            raise Wrong(f"is {found(value)}, not text", f"write {self.label}")
        if not value and not self.empty:
            raise Wrong("is empty", f"write {self.label}")
        if self.form is not None and self.form.fullmatch(value) is None:
            raise Wrong(f'is "{value}", which is no {self.label}', f"use {self.said}")
        return value

    def json(self) -> dict[str, Any]:
        json: dict[str, Any] = {"type": "string"}
        if self.form is not None:
            json["pattern"] = f"^{self.form.pattern}$"
        elif not self.empty:
            json["minLength"] = 1
        return json


class Choice(Kind):
    """One of a few words."""

    label = "one word"

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.bounds = ", ".join(word or '""' for word in self.words)

    def accept(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong(f"is {found(value)}", f"write one of: {self.bounds}")
        if value not in self.words:
            raise Wrong(f'is "{value}", which is not known here', suggest(value, self.words))
        return value

    def json(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


class Order(Kind):
    """Order of the bytes on the wire: A is the most significant."""

    label = "letters"
    bounds = "ABCD, BADC, CDAB, DCBA; for 64 bits also eight letters, e.g. GHEFCDAB"
    _FOUR = ("ABCD", "BADC", "CDAB", "DCBA")

    def accept(self, value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong(f"is {found(value)}", f"write one of {self.bounds}")
        if value not in self._FOUR and sorted(value) != list("ABCDEFGH"):
            if value.upper() in self._FOUR:
                raise Wrong(f'is "{value}"', f"did you mean {value.upper()}?")
            raise Wrong(f'is "{value}", which is no order of bytes', f"write one of {self.bounds}")
        return value

    def json(self) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self._FOUR)}, {"type": "string", "pattern": "^[A-H]{8}$"}]}


class Named(Text):
    """The name of something that stands elsewhere in the file; whether it exists is checked apart."""

    def __init__(self, section: str) -> None:
        super().__init__(f"the name of {section}")


class Numbers(Kind):
    """A list of finite numbers."""

    label = "list of numbers"

    def accept(self, value: Any) -> tuple[float, ...]:
        number = Number()
        try:
            return tuple(number.accept(part) for part in (value if isinstance(value, list) else [value]))
        except Wrong as wrong:
            raise Wrong(
                f"holds {wrong.what.removeprefix('is ')}", "write raw values in a list, e.g. [0x8000]"
            ) from None

    def show(self, value: Any) -> str:
        return "[" + ", ".join(f"{part:g}" for part in value) + "]"

    def json(self) -> dict[str, Any]:
        number = {"type": "number"}
        return {"anyOf": [{"type": "array", "items": number}, number]}


class Choices(Kind):
    """A list of words, each at most once."""

    label = "list of words"

    def __init__(self, words: Sequence[str]) -> None:
        self._word = Choice(words)
        self.bounds = self._word.bounds

    def accept(self, value: Any) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise Wrong(f"is {found(value)}", f"write a list of some of: {self.bounds}")
        try:
            taken = tuple(self._word.accept(part) for part in value)
        except Wrong as wrong:
            raise Wrong(f"holds what {wrong.what}", wrong.todo) from None
        if len(set(taken)) != len(taken):
            raise Wrong("names a word twice", "name each once")
        return taken

    def show(self, value: Any) -> str:
        return "[" + ", ".join(value) + "]"

    def json(self) -> dict[str, Any]:
        return {"type": "array", "items": self._word.json(), "uniqueItems": True}


def is_host(text: str) -> bool:
    """Whether text is a host name or an address, IPv6 also in brackets."""
    if re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
        return True
    try:
        ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


class Listen(Text):
    """An address to listen on, with its port."""

    def __init__(self, example: str) -> None:
        super().__init__(
            "HOST:PORT",
            form=r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}",
            said=f"an address and a port, e.g. {example}",
        )


def split_listen(listen: str) -> tuple[str, int]:
    """Host (without brackets) and port of HOST:PORT."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


class HostNames(Kind):
    """A list of host names or addresses, without ports."""

    label = "list of host names"
    bounds = "names or addresses without a port"

    def accept(self, value: Any) -> tuple[str, ...]:
        parts = value if isinstance(value, list) else [value]
        for part in parts:
            if not isinstance(part, str):
                raise Wrong(f"holds {found(part)}", "write host names in a list, e.g. [scada.example]")
            if not is_host(part):
                bare = re.sub(r"^[a-z]+://|(:[0-9]+)?(/.*)?$", "", part)
                todo = (
                    f"write {bare}, without scheme, port and path" if is_host(bare) else "use letters, digits, - and ."
                )
                raise Wrong(f'holds "{part}", which is no plain host name', todo)
        return tuple(part.strip("[]").lower() for part in parts)

    def show(self, value: Any) -> str:
        return "[" + ", ".join(value) + "]"

    def json(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}


NAME = Text(
    "name",
    form=r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    said="letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most 64",
)
"""What links, devices, points, ratings and buses may be called: it becomes part of addresses and metrics."""
