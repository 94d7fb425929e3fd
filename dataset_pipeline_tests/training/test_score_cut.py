from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest

from dataset_pipeline.training.score_cut import (
    ALL,
    TILES,
    Cut,
    Limits,
    OtherMetric,
    check_metric,
    ladder,
    losses,
    mean_lost,
    schema_of,
    select_by_score,
    strata_of,
)

pc: Any = pyarrow.compute  # makes its functions at import, where type checkers do not see them
NATIVE, THREE_QUARTERS, EDGE = "1", "0.75", "shortest_edge"
# Of tiles scored by hyperIQA 6 %, 40 % and all of these copies lie above the score that 10,000 of 52,000 reach.
COPIES = {NATIVE: (1600, 0.06), THREE_QUARTERS: (900, 0.40), EDGE: (100, 1.0)}
BEST_500 = Cut("keep_best", "count", 500)


def table(rows: Sequence[tuple[str, float | None]], **columns: list) -> pa.Table:
    """Tiles with a score, each of the picture that its name's first letter tells."""
    return pa.table(
        {"tile_id": [name for name, _ in rows], "image_id": [f"show.e1/{name[0]}" for name, _ in rows]}
        | {"score": pa.array([score for _, score in rows], pa.float64())}
        | columns
    )


def outcomes(tiles: pa.Table, cut: Cut, limits: Limits = ALL, higher_is_better: bool = True) -> dict[str, str]:
    return {
        row["tile_id"]: row["reason"]
        for row in select_by_score(tiles, cut, limits, higher_is_better, TILES).to_pylist()
    }


def selected(tiles: pa.Table, cut: Cut, limits: Limits = ALL, higher_is_better: bool = True) -> set[str]:
    found = outcomes(tiles, cut, limits, higher_is_better)
    return {name for name, reason in found.items() if reason == "selected"}


FIVE = table([("a1", 0.5), ("b1", 0.9), ("c1", 0.5), ("d1", 0.1), ("e1", 0.7)])


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (Cut("drop_worst", "count", 1), "abce"),
        (Cut("drop_worst", "count", 2), "abe"),  # of the equal a and c the first by id stays
        (Cut("drop_worst", "count", 9), ""),
        (Cut("drop_worst", "percentile", 39), "abce"),  # 1.95 of five
        (Cut("drop_worst", "percentile", 40), "abe"),
        (Cut("drop_worst", "percentile", 0), "abcde"),
        (Cut("drop_worst", "score", 0.5), "abce"),
        (Cut("keep_best", "score", 0.5), "abce"),
        (Cut("keep_best", "count", 2), "be"),
        (Cut("keep_best", "count", 9), "abcde"),
        (Cut("keep_best", "percentile", 40), "be"),
        (Cut("keep_best", "percentile", 41), "abe"),
    ],
)
def test_the_worst_go_or_the_best_stay_by_count_score_or_percentile(cut: Cut, expected: str):
    assert selected(FIVE, cut) == {f"{name}1" for name in expected}


def test_where_a_lower_score_is_better_the_highest_go():
    assert selected(FIVE, Cut("drop_worst", "count", 1), higher_is_better=False) == {"a1", "c1", "d1", "e1"}
    assert selected(FIVE, Cut("keep_best", "score", 0.5), higher_is_better=False) == {"a1", "c1", "d1"}


def test_the_selection_comes_best_first_with_the_place_of_each_tile_that_stays():
    limits = Limits(per_source=1)
    tiles = table([("a1", 0.4), ("a2", 0.9), ("b1", 0.6), ("b2", None), ("c1", 0.1)])
    found = select_by_score(tiles, Cut("drop_worst", "count", 1), limits, keys=TILES)
    assert found.schema == schema_of(TILES)
    assert [(row["tile_id"], row["reason"], row["place"]) for row in found.to_pylist()] == [
        ("a2", "selected", 0),
        ("b1", "selected", 1),
        ("a1", "source_full", None),
        ("c1", "low_score", None),
        ("b2", "not_scored", None),
    ]


def test_a_count_cut_is_that_of_sorting_by_score_and_name():
    rng = np.random.default_rng(3)
    rows = [(f"{chr(97 + at % 26)}{at:04d}", round(float(score), 2)) for at, score in enumerate(rng.random(700))]
    expected = {name for name, _ in sorted(rows, key=lambda row: (-row[1], row[0]))[:123]}
    assert selected(table(rows), Cut("keep_best", "count", 123)) == expected


