"""Asking a running daemon over its API, and ordering something of it."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import orjson

from scowl_edge.model.errors import ScowlError

_TIMEOUT_S = 5.0
_LONGEST_ANSWER = 32 * 2**20


class AskError(ScowlError):
    """The daemon does not tell its state, or does not take an order."""


class Absent(AskError):
    """There is no such thing there."""


class Asking:
    """One daemon.

    Args:
        url: its address.
        token_file: holds a token, where reading or ordering needs one.

    Raises:
        AskError: the address is none, or the file cannot be read.
    """

    def __init__(self, url: str, token_file: Path | None = None) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise AskError(f"{url!r} is not the address of a daemon; write e.g. http://127.0.0.1:8080")
        self.url = url
        # The daemon is here, whatever proxy the environment names for elsewhere.
        self._opener = build_opener(ProxyHandler({}))
        self._token = _read_token(token_file)

    def get(self, name: str) -> dict[str, Any]:
        """The object at `/api/v1/NAME`. Raises AskError."""
        return self._ask(name, None)

    def post(self, name: str, order: dict[str, Any]) -> dict[str, Any]:
        """Gives an order. Raises AskError, with what was wrong with each field."""
        if not self._token:
            raise AskError(f"an order needs the operator's token: --token-file FILE (to {self.url})")
        return self._ask(name, order)

    def foreign(self, what: str) -> AskError:
        """Whatever answers is not what was expected."""
        return AskError(f"what answers at {self.url} is not a scowl-edge of this version ({what}); check the address")

    def _ask(self, name: str, order: dict[str, Any] | None) -> dict[str, Any]:
        where = f"{self.url.rstrip('/')}/api/v1/{name}"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = None
        if order is not None:
            data, headers["Content-Type"] = orjson.dumps(order), "application/json"
        try:
            with self._opener.open(Request(where, data=data, headers=headers), timeout=_TIMEOUT_S) as answer:
                body = answer.read(_LONGEST_ANSWER)
        except HTTPError as error:
            with error:
                hint = ""
                if error.code == HTTPStatus.UNAUTHORIZED:
                    hint = "; name a file with the token: --token-file FILE"
                verb = "GET" if order is None else "POST"
                kind = Absent if error.code == HTTPStatus.NOT_FOUND else AskError
                raise kind(f"{verb} {where} was answered {error.code}: {_detail(error)}{hint}") from error
        except (URLError, OSError) as error:
            why = error.reason if isinstance(error, URLError) else error
            said = getattr(why, "strerror", None) or str(why)
            raise AskError(
                f"no daemon answers at {self.url}: {said}; start one with `scowl-edge run FILE`, "
                "or name its address: `scowl-edge status http://HOST:PORT`"
            ) from error
        try:
            loaded = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise self.foreign("the answer is not JSON") from error
        if not isinstance(loaded, dict):
            raise self.foreign("the answer is not an object")
        return loaded


def _read_token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AskError(f"the token file {file} cannot be read: {error}") from error


def _detail(error: HTTPError) -> str:
    """The problem in words, field by field where it says so."""
    try:
        said = orjson.loads(error.read(65_536))
        fields = [f"{each['field']}: {each['detail']}" for each in said.get("errors") or ()]
        return " ".join([str(said["detail"]), *fields])
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return error.reason
