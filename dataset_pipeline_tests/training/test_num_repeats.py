from __future__ import annotations

import random

import pytest

from dataset_pipeline.training.num_repeats import num_repeats


def images_an_epoch(counts: dict[str, int], repeats: dict[str, int] | dict[str, float]) -> float:
    return sum(images * repeats[concept] for concept, images in counts.items())


def test_whole_multiplies_stay_as_they_are():
    assert num_repeats({"a": 7, "b": 3}, {"a": 1.0, "b": 10.0}) == {"a": 1, "b": 10}


def test_the_largest_fractions_are_rounded_up_until_the_total_is_right():
    counts = {"a": 100, "b": 100, "c": 100, "d": 100}
    multiplies = {"a": 1.4, "b": 1.4, "c": 1.45, "d": 2.0}
    # 625 images are wanted and rounding down gives 500: c goes up (600); a would make it 700, which is farther away.
    # Rounding each on its own would have left 500.
    assert num_repeats(counts, multiplies) == {"a": 1, "b": 1, "c": 2, "d": 2}
    # At 1.5 each, 200 of 300 half repeats are due: the first two by name.
    halves = dict.fromkeys("abc", 1.5) | {"d": 1.5}
    assert num_repeats(counts, halves) == {"a": 2, "b": 2, "c": 1, "d": 1}


def test_fractions_count_by_images_not_by_concepts():
    # 10 x 1.9 + 100 x 1.2 = 139 images; down: 110, `few` up: 120, `many` up: 220.
    assert num_repeats({"few": 10, "many": 100}, {"few": 1.9, "many": 1.2}) == {"few": 2, "many": 1}
    # 100 x 1.6 + 30 x 1.5 = 205 images; down: 130, `many` up: 230 (25 too many), `some` up after it: 260.
    assert num_repeats({"many": 100, "some": 30}, {"many": 1.6, "some": 1.5}) == {"many": 2, "some": 1}


def test_no_concept_is_lost_and_what_it_gets_too_much_is_not_given_to_others():
    # 0.1 becomes 1: 90 images more than wanted. Rounding up the others would make that worse.
    assert num_repeats({"rare": 100, "a": 50, "b": 50}, {"rare": 0.1, "a": 1.9, "b": 3.9}) == {
        "rare": 1,
        "a": 1,
        "b": 3,
    }


@pytest.mark.parametrize("seed", range(40))
def test_the_total_differs_by_half_the_largest_concept_at_most_and_a_repeat_by_less_than_one(seed: int):
    rng = random.Random(seed)
    names = [f"c{number}" for number in range(rng.randint(1, 60))]
    counts = {name: rng.randint(1, 500) for name in names}
    multiplies = {name: rng.uniform(1.0, 10.0) for name in names}
    repeats = num_repeats(counts, multiplies)
    assert all(abs(repeats[name] - multiplies[name]) < 1 for name in names)
    assert abs(images_an_epoch(counts, repeats) - images_an_epoch(counts, multiplies)) <= max(counts.values()) / 2
    assert num_repeats(dict(reversed(counts.items())), multiplies) == repeats


def test_what_has_no_repeats_is_refused():
    with pytest.raises(ValueError, match="name different concepts: \\['b'\\]"):
        num_repeats({"a": 1}, {"a": 1.0, "b": 2.0})
    for images, multiply in ((0, 1.0), (1, 0.0), (1, float("nan")), (1, float("inf"))):
        with pytest.raises(ValueError, match="concept a has"):
            num_repeats({"a": images}, {"a": multiply})


def test_nothing_has_no_repeats():
    assert num_repeats({}, {}) == {}
