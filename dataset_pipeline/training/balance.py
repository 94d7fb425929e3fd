"""How often each concept's images are repeated, so that rare concepts are seen as often as their weight asks.

The folders form a tree. At each folder the probability divides among its children by their weights; images lying in
the folder itself compete as one more child with the folder's own weight. A leaf's probability by its number of images
is the chance of one image, and a multiply is that chance relative to the least likely image of the set.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

MULTIPLY_DECIMALS = 2  # as trainers are told
CONCEPTS_SHOWN = 200


class Weight(Protocol):
    @property
    def pattern(self) -> str: ...
    @property
    def weight(self) -> float: ...


@dataclass(frozen=True)
class ConceptShare:
    """probability: that a draw from the set falls on this concept. unlimited_multiply: before `max_multiply`."""

    concept: str
    images: int
    probability: float
    unlimited_multiply: float
    multiply: float


def balance(
    counts: Mapping[str, int], weights: Sequence[Weight], min_multiply: float, max_multiply: float
) -> list[ConceptShare]:
    """The share of each concept that has images, sorted by concept.

    counts: number of images by posix path, e.g. `2_characters/a+b`. A folder's weight is that of the pattern equal to
    its name, else of the first pattern that matches its whole path (`*` crosses slashes), else 1. The least likely
    image is repeated `min_multiply` times. Raises ValueError.
    """
    own = {_parts(concept): images for concept, images in counts.items() if _checked(concept, images) > 0}
    if not own:
        return []
    exact: dict[str, float] = {}
    for entry in weights:
        exact.setdefault(entry.pattern, entry.weight)
    children: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for parts in own:
        for depth in range(len(parts), 0, -1):
            siblings = children.setdefault(parts[: depth - 1], set())
            if parts[:depth] in siblings:
                break
            siblings.add(parts[:depth])
    probability: dict[tuple[str, ...], float] = {}
    left: list[tuple[tuple[str, ...], float]] = [((), 1.0)]
    while left:
        node, chance = left.pop()
        below = sorted(children.get(node, ()))
        shares = [_weight(child, exact, weights) for child in below]
        own_share = [_weight(node, exact, weights)] if node in own else []
        total = math.fsum(shares + own_share)
        if own_share:
            probability[node] = chance * own_share[0] / total
        left += [(child, chance * share / total) for child, share in zip(below, shares, strict=True)]
    rarest = min(probability[parts] / images for parts, images in own.items())
    shares_of = []
    for parts in sorted(own):
        unlimited = probability[parts] / own[parts] / rarest * min_multiply
        shares_of.append(
            ConceptShare("/".join(parts), own[parts], probability[parts], unlimited, min(unlimited, max_multiply))
        )
    return shares_of


def virtual_size(rows: Iterable[Mapping[str, Any]]) -> float:
    """Images that an epoch shows: those of each concept times its multiply. rows: images and multiply."""
    return math.fsum(row["images"] * round(row["multiply"], MULTIPLY_DECIMALS) for row in rows)


def balance_markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of `concept_balance` as a Markdown table, what an epoch shows most first, with the totals below."""
    rows = sorted(rows, key=lambda row: (-virtual_size([row]), row["concept"]))
    head = ["concept", "probability", "images", "multiply before limits", "multiply", "virtual size"]
    lines = [f"| {' | '.join(head)} |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {row['concept']} | {row['probability']:.4f} | {row['images']} | {row['unlimited_multiply']:.2f} "
        f"| {row['multiply']:.2f} | {virtual_size([row]):.2f} |"
        for row in rows[:CONCEPTS_SHOWN]
    ]
    if more := rows[CONCEPTS_SHOWN:]:
        lines.append(
            f"| and {len(more)} more | {math.fsum(row['probability'] for row in more):.4f} "
            f"| {sum(row['images'] for row in more)} | | | {virtual_size(more):.2f} |"
        )
    totals = [
        f"number of images {sum(row['images'] for row in rows)}",
        f"virtual dataset size {virtual_size(rows):.2f}",
    ]
    if too_many := sum(len(row["over_quota"]) for row in rows):
        totals.append(f"over quota {too_many}")
    return "\n".join([*lines, "", "; ".join(totals)])


def _checked(concept: str, images: int) -> int:
    if images < 0:
        raise ValueError(f"concept {concept!r} has {images} images")
    if concept and not all(part not in ("", ".", "..") for part in concept.split("/")):
        raise ValueError(f"concept {concept!r} is no path like 2_characters/a+b")
    return images


def _parts(concept: str) -> tuple[str, ...]:
    return tuple(concept.split("/")) if concept else ()


def _weight(parts: tuple[str, ...], exact: Mapping[str, float], weights: Iterable[Weight]) -> float:
    name = parts[-1] if parts else ""
    if name in exact:
        return exact[name]
    path = "/".join(parts)
    return next((entry.weight for entry in weights if fnmatchcase(path, entry.pattern)), 1.0)
