"""Log lines: JSON where a program reads them, coloured text where a person does; always on standard error.

Lines of the libraries (the standard `logging`) take the same way as our own.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import orjson
import structlog
from structlog.types import Processor

_QUIET = ("asyncio", "pymodbus", "aiohttp")
"""Libraries that tell at INFO what nobody asked for."""


class _Lossy:
    """A stream that loses what it cannot take: a full disk, or a reader that is gone, must stop no loop."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Sets logging up for the process; may be called again, e.g. with another level.

    Args:
        level: lowest level shown, as of `logging`.
        stream: standard error by default; a terminal gets text, anything else JSON lines.
    """
    out = sys.stderr if stream is None else stream
    lossy = cast(TextIO, _Lossy(out))
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if out.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    )
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(lossy),
        # Loggers made at import time must follow a second call.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(lossy)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _name_logger],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _name_logger(
    logger: logging.Logger | None, method: str, event: structlog.types.EventDict
) -> structlog.types.EventDict:
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["logger"] = record.name
    return event


def _json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
