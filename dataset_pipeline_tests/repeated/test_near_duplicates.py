from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from dataset_pipeline.corrections.answers import FrameAnswers
from dataset_pipeline.repeated import near_duplicates, neighbour_search
from dataset_pipeline.repeated.near_duplicates import decide_distinct, distinct
from dataset_pipeline.store.schemas import SCHEMAS

SETTINGS = SimpleNamespace(similarity=0.95, min_contrast=0.02)
LIMITS = SimpleNamespace(max_combing=0.5, max_ghost=0.5, max_blockiness=0.6, drop=["combing"])


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def three_in_a_row() -> np.ndarray:
    """cos(e1, e2) = cos(e2, e3) = 0.96 and cos(e1, e3) = 0.90."""
    gram = np.array([[1, 0.96, 0.90], [0.96, 1, 0.96], [0.90, 0.96, 1]])
    return np.linalg.cholesky(gram).astype(np.float32)


def crowd(seed: int, originals: int, copies: int, size: int = 32, noise: float = 0.15) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = unit(rng.normal(size=(originals, size)))
    near = base[rng.integers(originals, size=copies)] + noise * unit(rng.normal(size=(copies, size)))
    return rng.permutation(unit(np.concatenate([base, near])))


def greedy(embeddings: np.ndarray, order: list[int], similarity: float) -> tuple[list[int], dict[int, int]]:
    """The rule, word for word."""
    kept: list[int] = []
    survivor: dict[int, int] = {}
    for i in order:
        cosines = [float(embeddings[i] @ embeddings[k]) for k in kept]
        if cosines and max(cosines) > similarity:
            survivor[i] = kept[int(np.argmax(cosines))]
        else:
            kept.append(i)
            survivor[i] = i
    return kept, survivor


def test_a_dropped_frame_drops_nobody_else():
    groups = distinct(three_in_a_row(), [0, 1, 2], 0.95)
    assert groups.kept == [0, 2]
    assert groups.survivor.tolist() == [0, 0, 2]
    assert groups.similarity == pytest.approx([1.0, 0.96, 1.0], abs=1e-6)


def test_the_best_of_a_group_stays_and_stands_for_the_others():
    groups = distinct(three_in_a_row(), [1, 0, 2], 0.95)
    assert groups.kept == [1]
    assert groups.survivor.tolist() == [1, 1, 1]


@pytest.mark.parametrize("cosine", [0.6, 0.7, 0.9, 0.95, 0.985])
def test_a_cosine_exactly_at_the_threshold_keeps_both(cosine: float):
    pair = np.array([[1.0, 0.0], [cosine, math.sqrt(1 - cosine**2)]], dtype=np.float32)
    assert distinct(pair, [0, 1], cosine).kept == [0, 1]
    assert distinct(pair, [0, 1], cosine - 1e-6).kept == [0]


def test_equal_frames_group_and_a_threshold_of_one_keeps_even_them():
    same = np.repeat(unit(np.random.default_rng(0).normal(size=(1, 512))), 5, axis=0)
    assert distinct(same, range(5), 0.999).survivor.tolist() == [0] * 5
    assert distinct(same, range(5), 1.0).kept == [0, 1, 2, 3, 4]
    assert distinct(same, range(5), 0.5).similarity.max() == 1.0


@pytest.mark.parametrize("block", [1, 7, 64, 512])
def test_blocks_of_any_size_give_what_the_plain_rule_gives(monkeypatch: pytest.MonkeyPatch, block: int):
    monkeypatch.setattr(near_duplicates, "BLOCK_ROWS", block)
    monkeypatch.setattr(neighbour_search, "KEPT_ROWS", 2 * block)
    for seed in range(3):
        embeddings = crowd(seed, originals=60, copies=90)
        order = np.random.default_rng(seed).permutation(len(embeddings)).tolist()
        groups = distinct(embeddings, order, 0.95)
        kept, survivor = greedy(embeddings, order, 0.95)
        assert groups.kept == kept
        assert groups.survivor.tolist() == [survivor[i] for i in range(len(embeddings))]


@pytest.mark.parametrize("spread", [0.05, 0.3, 1.0])
def test_bounds_miss_nothing_whether_frames_are_spread_out_or_crowded(spread: float):
    rng = np.random.default_rng(5)
    scenes = unit(1.0 + spread * rng.normal(size=(40, 256)) * np.geomspace(1, 0.01, 256))
    embeddings = unit(scenes[rng.integers(40, size=900)] + 0.001 * rng.normal(size=(900, 256)))
    order = rng.permutation(900).tolist()
    for similarity in (0.9, 0.99, 0.999):
        groups = distinct(embeddings, order, similarity)
        stays = np.float32(embeddings.astype(np.float64) @ embeddings.T.astype(np.float64)) > np.float32(similarity)
        kept: list[int] = []
        for i in order:
            if not stays[i, kept].any():
                kept.append(i)
        assert groups.kept == kept
        assert 1 <= len(kept) < 900


