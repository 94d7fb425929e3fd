"""Held-out images that the training part shows as well."""

from __future__ import annotations

import numpy as np

from dataset_pipeline.reports.readiness.leakage import BLOCK_ROWS, Embedded, Leak, leaks, nearest

TRAIN = {"s.e1/00000001": "a", "s.e1/00000002#head-1-2-3-4": "b"}


def embedded(**angles: float) -> Embedded:
    """Stills 00000001 and so on of s.e1 by one digit, turned by so many degrees."""
    radians = np.radians(list(angles.values()))
    ids = [f"s.e1/0000000{name[1]}" for name in angles]
    return Embedded(ids, np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32))


def test_an_image_leaks_as_the_same_file_the_same_still_or_a_near_duplicate():
    held_out = {
        "s.e1/00000001#face-1-2-3-4": "c",  # a crop of a still in training
        "s.e1/00000002": "d",  # the still of a crop in training
        "s.e1/00000003": "a",
        "s.e1/00000004": "e",
        "s.e1/00000005": "f",
    }
    found = leaks(TRAIN, held_out, groups={"s.e1/00000004": "g", "s.e1/00000001": "g"})
    assert found == [
        Leak("s.e1/00000001#face-1-2-3-4", "s.e1/00000001", "same still", 1.0),
        Leak("s.e1/00000002", "s.e1/00000002#head-1-2-3-4", "same still", 1.0),
        Leak("s.e1/00000003", "s.e1/00000001", "same file", 1.0),
        Leak("s.e1/00000004", "s.e1/00000001", "near-duplicate", 1.0),
    ]


def test_stills_above_the_similarity_are_near_duplicates_and_their_crops_with_them():
    held_out = {"s.e1/00000003": "x", "s.e1/00000003#head-1-1-1-1": "y", "s.e1/00000004": "z"}
    vectors = embedded(_1=0, _2=90, _3=10, _4=45)
    found = leaks(TRAIN, held_out, embedded=vectors, similarity=0.95)
    assert [(leak.image_id, leak.train_id) for leak in found] == [
        ("s.e1/00000003", "s.e1/00000001"),
        ("s.e1/00000003#head-1-1-1-1", "s.e1/00000001"),
    ]
    assert round(found[0].similarity, 3) == 0.985
    assert leaks(TRAIN, held_out, embedded=vectors, similarity=0.99) == []


def test_nothing_leaks_where_nothing_is_held_out_or_nothing_is_trained_on():
    vectors = embedded(_1=0, _2=90, _3=10)
    assert leaks(TRAIN, {}, embedded=vectors) == []
    assert leaks({}, {"s.e1/00000003": "x"}, embedded=vectors) == []


def test_the_nearest_is_found_across_blocks():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((2 * BLOCK_ROWS + 50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows, others = vectors[:40], vectors[40:]
    cosine, place = nearest(rows, others)
    assert (place == (rows @ others.T).argmax(axis=1)).all()
    assert np.allclose(cosine, (rows @ others.T).max(axis=1))
