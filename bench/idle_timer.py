"""An idle process that sleeps 10 ms again and again, and tells how late it woke: what the machine itself adds."""

from __future__ import annotations

import argparse
import json
import time

from bench.machine import on_core, quantile


def main() -> None:
    """Prints p50 and p99 of its lateness in ms as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle_timer", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    on_core(0)
    late: list[float] = []
    end = time.monotonic() + options.seconds
    while (now := time.monotonic()) < end:
        time.sleep(0.01)
        late.append((time.monotonic() - now - 0.01) * 1000)
    print(json.dumps({"p50_ms": quantile(late, 0.5), "p99_ms": quantile(late, 0.99)}), flush=True)


if __name__ == "__main__":
    main()
