"""A model that is timed on some of its pictures answers for all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import pytest

from dataset_pipeline.models.tagger import TagScores
from dataset_pipeline.reports.estimate.sampled_models import SampledModel

PICTURES = [np.full((1, 1, 3), number, np.uint8) for number in range(20)]


class Slow:
    threshold = 0.5

    def __init__(self, each_s: float, role: str = "quality") -> None:
        self.each_s, self.role, self.seen = each_s, role, 0

    def _look(self, images: Iterable[np.ndarray]) -> list[int]:
        found = [int(image[0, 0, 0]) for image in images]
        self.seen += len(found)
        time.sleep(self.each_s * len(found))
        return found

    def score(self, images: Iterable[np.ndarray]) -> np.ndarray:
        return np.asarray(self._look(images), np.float32)

    def detect(self, images: Iterable[np.ndarray], kinds: tuple[str, ...]) -> list:
        return [(number, kinds) for number in self._look(images)]

    def tag(self, images: Iterable[np.ndarray]) -> TagScores:
        return TagScores(("a",), ("general",), np.asarray(self._look(images), np.float32).reshape(-1, 1))


def sampled(slow: Slow, budget_s: float) -> Any:
    model = SampledModel(cast(Any, slow))
    model.budget_s = budget_s
    return model


def test_a_slow_model_looks_at_two_and_repeats_itself():
    slow = Slow(0.002)
    model = sampled(slow, 0.0)
    assert model.score(iter(PICTURES)).tolist() == [0.0, 1.0] * 10
    call = model.calls[0]
    assert (slow.seen, call.wall.looked_at, call.wall.given) == (2, 2, 20)
    assert 0.002 <= call.wall.each_s < 0.05
    assert model.score(iter(PICTURES[:3])).tolist() == [0.0, 1.0, 0.0]  # from what it knows
    assert slow.seen == 2


def test_no_look_begins_once_the_time_is_over():
    slow = Slow(0.005)
    model = sampled(slow, 0.02)  # two take 0.01 s, four more 0.02 s
    assert len(model.score(iter(PICTURES))) == 20
    assert slow.seen in (2, 6)
    assert model.budget_s <= 0


@pytest.mark.parametrize("budget_s", [60.0, math.inf])
def test_with_time_enough_all_answers_are_its_own(budget_s: float):
    model = sampled(Slow(0.0), budget_s)
    assert model.score(iter(PICTURES)).tolist() == list(range(20))
    assert len(model.score(iter([]))) == 0
    assert [call.wall.looked_at for call in model.calls] == [20, 0]
    assert model.threshold == 0.5
    tagger, detector = (sampled(Slow(0.0, role), budget_s) for role in ("tagger", "detector"))
    assert tagger.tag(iter(PICTURES)).scores[:, 0].tolist() == list(range(20))
    assert detector.detect(iter(PICTURES[:2]), ("head",)) == [(0, ("head",)), (1, ("head",))]


def test_answers_of_every_form_are_repeated():
    detector, tagger = (sampled(Slow(0.0, role), 0.0) for role in ("detector", "tagger"))
    assert detector.detect(iter(PICTURES[:3]), ("head",)) == [(0, ("head",)), (1, ("head",)), (0, ("head",))]
    assert tagger.tag(iter(PICTURES[:3])).scores.shape == (3, 1)
