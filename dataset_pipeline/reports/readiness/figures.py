"""The figures that a set is judged by, as plain JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.characters.names import parse_character
from dataset_pipeline.reports.readiness.buckets import RULES, Fit, bucket_use, fit_counted

RESOLUTIONS = (512, 768, 1024)
ENLARGED = 1.25  # a picture enlarged by more than this is soft
SCALING_RULE = "kohya_scaled"  # stands for the trainers that enlarge

WORD_EDGES = (5, 10, 15, 20, 30, 40, 50, 75, 100)
TOKEN_EDGES = (15, 30, 45, 60, 75, 100, 150, 225)
FACE_EDGES_PX = (32, 64, 96, 128, 192, 256, 512)
SCALE_EDGES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Captions:
    """Of every training image. tokens: None where nobody counted them."""

    words: np.ndarray
    tokens: np.ndarray | None


def names_of(characters: Iterable[str]) -> set[str]:
    """The names in a row's `characters`, without appearance and outfit."""
    return {parse_character(character).name for character in characters or ()}


def concepts_of(train: pa.Table) -> list[dict[str, Any]]:
    """By share of an epoch, largest first. epoch_share: of images times multiply."""
    images = Counter(train["concept"].to_pylist())
    multiplies = dict(zip(train["concept"].to_pylist(), train["multiply"].to_pylist(), strict=True))
    total = sum(count * multiplies[concept] for concept, count in images.items())
    rows = [
        {
            "concept": concept,
            "images": count,
            "multiply": multiplies[concept],
            "epoch_share": count * multiplies[concept] / total if total else 0.0,
        }
        for concept, count in images.items()
    ]
    return sorted(rows, key=lambda row: (-row["epoch_share"], row["concept"]))


def characters_of(train: pa.Table) -> list[dict[str, Any]]:
    """Most images first."""
    kinds: dict[str, Counter[str]] = {}
    for characters, kind in zip(train["characters"].to_pylist(), train["kind"].to_pylist(), strict=True):
        for name in names_of(characters):
            kinds.setdefault(name, Counter())[kind] += 1
    rows = [
        {"character": name, "images": counts.total(), "kinds": dict(sorted(counts.items()))}
        for name, counts in kinds.items()
    ]
    return sorted(rows, key=lambda row: (-row["images"], row["character"]))


def tag_counts(tagged: Sequence[Collection[str] | None]) -> list[dict[str, Any]]:
    """Every tag, most frequent first, with the share of all training images that bear it."""
    counts = Counter(tag for tags in tagged for tag in set(tags or ()))
    return [
        {"tag": tag, "images": count, "share": count / len(tagged)}
        for tag, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def buckets_of(train: pa.Table, resolution: int) -> list[dict[str, Any]]:
    if not train.num_rows:
        return []
    sides = sorted({*RESOLUTIONS, resolution})
    return [
        asdict(use)
        | {"title": RULES[use.rule].title, "buckets": [list(bucket) for bucket in use.buckets]}
        | {"enlarged_share": use.enlarged / train.num_rows}
        for use in bucket_use(train["width_px"].to_numpy(), train["height_px"].to_numpy(), sides, ENLARGED)
    ]


def enlargement_of(train: pa.Table, resolution: int) -> dict[str, Any]:
    return summary(scale_at(train, resolution), SCALE_EDGES) | {"rule": SCALING_RULE, "resolution": resolution}


def scale_at(table: pa.Table, resolution: int) -> np.ndarray:
    return fit_at(table, SCALING_RULE, resolution).scale


def fit_at(table: pa.Table, rule: str, resolution: int) -> Fit:
    return fit_counted(RULES[rule], table["width_px"].to_numpy(), table["height_px"].to_numpy(), resolution)


def summary(values: np.ndarray, edges: Sequence[float]) -> dict[str, Any]:
    """Median, largest, and how many lie above one edge and not above the next; the first bin has no lower edge, the
    last no upper one."""
    counts = np.bincount(np.searchsorted(np.asarray(edges, np.float64), values), minlength=len(edges) + 1)
    bounds = [None, *edges, None]
    return {
        "count": len(values),
        "median": float(np.median(values)) if len(values) else None,
        "largest": float(values.max()) if len(values) else None,
        "bins": [
            {"above": low, "up_to": high, "count": int(count)}
            for low, high, count in zip(bounds, bounds[1:], counts, strict=False)
        ],
    }


def lengths_of(captions: Sequence[str], count_tokens: Callable[[str], int] | None) -> Captions:
    words = np.array([len(caption.split()) for caption in captions], np.int64)
    if count_tokens is None:
        return Captions(words, None)
    return Captions(words, np.array([count_tokens(caption) for caption in captions], np.int64))