def test_pairs_given_as_near_are_near_and_drop_nobody_else():
    embeddings = np.eye(4, dtype=np.float32)
    groups = distinct(embeddings, [0, 1, 2, 3], 0.95, also_near=np.array([[1, 0], [1, 2]]))
    assert groups.survivor.tolist() == [0, 0, 2, 3]
    assert groups.similarity.tolist() == [1.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("block", [1, 2, 512])
def test_given_pairs_count_across_blocks_as_within_them(monkeypatch: pytest.MonkeyPatch, block: int):
    monkeypatch.setattr(near_duplicates, "BLOCK_ROWS", block)
    pairs = np.array([[4, 0], [5, 4], [3, 3]])
    assert distinct(np.eye(6, dtype=np.float32), range(6), 0.95, also_near=pairs).kept == [0, 1, 2, 3, 5]


def test_an_index_finds_99_of_100_duplicates_and_drops_no_frame_that_has_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(near_duplicates, "INDEXED_BLOCK_ROWS", 256)
    embeddings = crowd(3, originals=3000, copies=3000, size=128)
    exact = distinct(embeddings, range(6000), 0.95)
    found = distinct(embeddings, range(6000), 0.95, exact=False)
    dropped = [int(row) for row in np.flatnonzero(found.survivor != np.arange(6000))]
    assert len(dropped) >= 0.99 * (6000 - len(exact.kept))
    cosines = np.einsum("ij,ij->i", embeddings[dropped], embeddings[found.survivor[dropped]])
    assert cosines.min() > 0.95
    assert set(found.survivor.tolist()) == set(found.kept)


def test_every_frame_is_near_its_survivor_and_no_two_survivors_are_near():
    embeddings = crowd(9, originals=150, copies=300)
    groups = distinct(embeddings, range(len(embeddings)), 0.95)
    cosines = embeddings @ embeddings.T
    among_kept = cosines[np.ix_(groups.kept, groups.kept)] - 2 * np.eye(len(groups.kept))
    assert among_kept.max() <= 0.95
    dropped = np.flatnonzero(groups.survivor != np.arange(len(embeddings)))
    assert len(dropped) + len(groups.kept) == len(embeddings)
    assert (cosines[dropped, groups.survivor[dropped]] > 0.95).all()
    assert groups.similarity[dropped] == pytest.approx(cosines[dropped, groups.survivor[dropped]], abs=1e-6)


def test_no_frames_give_no_groups_and_one_frame_stays():
    assert distinct(np.zeros((0, 8), np.float32), [], 0.9).kept == []
    assert distinct(np.array([[1.0, 0.0]], np.float32), [0], -1.0).kept == [0]


def test_rows_of_another_length_and_orders_with_holes_are_refused():
    with pytest.raises(ValueError, match=r"row 1 has length 3"):
        distinct(np.array([[1, 0], [3, 0]], np.float32), [0, 1], 0.9)
    with pytest.raises(ValueError, match="row 0 has length nan"):
        distinct(np.array([[np.nan, 0]], np.float32), [0], 0.9)
    with pytest.raises(ValueError, match="each of the 2 rows once"):
        distinct(np.eye(2, dtype=np.float32), [0, 0], 0.9)


def tables(frames: list[tuple[str, float, float]], vectors: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """frames: (id, sharpness, contrast); the i-th vector is of the i-th frame."""
    keyframes = SCHEMAS["keyframes"].table(
        [
            {
                "image_id": f"show.e1/{name}",
                "episode": "show.e1",
                "pts_s": 1.0,
                "sharpness": sharp,
                "contrast": contrast,
                **dict.fromkeys(("combing", "ghost", "blockiness"), 0.0),
            }
            for name, sharp, contrast in frames
        ]
    )
    embeddings = SCHEMAS["frame_embeddings"].table(
        [
            {"image_id": f"show.e1/{name}", "embedding": vector.tolist()}
            for (name, *_), vector in zip(frames, vectors, strict=False)
        ]
    )
    return keyframes, embeddings


def test_the_sharpest_frame_of_a_group_stays_and_blank_ones_group_with_nobody():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [1, 0]], np.float32)
    frames = [("00000001", 50.0, 0.2), ("00000002", 90.0, 0.2), ("00000003", 10.0, 0.2), ("00000004", 500.0, 0.001)]
    rows = {row["image_id"][-1]: row for row in decide_distinct(*tables(frames, vectors), SETTINGS, LIMITS)}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "1": "duplicate",
        "2": "kept",
        "3": "kept",
        "4": "blank",
    }
    assert rows["1"]["group"] == "show.e1/00000002"
    assert rows["2"]["group"] == "show.e1/00000002"
    assert (rows["4"]["group"], rows["4"]["similarity"], rows["4"]["kept"]) == ("", None, False)