def test_tiles_without_a_score_never_stay_and_count_for_no_percent():
    tiles = table([("a1", 0.5), ("b1", None), ("c1", math.nan), ("d1", 0.1)])
    assert outcomes(tiles, Cut("drop_worst", "percentile", 50)) == {
        "a1": "selected", "b1": "not_scored", "c1": "not_scored", "d1": "low_score",
    }  # fmt: skip
    assert selected(tiles, Cut("keep_best", "count", 3), Limits(floor=4)) == {"a1", "d1"}


def test_a_picture_gives_no_more_than_its_best_tiles_and_the_next_best_take_their_places():
    tiles = table([("a1", 0.9), ("a2", 0.8), ("a3", 0.7), ("b1", 0.3), ("c1", 0.2)])
    limits = Limits(per_source=2)
    assert outcomes(tiles, Cut("keep_best", "count", 3), limits) == {
        "a1": "selected", "a2": "selected", "a3": "source_full", "b1": "selected", "c1": "enough",
    }  # fmt: skip


STRATA = table(
    [("a1", 0.9), ("b1", 0.8), ("c1", 0.7), ("d1", 0.6), ("e1", 0.5), ("f1", 0.4)],
    copy=[NATIVE, NATIVE, NATIVE, NATIVE, EDGE, EDGE],
)


@pytest.mark.parametrize(
    ("cut", "limits", "expected"),
    [
        (Cut("keep_best", "count", 3), Limits(("copy",)), "abc"),
        (Cut("keep_best", "count", 3, in_strata=True), Limits(("copy",)), "abe"),
        (Cut("keep_best", "percentile", 50, in_strata=True), Limits(("copy",)), "abe"),
        (Cut("drop_worst", "count", 3, in_strata=True), Limits(("copy",)), "abe"),
        (Cut("drop_worst", "percentile", 25, in_strata=True), Limits(("copy",)), "abcef"),  # of the two none goes
        (Cut("drop_worst", "percentile", 50), Limits(("copy",)), "abc"),
        (Cut("drop_worst", "score", 0.65), Limits(("copy",), floor=1), "abce"),
        (Cut("drop_worst", "percentile", 50), Limits(("copy",), floor=1), "abce"),
        (Cut("keep_best", "count", 3), Limits(("copy",), floor=2), "abef"),
        (Cut("keep_best", "count", 3), Limits(("copy",), floor=1), "abe"),
        (Cut("keep_best", "count", 3), Limits(("copy",), quota=2), "abe"),
        (Cut("drop_worst", "percentile", 0), Limits(("copy",), quota=1), "ae"),
        (Cut("keep_best", "count", 4, in_strata=True), Limits(("copy",), quota=2), "abef"),
    ],
)
def test_a_cut_goes_by_strata_and_each_keeps_its_floor_and_no_more_than_its_quota(
    cut: Cut, limits: Limits, expected: str
):
    assert selected(STRATA, cut, limits) == {f"{name}1" for name in expected}


def test_strata_of_several_columns_are_named_by_all_and_a_tile_of_two_characters_is_in_both():
    tiles = table(
        [("a1", 0.9), ("b1", 0.8), ("c1", 0.7)], copy=[NATIVE, EDGE, EDGE], characters=[["fern", "stark"], ["fern"], []]
    )
    members, names = strata_of(tiles, ["copy", "characters"], TILES)
    assert names == ["1 / fern", "1 / stark", "shortest_edge / fern", "shortest_edge / none"]
    assert members == [[0, 1], [2], [3]]
    assert strata_of(tiles, ["show", "episode"], TILES) == ([[0], [0], [0]], ["show / show.e1"])
    assert strata_of(tiles, [], TILES) == ([[0], [0], [0]], ["all"])


def test_each_character_keeps_its_floor_and_a_tile_of_two_counts_for_both():
    who = [["fern"], ["fern"], ["fern"], ["fern", "stark"], ["stark"], []]
    tiles = STRATA.append_column("characters", pa.array(who, pa.list_(pa.string())))
    best_two, limits = Cut("keep_best", "count", 2), Limits(("characters",), floor=1)
    assert selected(tiles, best_two) == {"a1", "b1"}
    assert selected(tiles, best_two, limits) == {"a1", "d1", "f1"}
    # Of the worst half of each character's own tiles none stays that is not in the better half of another's.
    half = Cut("drop_worst", "percentile", 50, in_strata=True)
    assert selected(tiles, half, Limits(("characters",))) == {"a1", "b1", "d1", "f1"}


