"""Limits and promises: the rating tree over time, and one book of commitments for everyone who promises power."""

from scowl_edge.capacity.book import Book, Shed, ShedState
from scowl_edge.capacity.offers import Call, CallState, OfferCalls
from scowl_edge.capacity.pledge import Pledge
from scowl_edge.capacity.ratings import PhaseLoad, RatingLoads, RatingTree

__all__ = [
    "Book",
    "Call",
    "CallState",
    "OfferCalls",
    "PhaseLoad",
    "Pledge",
    "RatingLoads",
    "RatingTree",
    "Shed",
    "ShedState",
]
