"""Which runs are lost: their worker is silent, or does not work on them, or nobody was ever told of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

RECONNECT_S = 35.0  # after the broker was away a worker may take so long to find it again
LOOK_S = 1.0  # one look serves all runs that are asked about within this time
LOOKS = 2  # in so many a worker that answers has to be without a run


@dataclass
class Look:
    """What one look saw: by worker that answered the runs it holds, and the runs that wait for one."""

    holds: Mapping[str, Collection[str]]
    waiting: Collection[str] = ()


@dataclass
class Watch:
    """look: asks the workers; None if the broker cannot be asked, which says nothing about anybody."""

    look: Callable[[], Look | None]
    silent_s: float
    clock: Callable[[], float] = time.monotonic
    _seen: Look | None = None
    _looked_s: float = float("-inf")
    _not_before_s: float = float("-inf")
    _heard_s: dict[str, float] = field(default_factory=dict)
    _without: dict[str, int] = field(default_factory=dict)
    _unknown_since_s: dict[str, float] = field(default_factory=dict)

    def lost(self, run_id: str, worker: str) -> str:
        """Why a run that a worker has taken up is lost; empty if it is not, as far as is known."""
        seen, now_s = self._look(), self.clock()
        heard_s = self._heard_s.setdefault(worker, now_s)
        if seen is None:
            return ""
        if worker not in seen.holds:
            silent_s = now_s - max(heard_s, self._not_before_s)
            return f"{worker} has not answered for {silent_s:.0f} s" if silent_s >= self.silent_s else ""
        if run_id in seen.holds[worker]:
            self._without.pop(run_id, None)
            return ""
        self._without[run_id] = self._without.get(run_id, 0) + 1
        if self._without[run_id] < LOOKS:
            return ""
        return f"{worker} answers and does not work on it: its process was killed, or could not reach the database"

    def never_taken(self, run_ids: Collection[str]) -> dict[str, str]:
        """Of runs that were handed to the broker and have not begun those that neither it nor a worker knows, and why
        that is so."""
        seen, now_s = self._look(), self.clock()
        if seen is None:
            return {}
        known = {*seen.waiting, *(run for runs in seen.holds.values() for run in runs)}
        unknown = set(run_ids) - known
        self._unknown_since_s = {run: self._unknown_since_s.get(run, now_s) for run in unknown}
        late = [run for run, s in self._unknown_since_s.items() if now_s - max(s, self._not_before_s) >= self.silent_s]
        return dict.fromkeys(late, "it waits in no queue and no worker has it: its worker or the broker was lost")

    def _look(self) -> Look | None:
        if self.clock() - self._looked_s < LOOK_S:
            return self._seen
        self._seen = self.look()
        self._looked_s = now_s = self.clock()
        if self._seen is None:
            self._not_before_s = now_s + RECONNECT_S
        else:
            self._heard_s.update(dict.fromkeys(self._seen.holds, now_s))
        return self._seen
