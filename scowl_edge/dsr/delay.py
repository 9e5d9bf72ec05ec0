"""The random delay: appliances that hear the same price or plan must not all switch in the same second.

As the United Kingdom's rule for charge points has it (SI 2021/1467, regulation 11): up to 600 s unless somebody sets
another maximum, at most 1800 s, whole seconds, drawn anew whenever power would start, rise or fall, and none if the
owner overrides it, if an equal one was already applied, or if the grid asks for a response. Every draw is a hash of
(seed, appliance, number of the occasion), so a restart draws the same again.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.model.flexibility import Mode

DEFAULT_MAX_S = 600
CAP_S = 1_800
_BITS = 64


def drawn_s(seed: int, esa_id: str, occasion: int, max_s: int) -> int:
    """Uniform in 0 .. max_s, for one occasion of one appliance."""
    text = f"random delay|{seed}|{occasion}|{esa_id}".encode()
    bits = int.from_bytes(blake2b(text, digest_size=_BITS // 8).digest(), "big")
    return bits * (max_s + 1) >> _BITS


def offset_s(
    *,
    seed: int,
    esa_id: str,
    occasion: int,
    max_s: int,
    mode: Mode = Mode.ROUTINE,
    overridden: bool = False,
    already_applied: bool = False,
) -> int:
    """The delay of one change of power, 0 where none is due; `max_s` above the cap counts as the cap."""
    if mode is Mode.RESPONSE or overridden or already_applied:
        return 0
    return drawn_s(seed, esa_id, occasion, max(0, min(max_s, CAP_S)))


@dataclass(slots=True, kw_only=True)
class Delayed:
    """A wish of power, such as that of a tariff's hours, let through with the random delay at each of its changes."""

    seed: int
    esa_id: str
    occasions: int = 0
    """Draws so far."""
    through_w: int | None = None
    """What is let through; None: nothing was wished for yet."""
    coming_w: int = 0
    due_mono_ms: int | None = None
    """When `coming_w` is let through; None: nothing waits."""

    def wish(self, power_w: int, max_s: int, mode: Mode, now: Now, *, overridden: bool = False) -> int | None:
        """Takes what is wished for now, and gives what is to be done; None before the first wish came through.

        A wish that changes while it waits is drawn anew; one that returns to what is done already waits no more.
        """
        if power_w == self.through_w:
            self.due_mono_ms = None
        elif self.due_mono_ms is None or power_w != self.coming_w:
            self.occasions += 1
            delay_s = offset_s(
                seed=self.seed,
                esa_id=self.esa_id,
                occasion=self.occasions,
                max_s=max_s,
                mode=mode,
                overridden=overridden,
            )
            self.coming_w, self.due_mono_ms = power_w, now.mono_ms + 1_000 * delay_s
        elif overridden or mode is Mode.RESPONSE:
            self.due_mono_ms = now.mono_ms
        if self.due_mono_ms is not None and now.mono_ms >= self.due_mono_ms:
            self.through_w, self.due_mono_ms = self.coming_w, None
        return self.through_w

    def restarted(self, restart: Restart) -> None:
        """A delay that was running goes on; with no time passed if nobody knows how much did."""
        if self.due_mono_ms is not None:
            self.due_mono_ms += restart.mono_base_ms
