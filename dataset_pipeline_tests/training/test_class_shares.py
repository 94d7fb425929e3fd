from __future__ import annotations

import random

import pytest

from dataset_pipeline.training.class_shares import ClassShare, class_shares, training_slots


def shares_of(slots, pictures, beside=None, cut=True, fills=True) -> dict[str, tuple[int, int]]:
    """Class -> its slots and how many of its pictures are ever shown."""
    found = class_shares(slots, pictures, beside or {}, cut, fills)
    return {share.name: (share.slots, share.used) for share in found}


def test_a_slot_is_an_image_as_often_as_it_is_shown():
    images = [("a", "1_character/x", 1.4), ("b", "1_character/x", 1.4), ("c", "2_characters/y", 3.0)]
    assert training_slots(images, whole=False) == {"a": 1.4, "b": 1.4, "c": 3.0}
    assert training_slots(images, whole=True) == {"a": 1, "b": 1, "c": 3}
    assert training_slots([], whole=True) == {}


def test_classes_that_stand_beside_all_images_divide_the_slots_evenly():
    twenty_by_ten = {f"image {number}": 10.0 for number in range(20)}
    assert shares_of(twenty_by_ten, {"woman": 300, "man": 300}) == {"woman": (100, 100), "man": (100, 100)}
    assert shares_of(twenty_by_ten, {"woman": 30}) == {"woman": (200, 30)}
    assert shares_of({"a": 1.0}, {"woman": 3, "man": 3}) == {"man": (1, 1), "woman": (0, 0)}


def test_a_class_has_the_slots_of_the_images_it_stands_beside():
    slots = {"a": 6.0, "b": 3.0, "c": 1.0}
    beside = {"woman": ["a"], "man": ["a", "b"]}
    assert shares_of(slots, {"woman": 9, "man": 9}, beside, fills=False) == {"man": (6, 6), "woman": (3, 3)}
    # Nobody stands beside c, but the trainer shows a picture for it all the same.
    assert shares_of(slots, {"woman": 9, "man": 9}, beside) == {"man": (7, 7), "woman": (3, 3)}
    assert shares_of(slots, {"woman": 9}, {"woman": ["elsewhere"]}) == {"woman": (0, 0)}
    assert shares_of({}, {"woman": 9}) == {"woman": (0, 0)}


def test_where_other_pictures_are_shown_each_time_all_are_used():
    assert shares_of({"a": 10.0}, {"woman": 300, "man": 1}, cut=False) == {"man": (5, 1), "woman": (5, 300)}


def test_whole_slots_add_up_and_are_off_by_less_than_one():
    rng = random.Random(3)
    for _ in range(300):
        slots = {f"image {number}": rng.choice([1.0, 1.361, 3.7, 10.0]) for number in range(rng.randint(1, 60))}
        names = [f"class {number}" for number in range(rng.randint(1, 5))]
        beside = {name: rng.sample(sorted(slots), rng.randint(0, len(slots))) for name in names[1:]}
        found = class_shares(slots, dict.fromkeys(names, rng.randint(1, 50)), beside, cut=True, fills=True)
        assert sum(share.slots for share in found) == round(sum(slots.values()))
        (first, *_) = found  # beside all images: at least its part among all classes
        assert first.slots > sum(slots.values()) / len(names) - 1


@pytest.mark.parametrize(
    ("pictures", "slots", "times"),
    [
        (30, 200, [7] * 20 + [6] * 10),
        (300, 100, [1] * 100 + [0] * 200),
        (3, 3, [1, 1, 1]),
        (3, 0, [0, 0, 0]),
        (0, 5, []),
    ],
)
def test_the_preferred_pictures_are_shown_once_more_than_the_others(pictures: int, slots: int, times: list[int]):
    assert ClassShare("woman", pictures, slots, cut=True).times == times
