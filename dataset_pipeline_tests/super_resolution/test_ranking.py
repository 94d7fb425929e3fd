"""From measured tiles to those that stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dataset_pipeline.settings import DEFAULTS, SrSelectionSettings, load_settings
from dataset_pipeline.store.schemas import SCHEMAS
from dataset_pipeline.super_resolution.ranking import higher_is_better, ranked
from dataset_pipeline.training.cut_tables import ladder_curve, ladder_markdown, losses_markdown

NATIVE, HALF = "1", "0.5"


def settings(**changes: Any) -> SrSelectionSettings:
    return load_settings(DEFAULTS, **{f"sr_selection__{name}": value for name, value in changes.items()}).sr_selection


def tiles(count: int = 10) -> pa.Table:
    """Of each picture a tile at native size, and one at half."""
    places = {"copy_width_px": 128, "copy_height_px": 128, "x_px": 0, "y_px": 0, "side_px": 128, "pixel_sha256": "p"}
    return SCHEMAS["sr_tiles"].table(
        [
            {"tile_id": f"a.a/{n:02d}@{copy}", "image_id": f"a.a/{n:02d}", "copy": copy, **places}
            for n in range(count)
            for copy in (NATIVE, HALF)
        ]
    )


def signals(of: pa.Table, **columns: list[float]) -> pa.Table:
    measured = {"pixel_sha256": "p", "model_sha256": "", "algorithm": "1", "signature": b""}
    names = ("blockiness", "sharpness", "noise", "banding", "complexity")
    plain = dict.fromkeys(names, [1.0] * len(of)) | columns
    rows = zip(of["tile_id"].to_pylist(), *(plain[name] for name in names), strict=True)
    return SCHEMAS["sr_tile_signals"].table(
        [{"image_id": tile_id, **measured, **dict(zip(names, values, strict=True))} for tile_id, *values in rows]
    )


def reasons(table: pa.Table) -> dict[str, str]:
    return dict(zip(table["tile_id"].to_pylist(), table["reason"].to_pylist(), strict=True))


def test_each_scale_keeps_its_share_although_shrunk_tiles_score_higher():
    all_tiles = tiles()
    sharper = [n + 100.0 * tile_id.endswith(HALF) for n, tile_id in enumerate(all_tiles["tile_id"].to_pylist())]
    measured = signals(all_tiles, sharpness=sharper)
    how = {"metric": "sharpness", "how": "keep_best", "by": "count", "amount": 10.0}
    shares, whole = (ranked(all_tiles, measured, None, settings(**how, in_strata=it)) for it in (True, False))
    assert [(row["stratum"], row["selected"]) for row in shares.lost] == [(HALF, 5), (NATIVE, 5)]
    assert [(row["stratum"], row["selected"]) for row in whole.lost] == [(HALF, 10), (NATIVE, 0)]
    assert shares.mean_lost > 0 == whole.mean_lost
    assert f"| {NATIVE} | 10 | 0 | 50.0% | 0.0% |" in losses_markdown(whole.lost, ["copy"], whole.mean_lost)


def test_of_blockiness_less_is_better_and_of_a_model_more():
    assert not higher_is_better("blockiness")
    assert higher_is_better("quality")
    all_tiles = tiles(2)
    measured = signals(all_tiles, blockiness=[1.0, 2.0, 3.0, 4.0])
    best = settings(metric="blockiness", how="keep_best", by="count", amount=1.0, strata=[])
    [row] = [row for row in ranked(all_tiles, measured, None, best).selection.to_pylist() if row["selected"]]
    assert (row["score"], row["place"], row["image_id"]) == (1.0, 0, "a.a/00")
    scores = SCHEMAS["sr_tile_scores"].table(
        [
            {"image_id": it, "pixel_sha256": "p", "model_sha256": "m", "algorithm": "1", "score": float(n)}
            for n, it in enumerate(all_tiles["tile_id"].to_pylist()[:3])
        ]
    )
    found = ranked(all_tiles, measured, scores, settings(how="keep_best", by="count", amount=1.0, strata=[])).selection
    assert [row["score"] for row in found.to_pylist() if row["selected"]] == [2.0]
    assert sorted(reasons(found).values()) == ["enough", "enough", "not_scored", "selected"]


def test_blocky_and_plain_tiles_are_left_out_whatever_their_score():
    all_tiles = tiles(2)
    measured = signals(all_tiles, blockiness=[1.0, 40.0, 1.0, 1.0], complexity=[3.0, 3.0, 0.1, 3.0])
    found = ranked(
        all_tiles,
        measured,
        None,
        settings(metric="sharpness", by="count", amount=0.0, max_blockiness=30.0, min_complexity=0.5),
    )
    assert sorted(reasons(found.selection).values()) == ["blocky", "plain", "selected", "selected"]
    assert sorted(reasons(found.selection)) == sorted(all_tiles["tile_id"].to_pylist())
    assert [(row["rows"], row["selected"]) for row in found.lost] == [(2, 1), (2, 1)]


def test_the_ladder_tells_score_and_size_of_each_count_that_there_are_tiles_for():
    all_tiles = tiles()
    rising = np.arange(20.0).tolist()
    found = ranked(
        all_tiles,
        signals(all_tiles, sharpness=rising, complexity=[8.0] * 20),
        None,
        settings(metric="sharpness", strata=[], ladder=[50, 10, 4]),
    )
    assert [(step["count"], step["mean_score"], step["bytes"]) for step in found.ladder] == [
        (10, 14.5, 10 * 128 * 128),
        (4, 17.5, 4 * 128 * 128),
    ]
    assert ladder_markdown(found.ladder).splitlines()[2] == "| 10 | 10 | 14.5 | 10 | 0.2 |"
    assert ladder_markdown([]) == ""
    assert ladder_curve(found.ladder).startswith("![curve](data:image/png;base64,")
    assert ladder_curve(found.ladder[:1]) == ladder_curve([]) == ""


@pytest.mark.parametrize("measured", [0, 3])
def test_tiles_that_were_not_measured_are_not_selected(measured: int):
    all_tiles = tiles(3)
    some = signals(all_tiles).slice(0, measured)
    found = ranked(all_tiles, some, None, settings(metric="sharpness", by="count", amount=0.0))
    assert list(reasons(found.selection).values()).count("selected") == measured
    assert list(reasons(found.selection).values()).count("not_scored") == 6 - measured


def test_tiles_of_a_picture_that_another_episode_has_too_are_left_out_whatever_their_score():
    all_tiles = tiles(3)
    how = settings(metric="sharpness", amount=0.0)
    found = reasons(ranked(all_tiles, signals(all_tiles), None, how, repeated={"a.a/01"}).selection)
    assert found == {it: "repeated" if it.startswith("a.a/01") else "selected" for it in found}
    assert len(found) == 6


def test_of_tiles_that_look_alike_at_one_place_of_an_episode_the_best_stays():
    all_tiles = tiles(4)
    rng = np.random.default_rng(0)
    street, other = (rng.integers(0, 256, 256).astype(np.uint8) for _ in range(2))
    flat = np.full(256, 90, np.uint8)
    looks = {  # by tile: what it shows, and its sharpness
        "00@1": (street, 1.0), "01@1": (street, 9.0), "02@1": (other, 3.0), "03@1": (street, 4.0),
        "00@0.5": (flat, 5.0), "01@0.5": (flat, 6.0), "02@0.5": (street, 7.0), "03@0.5": (other, 8.0),
    }  # fmt: skip
    rows = signals(all_tiles).to_pylist()
    for row in rows:
        look, row["sharpness"] = looks[row["image_id"].partition("/")[2]]
        row["signature"] = look.tobytes()
    measured, how = SCHEMAS["sr_tile_signals"].table(rows), settings(metric="sharpness", amount=0.0)
    found = reasons(ranked(all_tiles, measured, None, how, similarity=0.98).selection)
    assert {name for name, reason in found.items() if reason != "selected"} == {"a.a/00@1", "a.a/03@1"}
    assert {found["a.a/00@1"], found["a.a/03@1"]} == {"duplicate"}
    assert set(reasons(ranked(all_tiles, measured, None, how).selection).values()) == {"selected"}
