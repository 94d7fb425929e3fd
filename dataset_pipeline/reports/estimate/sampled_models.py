"""A model that looks at its pictures for a while only, so that a slow one can be timed within a minute."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from dataset_pipeline.models.resource import ModelResource
from dataset_pipeline.models.tagger import TagScores
from dataset_pipeline.reports.estimate.scaling import Looks

METHODS = {
    "embedder": "embed",
    "detector": "detect",
    "identity": "embed",
    "quality": "score",
    "tagger": "tag",
    "text_detector": "lines",
    "pose": "points",
}
FIRST_LOOK = 2  # pictures; each further look is at twice as many, as long as there is time


@dataclass(frozen=True)
class Call:
    """One call of a model: when it began, by the system's clock, and what it cost by the wall clock and in seconds of
    one core."""

    at_s: float
    wall: Looks
    core: Looks


class SampledModel:
    """Stands for a role's model: it begins no look after `budget_s` seconds of looking, until that is set anew, and
    repeats its answers for the other pictures, which spoils the results and none of the costs. `calls`: what it did."""

    def __init__(self, model: ModelResource) -> None:
        self._model = model
        self._answers: Any = None
        self.budget_s = 0.0
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        return partial(self._look, found) if name == METHODS[self._model.role] else found

    def _look(self, look: Callable[..., Any], images: Iterable[np.ndarray], *more: Any) -> Any:
        at_s, clock, cores = time.time(), time.perf_counter, time.process_time
        start_s, start_core_s = clock(), cores()
        pictures, found, looked_at, count = iter(images), [], 0, FIRST_LOOK
        must = not any(call.wall.looked_at for call in self.calls)
        while must or self.budget_s > 0:
            begun_s, must = clock(), False
            some = _Counted(islice(pictures, None if self.budget_s == math.inf else count))
            answers = look(some, *more)
            self.budget_s -= clock() - begun_s
            found.append(answers)
            if not some.count:
                break
            self._answers = answers if self._answers is None else _joined([self._answers, answers])
            looked_at, count = looked_at + some.count, count * 2
        looked_s, looked_core_s = clock() - start_s, cores() - start_core_s
        rest = _Counted(pictures)
        deque(rest, maxlen=0)
        given = looked_at + rest.count
        wall = Looks(clock() - start_s, looked_s, looked_at, given)
        self.calls.append(Call(at_s, wall, Looks(cores() - start_core_s, looked_core_s, looked_at, given)))
        if rest.count:
            found.append(_repeated(self._answers, rest.count))
        return _joined(found or [look(iter(()), *more)])


class _Counted:
    def __init__(self, items: Iterable[np.ndarray]) -> None:
        self.items, self.count = iter(items), 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for item in self.items:
            self.count += 1
            yield item


def _repeated(answers: Any, count: int) -> Any:
    """Answers of a model, whatever their form, one after another until there are `count`."""
    if isinstance(answers, TagScores):
        return replace(answers, scores=_repeated(answers.scores, count))
    picks = [number % len(answers) for number in range(count)]
    return answers[picks] if isinstance(answers, np.ndarray) else [answers[pick] for pick in picks]


def _joined(parts: Sequence[Any]) -> Any:
    """Answers of several looks as those of one."""
    if isinstance(parts[0], TagScores):
        return replace(parts[0], scores=np.concatenate([part.scores for part in parts]))
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else [it for part in parts for it in part]
