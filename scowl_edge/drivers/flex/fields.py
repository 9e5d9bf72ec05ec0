"""The kinds of fields that messages are made of: what each may hold as JSON, and the integer or text it stands for.

On the wire: times are RFC 3339 in UTC with `Z` and at most milliseconds, amounts of money are decimal strings, shares
and frequencies are numbers. In the core all of them are integers, so a number with more digits than its integer has is
refused, never rounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, PlainValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 2000, 2199
FIRST_MS = (datetime(FIRST_YEAR, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
LAST_MS = (datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1) - 1

POWER_MAX_W = 1_000_000_000
ENERGY_MAX_WH = 1_000_000_000_000
LENGTH_MAX_S = 31 * 86_400
COUNT_MAX = 2**53 - 1
"""The largest integer that every reader of JSON keeps exact."""
MICRO_MAX = 999_999_999_999_999
MILLI_MAX = 10**12

_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z$"
_TIME_FORM = re.compile(_TIME[:-1] + r"\Z")
_MILLISECOND = timedelta(milliseconds=1)
_MICRO_FORM = re.compile(r"(-?)([0-9]{1,9})(?:\.([0-9]{1,6}))?\Z")


@dataclass(frozen=True, slots=True)
class Written:
    """Marks a kind of field whose value in the core is not what stands on the wire."""

    write: Callable[[Any], object]
    """Value to something that JSON has."""


def time_ms(text: object) -> int:
    """UTC in ms of an RFC 3339 time.

    Raises:
        PydanticCustomError: another form, a day or hour that does not exist (a leap second is none), a year out of
            2000 to 2199.
    """
    if not isinstance(text, str) or not _TIME_FORM.match(text):
        raise PydanticCustomError("time", "should be a UTC time such as 2026-01-31T17:30:00Z, at most milliseconds")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("time", "is no point in time that exists") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise PydanticCustomError("time", f"should be in the years {FIRST_YEAR} to {LAST_YEAR}")
    return (moment - EPOCH) // _MILLISECOND


def time_text(utc_ms: int) -> str:
    """RFC 3339 of UTC in ms, with a fraction only where there is one."""
    second, ms = divmod(utc_ms, 1000)
    return f"{_second_text(second)}.{ms:03}Z" if ms else f"{_second_text(second)}Z"


@lru_cache(64)
def _second_text(utc_s: int) -> str:
    """Of thousands of messages, most are of the same few seconds."""
    return (EPOCH + timedelta(seconds=utc_s)).strftime("%Y-%m-%dT%H:%M:%S")


def micro(text: object) -> int:
    """Millionths of a decimal text, exactly.

    Raises:
        PydanticCustomError: no decimal, or more than 9 digits before or 6 behind the point.
    """
    found = _MICRO_FORM.match(text) if isinstance(text, str) else None
    if found is None:
        raise PydanticCustomError("decimal", 'should be a decimal text such as "-0.125", 9 digits and 6 behind')
    sign, whole, part = found.groups()
    amount = int(whole) * 1_000_000 + int((part or "").ljust(6, "0"))
    return -amount if sign else amount


def micro_text(amount: int) -> str:
    """Decimal text of millionths."""
    whole, part = divmod(abs(amount), 1_000_000)
    digits = f"{part:06}".rstrip("0")
    return f"{'-' if amount < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def _parts(per_one: int, lowest: int, highest: int) -> Callable[[object], int]:
    """A reader of numbers as whole parts of one, exactly."""
    digits = len(str(per_one)) - 1
    bounds = f"{lowest / per_one:g} to {highest / per_one:g}"

    def read(number: object) -> int:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise PydanticCustomError("number", "should be a number")
        if not lowest / per_one <= number <= highest / per_one:
            raise PydanticCustomError("number", f"should be in {bounds}")
        parts = round(number * per_one)
        if parts / per_one != number:
            raise PydanticCustomError("number", f"should have at most {digits} digits behind the point")
        return parts

    return read


def _of_million(ppm: int) -> int | float:
    return ppm / 1_000_000 if ppm % 1_000_000 else ppm // 1_000_000


def _of_thousand(milli: int) -> int | float:
    return milli / 1_000 if milli % 1_000 else milli // 1_000


Time = Annotated[
    int,
    PlainValidator(time_ms),
    Written(time_text),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": _TIME}),
]
"""In the core: UTC in ms."""
Money = Annotated[
    int,
    PlainValidator(micro),
    Written(micro_text),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]{1,9}(\.[0-9]{1,6})?$"}),
]
"""In the core: millionths of the currency."""
Activation = Annotated[
    int,
    PlainValidator(_parts(1_000_000, 10_000, 1_000_000)),
    Written(_of_million),
    WithJsonSchema({"type": "number", "minimum": 0.01, "maximum": 1}),
]
"""A share of at least a hundredth, 6 digits; in the core: ppm."""
Share = Annotated[
    int,
    PlainValidator(_parts(1_000_000, 0, 1_000_000)),
    Written(_of_million),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
"""0 to 1, 6 digits; in the core: ppm."""
Amount = Annotated[
    int,
    PlainValidator(_parts(1_000, -MILLI_MAX, MILLI_MAX)),
    Written(_of_thousand),
    WithJsonSchema({"type": "number", "minimum": -MILLI_MAX // 1000, "maximum": MILLI_MAX // 1000}),
]
"""A number with 3 digits behind the point; in the core: thousandths."""
Frequency = Annotated[
    int,
    PlainValidator(_parts(1_000, 1_000, 1_000_000)),
    Written(_of_thousand),
    WithJsonSchema({"type": "number", "minimum": 1, "maximum": 1000}),
]
"""Hz, 3 digits; in the core: mHz."""

Power = Annotated[int, Strict(), Field(ge=-POWER_MAX_W, le=POWER_MAX_W)]
"""W, + is consumption."""
ExportPower = Annotated[int, Strict(), Field(ge=-POWER_MAX_W, le=0)]
"""W, at most 0."""
Ramp = Annotated[int, Strict(), Field(ge=1, le=POWER_MAX_W)]
"""W/s."""
Energy = Annotated[int, Strict(), Field(ge=-ENERGY_MAX_WH, le=ENERGY_MAX_WH)]
"""Wh, + is consumption."""
Stored = Annotated[int, Strict(), Field(ge=0, le=ENERGY_MAX_WH)]
"""Wh in a store."""
Length = Annotated[int, Strict(), Field(ge=1, le=LENGTH_MAX_S)]
"""Seconds, at least one."""
Wait = Annotated[int, Strict(), Field(ge=0, le=LENGTH_MAX_S)]
"""Seconds, or none."""
Count = Annotated[int, Strict(), Field(ge=0, le=COUNT_MAX)]
"""A number from 0 that every reader of JSON keeps exact."""
RandomOffset = Annotated[int, Strict(), Field(ge=0, le=1_800)]
"""Seconds that a start may be put off at random."""
Yes = Annotated[bool, Strict()]

Uuid = Annotated[
    str, Strict(), Field(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", max_length=36)
]
"""A UUID in lower case."""
NodeId = Annotated[str, Strict(), Field(pattern="^(dsrsp|cem|esa):[A-Za-z0-9._:-]{1,64}$", max_length=70)]
"""A pseudonym that begins with what the node is."""
EsaId = Annotated[str, Strict(), Field(pattern="^[A-Za-z0-9._:-]+$", min_length=8, max_length=64)]
"""An appliance's pseudonym."""
Fingerprint = Annotated[str, Strict(), Field(pattern="^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hexadecimal."""
Currency = Annotated[str, Strict(), Field(pattern="^[A-Z]{3}$")]
"""Three capital letters, as EUR."""
VersionName = Annotated[str, Strict(), Field(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$")]
"""Major and minor number of the protocol."""
_CALM = "^[^\u0000-\u001f\u007f-\u009f]*$"
Word = Annotated[str, Strict(), Field(pattern=_CALM, min_length=1, max_length=64)]
"""Text without control characters."""
Reference = Annotated[str, Strict(), Field(pattern=_CALM, min_length=1, max_length=128)]
"""An opaque id of something that is kept elsewhere."""
Detail = Annotated[str, Strict(), Field(pattern=_CALM, min_length=1, max_length=200)]
"""Text for logs."""
