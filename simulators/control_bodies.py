"""What control ports are sent and answer with: JSON, no key that is not known, every refusal in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulators.faults import Fault

_BodyT = TypeVar("_BodyT", bound="Body")


class Body(BaseModel):
    """What is sent to the control port: no key that is not known."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class FaultBody(Body):
    """POST /faults. At a simulator it names either one device or a link with all its devices; a proxy may name a
    unit."""

    kind: str
    device: str | None = None
    link: str | None = None
    unit: int | None = Field(None, ge=0, le=255)
    address: int | None = Field(None, ge=0, le=65_535)
    ms: int = Field(0, ge=-(10**10), le=10**10)
    code: int = Field(4, ge=1, le=255)
    signal: str = ""
    value: float = 0.0
    every_s: float = Field(1.0, gt=0)
    for_s: float | None = Field(None, gt=0)
    probability: float = Field(1.0, ge=0, le=1)
    times: int = Field(0, ge=0)
    only: str = Field("", pattern="^(reads|writes|)$")
    keep: int = Field(-1, ge=-1)
    rest: str = Field("never", pattern="^(never|next)$")
    hold: int = Field(0, ge=0)
    at: str = Field("request", pattern="^(request|reply)$")
    renumber: bool = False
    baud: int = Field(9600, ge=50, le=10_000_000)

    def parameters(self) -> dict[str, Any]:
        """The fields of a fault, those left out that only say where and how long."""
        return self.model_dump(exclude={"kind", "device", "link", "every_s", "for_s", "unit", "address"})


def fault_row(fault: Fault, injected: int) -> dict[str, Any]:
    """One fault as it is shown."""
    return {**asdict(fault), "injected": injected}


class Refused(Exception):
    """A request that cannot be served, with its status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def read_body(request: web.Request, model: type[_BodyT]) -> _BodyT:
    """What was sent.

    Raises:
        Refused: it is no JSON, or not what is known here.
    """
    what = f"{request.method} {request.path}"
    try:
        parsed = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"{what}: the body is no JSON ({error}); send an object") from None
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the body'}: {fault['msg']}" for fault in error.errors()
        )
        known = ", ".join(model.model_fields)
        raise Refused(400, f"{what}: {faults}; known keys are: {known}") from None


def as_json(value: Any, status: int = 200) -> web.Response:
    """An answer."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def since_of(request: web.Request) -> int:
    """The number after which entries of a log are wanted.

    Raises:
        Refused: `since` is no number.
    """
    text = request.query.get("since", "0")
    if not text.isascii() or not text.isdigit():
        raise Refused(400, f"GET {request.path}: since is {text!r}; write the number of the last entry that you have")
    return int(text)