def scored() -> pa.Table:
    """2,600 tiles of 100 pictures as a metric scores them that likes shrunk pictures, dislikes dark ones, and one
    character: every tenth picture is dark, every twentieth shows Stark."""
    rng = np.random.default_rng(5)
    rows, copies, scenes, characters = [], [], [], []
    for copy, (tiles, above) in COPIES.items():
        places = np.linspace(0, 1, tiles, endpoint=False) + 0.5 / tiles
        scores = rng.permutation(0.745 + 0.1 * (places - 1 + above))
        for number, score in enumerate(scores):
            picture = number % 100
            dark, stark = picture % 10 == 3, picture % 20 == 4
            rows.append(
                (f"{chr(97 + picture % 26)}{picture:02d}-{copy}-{number}", float(score) - 0.1 * (dark or stark))
            )
            copies.append(copy)
            scenes.append("dark" if dark else "bright")
            characters.append(["stark"] if stark else ["fern"])
    return table(rows, copy=copies, scene=scenes, characters=characters)


def test_under_a_cut_of_the_whole_the_native_scale_dark_scenes_and_one_character_all_but_vanish():
    tiles = scored()
    found = select_by_score(tiles, BEST_500, keys=TILES)
    by_copy = {row["stratum"]: row for row in losses(tiles, found, ["copy"], TILES)}
    assert by_copy[NATIVE]["share_of_rows"] == pytest.approx(0.62, abs=0.01)
    assert by_copy[NATIVE]["share_of_selected"] < 0.2
    for column, stratum in (("scene", "dark"), ("characters", "stark")):
        lost = {row["stratum"]: row for row in losses(tiles, found, [column], TILES)}[stratum]
        assert lost["share_of_selected"] < 0.2 * lost["share_of_rows"]
    assert mean_lost(found) == 0


@pytest.mark.parametrize("column", ["copy", "scene", "characters"])
def test_cut_in_strata_each_keeps_its_share_and_the_report_says_what_the_mean_lost(column: str):
    tiles = scored()
    found = select_by_score(tiles, Cut("keep_best", "count", 500, in_strata=True), Limits((column,)), keys=TILES)
    assert pc.sum(found["selected"]).as_py() == 500
    for row in losses(tiles, found, [column], TILES):
        assert row["share_of_selected"] == pytest.approx(row["share_of_rows"], abs=1 / 500)
        assert row["mean_score_selected"] > row["mean_score"]
    of_whole = select_by_score(tiles, BEST_500, keys=TILES)
    means = [pc.mean(it.filter(it["selected"])["score"]).as_py() for it in (of_whole, found)]
    assert mean_lost(found) == pytest.approx(means[0] - means[1])
    assert mean_lost(found) > 0.003


def test_a_lower_is_better_metric_loses_the_other_way():
    tiles = scored()
    negative = tiles.set_column(2, "score", pc.negate(tiles["score"]))
    cut, limits = Cut("keep_best", "count", 500, in_strata=True), Limits(("copy",))
    one, other = select_by_score(tiles, cut, limits, keys=TILES), select_by_score(negative, cut, limits, False, TILES)
    assert one["tile_id"] == other["tile_id"]
    assert one["reason"] == other["reason"]
    assert mean_lost(other, higher_is_better=False) == pytest.approx(mean_lost(one))


def test_smaller_sets_are_smaller_on_disk_and_have_a_higher_mean_score():
    tiles = scored().append_column("bytes", pa.array(range(2600), pa.int64()))
    steps = ladder(tiles, [2000, 1000, 500, 250], keys=TILES)
    means, sizes = [row["mean_score"] for row in steps], [row["bytes"] for row in steps]
    assert means == sorted(means)
    assert sizes == sorted(sizes, reverse=True)
    assert [row["selected"] for row in steps] == [2000, 1000, 500, 250]
    best = select_by_score(tiles, Cut("keep_best", "count", 250), keys=TILES).filter(pc.field("selected"))
    row = steps[-1]
    assert (row["mean_score"], row["lowest_score"]) == pytest.approx(
        (pc.mean(best["score"]).as_py(), pc.min(best["score"]).as_py())
    )
    names = set(best["tile_id"].to_pylist())
    assert row["bytes"] == sum(at for at, name in enumerate(tiles["tile_id"].to_pylist()) if name in names)
    assert [it["mean_lost"] for it in steps] == [0] * 4
    assert all(it["mean_lost"] > 0 for it in ladder(tiles, [2000, 500], Limits(("copy",)), in_strata=True, keys=TILES))
    assert ladder(scored(), [10], keys=TILES)[0]["bytes"] is None


