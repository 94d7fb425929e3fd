"""Embeddings as arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def vectors_by_id(embeddings: pa.Table, model_sha256: str) -> dict[str, np.ndarray]:
    """float32 [d] by image id, in the table's order, of the rows made by these weights: others do not
    compare. Vectors with values that are not finite are left out."""
    ours = [weights == model_sha256 for weights in embeddings["model_sha256"].to_pylist()]
    embeddings = embeddings.filter(pa.array(ours, pa.bool_()))
    vectors = embeddings["embedding"].combine_chunks()
    if len(vectors) == 0:
        return {}
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
    finite = np.isfinite(matrix).all(axis=1).tolist()
    found = zip(embeddings["image_id"].to_pylist(), matrix, finite, strict=True)
    return {image_id: vector for image_id, vector, is_finite in found if is_finite}


def unit(vectors: np.ndarray) -> np.ndarray:
    """float32 [n, d] of unit length; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
