"""How many pictures of each regularization class an epoch shows, and how often each of them.

Every slot, an image to train on as often as an epoch shows it, asks for one picture of a class that the image stands
beside; several such classes divide it evenly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dataset_pipeline.training.num_repeats import num_repeats


@dataclass(frozen=True)
class ClassShare:
    """A class in an epoch. pictures: that there are. slots: how many pictures an epoch shows, any of them several
    times. cut: the trainer takes the same pictures in every epoch, the first of them where there are more than slots;
    else others each time."""

    name: str
    pictures: int
    slots: int
    cut: bool

    @property
    def used(self) -> int:
        """Pictures that the trainer ever shows, the first in the order of preference."""
        return min(self.pictures, self.slots) if self.cut else self.pictures * bool(self.slots)

    @property
    def times(self) -> list[int]:
        """How often an epoch shows each picture, in the order of preference; they add up to the slots, and none is
        shown more than once more than another that is used."""
        used = min(self.pictures, self.slots)
        if not used:
            return [0] * self.pictures
        times, more = divmod(self.slots, used)
        return [times + (place < more) if place < used else 0 for place in range(self.pictures)]


def training_slots(images: Iterable[tuple[str, str, float]], whole: bool) -> dict[str, float]:
    """How often an epoch shows each image to train on. images: id, concept, multiply. whole: the trainer takes whole
    repeats only, see `num_repeats`."""
    images = list(images)
    multiplies = {concept: multiply for _, concept, multiply in images}
    if whole:
        multiplies = dict(num_repeats(Counter(concept for _, concept, _ in images), multiplies))
    return {image_id: multiplies[concept] for image_id, concept, _ in images}


def class_shares(
    slots: Mapping[str, float],
    pictures: Mapping[str, int],
    beside: Mapping[str, Collection[str] | None],
    cut: bool,
    fills: bool,
) -> list[ClassShare]:
    """The classes, sorted by name, with whole numbers of slots that add up to those of an epoch.

    slots: of `training_slots`. pictures: how many there are of each class. beside: ids of the images that a class
    stands beside, None: all. fills: the trainer shows a picture for every slot, whatever its image
    stands beside. The method is that of largest remainders, equal ones by name.
    """
    named = {name: None if (ids := beside.get(name)) is None else frozenset(ids) for name in pictures}
    asked = dict.fromkeys(sorted(pictures), 0.0)
    for image_id, times in slots.items():
        classes = [name for name, images in named.items() if images is None or image_id in images]
        for name in classes:
            asked[name] += times / len(classes)
    total = math.fsum(asked.values())
    every = math.fsum(slots.values()) if fills and total else total
    exact = {name: value * every / total if total else 0.0 for name, value in asked.items()}
    # Sums of thirds miss whole numbers by the last digits of a float.
    whole = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    rest = round(every) - sum(whole.values())
    for name in sorted(exact, key=lambda name: (whole[name] - exact[name], name))[: max(0, rest)]:
        whole[name] += 1
    return [ClassShare(name, pictures[name], whole[name], cut) for name in whole]
