"""Which images are left out because their concept, a character or the set has enough (`max_images` and the like)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.settings import ConceptBalanceSettings


def over_quota(
    images: Iterable[Mapping[str, Any]], concepts: Mapping[str, str], settings: ConceptBalanceSettings
) -> set[str]:
    """The images that a quota of `[concept_balance]` leaves out, by id. images: image_id, quality and characters of
    those selected. concepts: by image id.

    The best go first, of equal quality by id, and each is taken if its concept, each of its characters and the set
    still have room for it.
    """
    quotas = (settings.max_images_per_concept, settings.max_images_per_character, settings.max_images)
    if not any(quotas):
        return set()
    most_of_concept, most_of_character, most = (quota or math.inf for quota in quotas)
    taken: Counter[tuple[str, str]] = Counter()
    left_out = set()
    for image in sorted(images, key=lambda image: (-_quality(image), image["image_id"])):
        concept = ("concept", concepts[image["image_id"]])
        characters = [("character", name) for name in {parse_character(it).name for it in image["characters"]}]
        if (
            taken["set", ""] < most
            and taken[concept] < most_of_concept
            and all(taken[character] < most_of_character for character in characters)
        ):
            taken.update([("set", ""), concept, *characters])
        else:
            left_out.add(image["image_id"])
    return left_out


def _quality(image: Mapping[str, Any]) -> float:
    quality = image["quality"]
    return -math.inf if quality is None or math.isnan(quality) else quality
