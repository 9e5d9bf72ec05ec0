"""The pure core of a region: the stages of a step, the arbiter, the ledger, the audit. No I/O, no clock."""

from scowl_edge.control.core import Core

__all__ = ["Core"]
