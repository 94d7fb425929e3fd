"""Between tables of embeddings and the arrays that clustering works on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa


def vectors_by_id(embeddings: pa.Table) -> dict[str, np.ndarray]:
    """float32 [d] by image id, in the table's order."""
    vectors = embeddings["embedding"].combine_chunks()
    if len(vectors) == 0:
        return {}
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
    return dict(zip(embeddings["image_id"].to_pylist(), matrix, strict=True))


def differences_between(
    differences: Callable[[np.ndarray], np.ndarray],
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Turn a model's [n, d] -> [n, n] into ([n, d], [m, d]) -> [n, m]."""

    def between(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        if len(ours) == 0:
            return np.zeros((0, len(theirs)), np.float32)
        return differences(np.concatenate([ours, theirs]))[: len(ours), len(ours) :]

    return between
