"""Whether the machine itself came late: a test that judges times cannot tell that from a fault of what it tests."""

from __future__ import annotations

import threading
import time

LATE_S = 0.25
"""A machine that stands still for so long, or keeps somebody waiting for the processor, may spoil a story that is told
several times as fast as it happens."""
SLOW = 2.0
"""So many times as long as it takes."""
_LOOK_EVERY_S, _WORK_S = 0.2, 0.01


class MachineWatch:
    """Looks at the machine as long as a block: how long nothing ran, and how much slower than alone its work was."""

    def __init__(self) -> None:
        self.stood_still_s = 0.0
        self._worked_s = self._took_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def slowness(self) -> float:
        """How many times as long as alone something took that needs the processor."""
        return self._took_s / self._worked_s if self._worked_s else 1.0

    @property
    def came_late(self) -> bool:
        """Whether this may have spoiled what was judged by time."""
        return self.stood_still_s >= LATE_S or self.slowness >= SLOW

    def __enter__(self) -> MachineWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def __str__(self) -> str:
        return (
            f"the machine stood still for up to {self.stood_still_s:.2f} s, work took {self.slowness:.1f} times as long"
        )

    def _look(self) -> None:
        while not self._over.is_set():
            due_s = time.monotonic() + _LOOK_EVERY_S
            self._over.wait(_LOOK_EVERY_S)
            began_s, cpu_s = time.monotonic(), time.thread_time()
            self.stood_still_s = max(self.stood_still_s, began_s - due_s)
            while (worked_s := time.thread_time() - cpu_s) < _WORK_S:
                pass
            took_s = time.monotonic() - began_s
            self._worked_s, self._took_s = self._worked_s + worked_s, self._took_s + took_s
            self.stood_still_s = max(self.stood_still_s, took_s - 10 * worked_s)
