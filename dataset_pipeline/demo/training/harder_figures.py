"""How a pack's identity model does on the harder season: outfits, twins, and clusters without references.

Crops are the drawn boxes of people and heads. An appearance is one person on one still: the mean of the unit vectors of
the head and of the body, where both are seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dataset_pipeline.characters.clustering import cluster
from dataset_pipeline.demo.harder import HarderCast, LabelledCrop, harder_cast, harder_stills, labelled_crops

KINDS = ("person", "head", "appearance")
Embed = Callable[[Sequence[np.ndarray]], np.ndarray]  # RGB crops -> vectors [n, d]
Differ = Callable[[np.ndarray], np.ndarray]  # vectors [n, d] -> differences [n, n]


def appearances(crops: Sequence[LabelledCrop], vectors: np.ndarray) -> tuple[list[LabelledCrop], np.ndarray]:
    """One crop and the unit vector of each person on each still; the image in a mirror is an appearance of its own."""
    rows: dict[tuple[int, int], list[int]] = {}
    for row, crop in enumerate(crops):
        rows.setdefault((id(crop.still), id(crop.person)), []).append(row)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    means = np.stack([unit[found].mean(0) for found in rows.values()])
    return [crops[found[0]] for found in rows.values()], means / np.linalg.norm(means, axis=1, keepdims=True)


def median_differences(cast: HarderCast, crops: Sequence[LabelledCrop], apart: np.ndarray) -> dict[str, float]:
    """Median difference between crops of one person in two outfits, and of each pair of twins, by trait.

    Twins of whom one is on no crop are left out.
    """
    names = np.array([crop.name for crop in crops])
    outfits = np.array([crop.outfit for crop in crops])
    upper = np.triu(np.ones_like(apart, bool), 1)
    same = names[:, None] == names[None]
    medians = {"one person in two outfits": float(np.median(apart[upper & same & (outfits[:, None] != outfits[None])]))}
    for pair in cast.twins:
        one, other = (names == name for name in pair.names)
        if one.any() and other.any():
            medians[f"twins by {pair.trait}"] = float(np.median(apart[one[:, None] & other[None]]))
    return medians


def truth_of_clusters(
    cast: HarderCast, crops: Sequence[LabelledCrop], apart: np.ndarray, threshold: float
) -> dict[str, float]:
    """Adjusted Rand index of the pipeline's clustering: of those without a twin, and of everybody."""
    from sklearn.metrics import adjusted_rand_score

    names = np.array([crop.name for crop in crops])
    found = cluster(apart.clip(0), threshold, 2)
    distinct = np.isin(names, cast.distinct)
    return {
        "adjusted_rand_distinct": float(adjusted_rand_score(names[distinct], found[distinct])),
        "adjusted_rand": float(adjusted_rand_score(names, found)),
    }


def cast_figures(number: int, embed: Embed, differ: Differ, threshold: float) -> dict[str, dict[str, float]]:
    """`median_differences` and `truth_of_clusters` of one cast, for each of KINDS."""
    cast = harder_cast(number)
    crops = [crop for crop in labelled_crops(list(harder_stills(number)), cast) if not crop.extra]
    vectors = embed([crop.image for crop in crops])
    figures = {}
    for kind in KINDS:
        if kind == "appearance":
            chosen, rows = appearances(crops, vectors)
        else:
            chosen = [crop for crop in crops if crop.kind == kind]
            rows = vectors[[crop.kind == kind for crop in crops]]
        apart = differ(rows)
        figures[kind] = median_differences(cast, chosen, apart) | truth_of_clusters(cast, chosen, apart, threshold)
    return figures


def measure_harder_season(casts: int) -> dict[str, dict[str, float]]:
    """The medians over casts 0 to `casts` - 1 of `cast_figures`, through imgutils, by "harder season, <kind>"."""
    from imgutils.metrics import ccip_batch_differences, ccip_batch_extract_features, ccip_default_threshold
    from PIL import Image

    def embed(images: Sequence[np.ndarray]) -> np.ndarray:
        pictures = [Image.fromarray(image) for image in images]
        return np.concatenate([ccip_batch_extract_features(pictures[i : i + 16]) for i in range(0, len(pictures), 16)])

    found = [
        cast_figures(number, embed, lambda rows: ccip_batch_differences(list(rows)), ccip_default_threshold())
        for number in range(casts)
    ]
    return {
        f"harder season, {kind}": {
            what: float(np.median([figures[kind][what] for figures in found])) for what in found[0][kind]
        }
        for kind in KINDS
    }
