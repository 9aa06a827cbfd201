"""Timing of cases side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

Case = Callable[[], object]
Clock = Callable[[], float]

#: The second counts the time that processors worked for this program, where others take a part of them: give it one alone.
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}


def timed(title: str, cases: dict[str, Case], *, rounds: int, against: str, clock: Clock = time.perf_counter) -> None:
    """Print the median milliseconds of each case and its ratio to the case ``against``."""
    for case in cases.values():
        case()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            start = clock()
            case()
            seconds[name].append(clock() - start)
    print(f"\n{title}")
    base = statistics.median(seconds[against])
    for name, times in seconds.items():
        median = statistics.median(times)
        print(f"  {name:<38} {1e3 * median:9.1f} ms   {median / base:5.2f} x {against}   (best {1e3 * min(times):.1f})")