def test_no_tiles_give_no_selection():
    none = FIVE.slice(0, 0)
    assert select_by_score(none, BEST_500, keys=TILES).num_rows == 0
    assert losses(none, select_by_score(none, BEST_500, keys=TILES), [], TILES) == []
    assert ladder(none, [5], keys=TILES)[0]["mean_score"] is None
    assert mean_lost(select_by_score(none, BEST_500, keys=TILES)) == 0


def test_the_same_tiles_in_another_order_give_the_same_selection():
    tiles = scored()
    shuffled = tiles.take(pa.array(np.random.default_rng(8).permutation(len(tiles))))
    cut, limits = (
        Cut("keep_best", "count", 400, in_strata=True),
        Limits(("copy", "scene"), floor=3, quota=150, per_source=8),
    )
    assert select_by_score(tiles, cut, limits, keys=TILES).equals(select_by_score(shuffled, cut, limits, keys=TILES))


def test_no_limit_is_passed_whatever_the_cut():
    tiles = scored()
    found = select_by_score(
        tiles, Cut("drop_worst", "percentile", 10), Limits(("copy", "scene"), quota=60, per_source=8), keys=TILES
    )
    kept = tiles.filter(
        pc.is_in(tiles["tile_id"], value_set=found.filter(found["selected"])["tile_id"].combine_chunks())
    )
    assert max(Counter(kept["image_id"].to_pylist()).values()) <= 8
    assert max(Counter(zip(kept["copy"].to_pylist(), kept["scene"].to_pylist(), strict=True)).values()) <= 60
    assert {"stratum_full", "source_full", "low_score", "selected"} == set(found["reason"].to_pylist())


def test_values_of_other_columns_and_the_whole_have_limits_of_their_own():
    tiles = STRATA.append_column("characters", pa.array([["fern"], ["fern", "stark"], [], ["stark"], [], []]))
    limits = Limits(at_most=(("characters", 1), ("copy", 3)), total=3)
    # a is the one Fern, so b is one too many; d is the first Stark, and c, d fill the native scale with a.
    assert outcomes(tiles, Cut(), limits) == {
        "a1": "selected", "b1": "characters_full", "c1": "selected", "d1": "selected",
        "e1": "set_full", "f1": "set_full",
    }  # fmt: skip
    assert outcomes(tiles, Cut(), Limits(at_most=(("copy", 1),)))["b1"] == "copy_full"


def test_rows_that_stay_whatever_their_score_are_left_aside_by_the_means():
    tiles = table([("a1", math.inf), ("b1", 0.8), ("c1", 0.6), ("d1", -math.inf)], copy=["x", "x", "y", "y"])
    found = select_by_score(tiles, Cut("keep_best", "count", 2), Limits(("copy",), floor=1), keys=TILES)
    assert found.filter(found["selected"])["tile_id"].to_pylist() == ["a1", "c1"]
    assert mean_lost(found) == pytest.approx(0.2)  # 0.6 instead of 0.8
    assert [(row["stratum"], row["rows"], row["selected"]) for row in losses(tiles, found, ["copy"], TILES)] == [
        ("x", 1, 0), ("y", 1, 1),
    ]  # fmt: skip


def test_a_cut_that_is_meant_for_another_metric_is_refused():
    scores = pa.table({"metric": ["cnniqa", "cnniqa", None]})
    check_metric(scores, "cnniqa", "selection")
    check_metric(pa.table({"metric": pa.nulls(2, pa.string())}), "hyperiqa", "selection")
    with pytest.raises(OtherMetric) as error:
        check_metric(scores, "hyperiqa", "selection")
    assert '[selection] metric = "hyperiqa"' in str(error.value)
    assert 'the scores are those of "cnniqa"' in str(error.value)
    assert 'set [models] quality = "hyperiqa"' in str(error.value)


@pytest.mark.parametrize(
    ("by", "amount"), [("count", -1), ("percentile", 101), ("percentile", -1), ("score", math.nan), ("count", math.nan)]
)
def test_an_amount_that_is_none_is_refused(by: str, amount: float):
    with pytest.raises(ValueError, match=f"is no {by}"):
        Cut("drop_worst", by, amount)  # type: ignore[arg-type]
