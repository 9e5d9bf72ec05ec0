"""A whole region in virtual time: the real core, turn, codec and recovery, on simulated devices.

One seed gives one course; a crash may fall at any boundary of the journal; nothing waits for a real clock.
"""

from simulators.world.story import BUILDING, DAY, Phase, Story, begin, play
from simulators.world.world import World, WorldSettings

__all__ = ["BUILDING", "DAY", "Phase", "Story", "World", "WorldSettings", "begin", "play"]
