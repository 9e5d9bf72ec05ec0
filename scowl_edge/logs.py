"""Log lines: entries with fields in the journal of systemd, JSON where another program reads them, coloured text where
a person does; the last two on standard error.

Lines of the libraries (the standard `logging`) take the same way as our own.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO, cast

import orjson
import structlog
from structlog.types import EventDict, Processor

from scowl_edge.journald import Journald, connected_to_journald

_QUIET = ("asyncio", "pymodbus", "aiohttp")
"""Libraries that tell at INFO what nobody asked for."""
_SECRET = frozenset({"authorization", "cookie", "key_pem", "passphrase", "password", "private_key", "secret", "token"})
"""Names of fields whose values are never shown, whoever logs them."""


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
        stream: standard error by default; a terminal gets text, what systemd connected to its journal gets entries
            with fields there, anything else JSON lines.
    """
    out = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.StackInfoRenderer(),
        _without_secrets,
    ]
    handler: logging.Handler
    if connected_to_journald(out, os.environ):
        journald = Journald()
        structlog.configure(
            processors=[*shared, structlog.processors.format_exc_info, journald.entry],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=journald.logger,
            cache_logger_on_first_use=False,
        )
        handler = _Foreign(shared, journald)
    else:
        handler = _to_stream(out, [*shared, structlog.processors.TimeStamper(fmt="iso", utc=True)], level)
    root = logging.getLogger()
    for earlier in root.handlers:
        if isinstance(earlier, _Foreign):
            earlier.close()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def _to_stream(out: TextIO, shared: list[Processor], level: int) -> logging.Handler:
    """Sets our own lines up for a stream; returns what brings those of the libraries there."""
    lossy = cast(TextIO, _Lossy(out))
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
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), _name_logger, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    return handler


class _Foreign(logging.Handler):
    """Takes records of the libraries to the journal of systemd."""

    def __init__(self, shared: list[Processor], journald: Journald) -> None:
        super().__init__()
        self._chain: list[Processor] = [
            structlog.stdlib.ExtraAdder(),
            _name_logger,
            *shared,
            structlog.processors.format_exc_info,
        ]
        self._journald = journald

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record."""
        event: EventDict = {"event": record.getMessage(), "_record": record}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        for processor in self._chain:
            event = cast(EventDict, processor(None, record.levelname.lower(), event))
        del event["_record"]
        self._journald.send(event)

    def close(self) -> None:
        """Sends nothing more."""
        self._journald.close()
        super().close()


def _without_secrets(logger: object, method: str, event: EventDict) -> EventDict:
    for name in event:
        if name.lower() in _SECRET:
            event[name] = "(not shown)"
    return event


def _name_logger(logger: object, method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["logger"] = record.name
    return event


def _json(event: object, **_: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
