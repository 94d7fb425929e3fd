"""Which images are left out because their concept, a character or the set has enough (`max_images` and the like)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.settings import ConceptBalanceSettings
from dataset_pipeline.training.strata import CHOSEN, choose


def over_quota(
    images: Iterable[Mapping[str, Any]], concepts: Mapping[str, str], settings: ConceptBalanceSettings
) -> set[str]:
    """The images that a quota of `[concept_balance]` leaves out, by id. images: image_id, quality and characters of
    those selected. concepts: by image id.

    The best go first, of equal quality by id, and each is taken if its concept, each of its characters and the set
    still have room for it.
    """
    most = {"concept": settings.max_images_per_concept, "character": settings.max_images_per_character}
    if not (any(most.values()) or settings.max_images):
        return set()
    ranked = sorted(images, key=lambda image: (-_quality(image), image["image_id"]))
    numbers: dict[tuple[str, str], int] = {}
    groups = []
    for image in ranked:
        characters = {parse_character(it).name for it in image["characters"]}
        its = [("concept", concepts[image["image_id"]]), *(("character", name) for name in characters)]
        groups.append([numbers.setdefault(group, len(numbers)) for group in its])
    outcomes = choose(
        groups,
        least=[0] * len(numbers),
        most=[most[kind] or math.inf for kind, _ in numbers],
        total=settings.max_images or math.inf,
    )
    return {image["image_id"] for image, outcome in zip(ranked, outcomes, strict=True) if outcome != CHOSEN}


def _quality(image: Mapping[str, Any]) -> float:
    quality = image["quality"]
    return -math.inf if quality is None or math.isnan(quality) else quality
