"""From a table of embeddings to the arrays that clustering works on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def vectors_by_id(embeddings: pa.Table, model_sha256: str) -> dict[str, np.ndarray]:
    """float32 [d] by image id, in the table's order, of the rows that these weights made: others do not compare."""
    ours = [weights == model_sha256 for weights in embeddings["model_sha256"].to_pylist()]
    embeddings = embeddings.filter(pa.array(ours, pa.bool_()))
    vectors = embeddings["embedding"].combine_chunks()
    if len(vectors) == 0:
        return {}
    matrix = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(vectors), -1)
    return dict(zip(embeddings["image_id"].to_pylist(), matrix, strict=True))
