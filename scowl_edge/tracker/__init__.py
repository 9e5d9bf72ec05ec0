"""The tracker: a region's columns, its distribution trees and the ladder that keeps it balanced. Pure."""

from scowl_edge.tracker.forest import Forest
from scowl_edge.tracker.need import Need, Scope
from scowl_edge.tracker.observe import Grade, Observation
from scowl_edge.tracker.region import NO_WISH, Condition, RegionState
from scowl_edge.tracker.steering import Decision, Steering
from scowl_edge.tracker.tracker import Tracker

__all__ = [
    "NO_WISH",
    "Condition",
    "Decision",
    "Forest",
    "Grade",
    "Need",
    "Observation",
    "RegionState",
    "Scope",
    "Steering",
    "Tracker",
]
