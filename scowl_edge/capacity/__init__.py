"""Limits and promises: the rating tree over time, and one book of commitments for everyone who promises power."""

from scowl_edge.capacity.book import Book, Pledge, Shed, ShedState
from scowl_edge.capacity.ratings import PhaseLoad, RatingLoads, RatingTree

__all__ = ["Book", "PhaseLoad", "Pledge", "RatingLoads", "RatingTree", "Shed", "ShedState"]
