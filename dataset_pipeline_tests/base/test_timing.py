"""Seconds are counted once, for the innermost kind of work."""

from __future__ import annotations

import time

import pytest

from dataset_pipeline.base.timing import span, take, timed_iteration


def test_time_inside_an_inner_span_is_not_counted_outside():
    take()
    with span("outer"):
        time.sleep(0.02)
        with span("inner"):
            time.sleep(0.05)
    seconds = take()
    assert seconds["inner"] == pytest.approx(0.05, abs=0.02)
    assert seconds["outer"] == pytest.approx(0.02, abs=0.015)
    assert take() == {}


def test_producing_items_is_timed_and_using_them_is_not():
    def slow():
        for number in range(3):
            time.sleep(0.01)
            yield number

    take()
    for _ in timed_iteration("producing", slow()):
        time.sleep(0.03)
    assert take()["producing"] == pytest.approx(0.03, abs=0.02)
