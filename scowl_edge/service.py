"""What an operator of the service is told: the line in `systemctl status`, and the answer to a reload."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from scowl_edge.model.reason import watts
from scowl_edge.model.view import AlarmView, RegionView

CHECK_S = 120.0
"""Longest time that checking a changed configuration may take."""
_WORST_FIRST = ("critical", "high", "medium", "low")
_NAMED_LINKS = 5


def status_line(view: RegionView | None, links_down: Sequence[str], untried: Sequence[str]) -> str:
    """How the region does, in one line: mode, ladder, balance, worst alarm, links.

    Args:
        view: the region after its last step; None before the first.
        links_down: names of links that are down.
        untried: names of links that were not tried yet.
    """
    if view is None or untried:
        return "starting: " + (f"not tried yet: {_names(untried)}" if untried else "before the first step")
    parts = [f"{view.mode}, {view.rung}: {watts(view.served_w)} served of {watts(view.demand_w)}"]
    if view.shed_w:
        parts[0] += f", {watts(view.shed_w)} shed"
    if sum(view.unserved_w):
        parts[0] += f", {watts(sum(view.unserved_w))} unserved"
    parts[0] += f", {watts(view.generation_w)} generated"
    parts.append(_alarms(view.alarms))
    parts.append(f"links down: {_names(links_down)}" if links_down else "all links up")
    return "; ".join(parts)


def _alarms(alarms: Sequence[AlarmView]) -> str:
    seen = [alarm for alarm in alarms if not alarm.shelved_until_utc_ms]
    shelved = f" ({len(alarms) - len(seen)} shelved)" if len(seen) < len(alarms) else ""
    if not seen:
        return f"no alarm{shelved}"
    worst = min(seen, key=lambda alarm: (_WORST_FIRST.index(alarm.priority), alarm.since_utc_ms))
    return f"{len(seen)} alarm{'s' * (len(seen) > 1)}{shelved}, worst {worst.priority}: {worst.key}"


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_LINKS
    return ", ".join(names[:_NAMED_LINKS]) + (f" and {more} more" if more > 0 else "")


async def answer_to_reload(file: Path, running: str) -> str:
    """Why nothing is reloaded, and what a restart would do; the file is checked in a process of its own.

    Args:
        file: the configuration.
        running: its text as it was when this daemon started.
    """
    try:
        text = await asyncio.to_thread(file.read_text, "utf-8")
    except (OSError, UnicodeError) as error:
        return f"reload: {file} cannot be read ({error}); running on unchanged"
    if text == running:
        return f"reload: {file} has not changed; running on"
    try:
        async with asyncio.timeout(CHECK_S):
            checker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scowl_edge.cli", "check", str(file)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            try:
                said = (await checker.communicate())[0].decode(errors="replace").splitlines()
            finally:
                if checker.returncode is None:
                    checker.kill()
    except (OSError, TimeoutError) as error:
        return f"reload: {file} could not be checked ({error!r}); running on unchanged"
    if checker.returncode == 0:
        return "reload: a changed configuration needs a restart, and this one would be accepted; running on unchanged"
    first = said[0] if said else f"exit status {checker.returncode}"
    return f"reload: the changed configuration would be refused, so do not restart: {first}; running on unchanged"
