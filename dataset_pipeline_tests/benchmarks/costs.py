"""What something done costs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Cost(NamedTuple):
    """Seconds by the clock, and CPU seconds of all threads."""

    wall_s: float
    core_s: float


def timed(work: Callable[[], Any]) -> tuple[Any, Cost]:
    """What `work` gave, and what it cost."""
    wall_s, core_s = time.perf_counter(), time.process_time()
    answer = work()
    return answer, Cost(time.perf_counter() - wall_s, time.process_time() - core_s)


def most_memory_mb() -> float:
    """The most memory that this process had until now. On Linux and macOS only."""
    import resource

    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes / 1e6
