"""How many connections a process may hold: service managers and shells start it with room for 1,024."""

from __future__ import annotations

import resource

import structlog

log = structlog.get_logger(__name__)

BESIDE_LINKS = 512
"""Files and sockets for everything else: stores, viewers, other tools at a link's proxy."""


def allow_open_files(links: int) -> None:
    """Raises the process's own limit to what so many links need, as far as the machine allows."""
    wanted = links + BESIDE_LINKS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))
    if granted < wanted:
        log.warning(
            "open_files_limited", links=links, wanted=wanted, granted=granted,
            what_to_do=f"some links may not connect: allow the process {wanted} open files (LimitNOFILE, ulimit -Hn)",
        )  # fmt: skip