def test_what_a_person_keeps_or_chooses_stays_whatever_it_looks_like_and_its_reason_says_so():
    vectors = np.array([[1, 0]] * 3, np.float32)
    frames = [("00000001", 90.0, 0.2), ("00000002", 50.0, 0.2), ("00000003", 10.0, 0.0001)]
    said = FrameAnswers(stay=frozenset({"show.e1/00000003"}), first=frozenset({"show.e1/00000002"}))
    rows = decide_distinct(*tables(frames, vectors), SETTINGS, LIMITS, said)
    assert [(row["reason"], row["kept"]) for row in rows] == [
        ("duplicate", False),
        ("chosen_by_hand", True),
        ("kept_by_hand", True),
    ]


def with_defects(keyframes: pa.Table, **columns: list[float]) -> pa.Table:
    for name, values in columns.items():
        if name in keyframes.column_names:
            keyframes = keyframes.drop_columns([name])
        keyframes = keyframes.append_column(name, pa.array(values))
    return keyframes


def test_combing_counts_before_ghosts_and_blocks_and_those_before_sharpness():
    vectors = np.array([[1, 0]] * 4, np.float32)
    keyframes, embeddings = tables([(f"0000000{i}", sharp, 0.2) for i, sharp in enumerate((90, 50, 10, 70))], vectors)
    keyframes = with_defects(
        keyframes, combing=[0.9, 0.1, 0.0, 0.0], ghost=[0.0, 0.8, 0.1, 0.0], blockiness=[0.0, 0.0, 0.0, 0.9]
    )
    limits = SimpleNamespace(**{**vars(LIMITS), "drop": []})
    assert [row["reason"] for row in decide_distinct(keyframes, embeddings, SETTINGS, limits)].index("kept") == 2
    without_third = keyframes.filter([True, True, False, True])
    assert [row["kept"] for row in decide_distinct(without_third, embeddings, SETTINGS, limits)] == [False, False, True]


def test_a_combed_frame_never_stays_even_if_no_other_shows_the_same():
    keyframes, embeddings = tables([("00000001", 90, 0.2), ("00000002", 50, 0.2)], np.eye(2, dtype=np.float32))
    rows = decide_distinct(with_defects(keyframes, combing=[0.6, 0.5]), embeddings, SETTINGS, LIMITS)
    assert [(row["reason"], row["kept"], row["group"]) for row in rows] == [
        ("combing", False, ""),
        ("kept", True, "show.e1/00000002"),
    ]


def test_of_frames_equally_sharp_within_noise_the_first_stays():
    vectors = np.array([[1, 0], [1, 0]], np.float32)
    frames = [("00000001", 100.0, 0.2), ("00000002", 100.9, 0.2)]
    reasons = [row["reason"] for row in decide_distinct(*tables(frames, vectors), SETTINGS, LIMITS)]
    assert reasons == ["kept", "duplicate"]


def test_the_order_of_the_tables_rows_decides_nothing():
    rng = np.random.default_rng(4)
    vectors = crowd(4, originals=20, copies=60, size=16)
    frames = [(f"{i:08d}", float(rng.uniform(10, 100)), 0.2) for i in range(80)]
    keyframes, embeddings = tables(frames, vectors)
    expected = decide_distinct(keyframes, embeddings, SETTINGS, LIMITS)
    shuffled = decide_distinct(
        keyframes.take(rng.permutation(80)), embeddings.take(rng.permutation(80)), SETTINGS, LIMITS
    )
    assert [row["group"] for row in shuffled] == [row["group"] for row in expected]
    SCHEMAS["distinct_frames"].table(expected)


def test_a_frame_without_an_embedding_is_named_unless_it_is_blank():
    frames = [("00000001", 1.0, 0.2), ("00000002", 1.0, 0.0)]
    keyframes, embeddings = tables(frames, np.zeros((0, 2), np.float32))
    with pytest.raises(ValueError, match=r"1 keyframes have no embedding, the first is show\.e1/00000001"):
        decide_distinct(keyframes, embeddings, SETTINGS, LIMITS)
    only_blank = keyframes.slice(1)
    assert [row["reason"] for row in decide_distinct(only_blank, embeddings, SETTINGS, LIMITS)] == ["blank"]


def test_an_episode_without_keyframes_gives_no_rows():
    empty = SCHEMAS["keyframes"].empty(), SCHEMAS["frame_embeddings"].empty()
    assert decide_distinct(*empty, SETTINGS, LIMITS) == []


def test_a_frame_whose_embedding_does_not_compare_is_dropped_and_the_others_are_decided():
    frames = [("00000001", 1.0, 0.2), ("00000002", 9.0, 0.2), ("00000003", 2.0, 0.2)]
    keyframes, embeddings = tables(frames, np.array([[1, 0], [np.nan, 0], [1, 0]], np.float32))
    reasons = [row["reason"] for row in decide_distinct(keyframes, embeddings, SETTINGS, LIMITS)]
    assert reasons == ["duplicate", "not_measured", "kept"]
    without = pa.concat_tables([embeddings.slice(0, 1), embeddings.slice(2)])
    assert [row["reason"] for row in decide_distinct(keyframes, without, SETTINGS, LIMITS)] == reasons
