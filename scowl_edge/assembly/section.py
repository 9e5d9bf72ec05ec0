"""What all sections of the schema are made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from scowl_edge.assembly.kinds import NAME, Measure, Text
from scowl_edge.model.quantity import FRACTION, POWER, TIME


def key(default: Any, description: str, example: str, *, alias: str | None = None, shown: str = "") -> Any:
    """A key: its default (`...` = required), meaning, an example as written, and what stands for a computed default."""
    extra: dict[str, Any] = {"default_text": shown} if shown else {}
    return Field(default, description=description, examples=[example], alias=alias, json_schema_extra=extra or None)


class Section(BaseModel):
    """A mapping with a fixed set of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def duration(low: str = "0 ms", high: str = "") -> Measure:
    """A time between two bounds, in ms."""
    return Measure(TIME, low=low, high=high)


Name = Annotated[str, NAME]
Share = Annotated[int, Measure(FRACTION, low="0 %", high="100 %")]
Magnitude = Annotated[int, Measure(POWER, low="0 W")]
Delay = Annotated[int, duration()]
Positive = Annotated[int, duration("1 ms")]


class Source(Section):
    """Where a token, password, certificate or key lies; exactly one of the two."""

    file: Annotated[str, Text("a path")] | None = key(
        None, "File that holds it, relative to the working directory.", "/etc/scowl-edge/token", shown="none"
    )
    credential: (
        Annotated[
            str,
            Text(
                "name of a credential",
                form=r"[^/:\x00-\x1f\x7f]{1,255}",
                said="the name as in `LoadCredential=NAME:PATH`, without `/` and `:`",
            ),
        ]
        | None
    ) = key(None, "Name of a credential that systemd hands over (`LoadCredential=`).", "api-token", shown="none")
