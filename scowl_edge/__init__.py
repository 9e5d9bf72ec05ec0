"""scowl-edge: the control daemon for the box in the cabinet."""

__version__ = "0.1.0"
