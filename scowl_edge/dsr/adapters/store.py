"""Energy that is kept in cells: what comes in, less the losses, what goes out, with them."""

from __future__ import annotations

from scowl_edge.model.flexibility import WHOLE_PPM


def after(level_j: int, power_w: int, dur_ms: int, efficiency_ppm: int) -> int:
    """Level after a stretch of power at the terminals (+ charges); losses are rounded up."""
    if power_w >= 0:
        return level_j + power_w * dur_ms * efficiency_ppm // (1_000 * WHOLE_PPM)
    return level_j - drawn_j(-power_w * dur_ms, efficiency_ppm * 1_000)


def taken_j(stored_j: int, efficiency_ppm: int) -> int:
    """Energy at the terminals that raises the level by `stored_j`, rounded up."""
    return -(-stored_j * WHOLE_PPM // efficiency_ppm)


def drawn_j(given_j: int, efficiency_ppm: int) -> int:
    """How far the level falls when `given_j` leave the terminals, rounded up."""
    return -(-given_j * WHOLE_PPM // efficiency_ppm)


def most_charge_w(room_j: int, dur_ms: int, efficiency_ppm: int) -> int:
    """Highest power that does not fill more than `room_j`."""
    return max(0, room_j) * 1_000 * WHOLE_PPM // (dur_ms * efficiency_ppm)


def most_discharge_w(left_j: int, dur_ms: int, efficiency_ppm: int) -> int:
    """Highest magnitude of power that does not draw more than `left_j`."""
    return max(0, left_j) * 1_000 * efficiency_ppm // (dur_ms * WHOLE_PPM)
