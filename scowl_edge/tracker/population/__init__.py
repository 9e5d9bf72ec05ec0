"""Consumers by the thousand to the million: columns, the kernels that balance them, and what proves how well.

Plain functions over arrays (`columns`), compiled where the extra `scale` is installed. Nothing here knows a socket, a
clock or a device; a step of the tracker calls it with what is known and takes away a log of who changed hands.
"""
