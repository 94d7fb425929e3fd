"""Details of drawn episodes, from the settings to the exported folder."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from dataset_pipeline.base.boxes import iou, place_of

ON = {"details__enabled": True, "details__target_px": 128, "selection__max_crop_share": 1.0}


@pytest.mark.thorough
def test_details_are_made_where_they_are_wanted_and_cost_their_own_pictures_alone(copy_of_finished, drawn_show):
    outcome, calls = copy_of_finished.run(drawn_show.folder, **ON)
    assert not outcome.failures, outcome.failures
    rows = copy_of_finished.rows("details")
    kept = [row for row in rows if row["kept"]]
    print(Counter((row["kind"], row["reason"]) for row in rows), calls)
    kinds = Counter(row["kind"] for row in kept)
    assert all(kinds[f"{kind}detail"] >= 5 for kind in ("face", "clothes", "object"))
    assert calls == {"quality.pictures": len(kept), "tagger.pictures": len(kept)}
    assert max(Counter(row["still_id"] for row in kept).values()) <= 2
    by_still = itertools.groupby(sorted(kept, key=lambda row: row["still_id"]), lambda row: row["still_id"])
    for _, of_still in by_still:
        assert all(iou(place_of(one), place_of(other)) <= 0.5 for one, other in itertools.combinations(of_still, 2))
    in_set = {row["image_id"]: row for row in copy_of_finished.rows("training_set")}
    selected = {row["image_id"] for row in copy_of_finished.rows("selection") if row["selected"]}
    ours = {row["image_id"] for row in kept} & selected
    assert ours <= in_set.keys()
    assert len(ours) >= 0.5 * len(kept)
    assert all(in_set[it]["width_px"] == in_set[it]["height_px"] for it in ours)
    named = [bool(in_set[it]["characters"]) for it in ours if "#facedetail" in it]
    assert sum(named) >= 0.7 * len(named)
    assert len(list(copy_of_finished.exported_folder.rglob("*detail*.webp"))) >= len(ours)
    outcome, calls = copy_of_finished.run(drawn_show.folder, **ON, details__max_per_still=1)
    assert not outcome.failures, outcome.failures
    # Where a still has fewer, another may show what it had.
    new = {row["image_id"] for row in copy_of_finished.rows("details") if row["kept"]} - {it["image_id"] for it in kept}
    assert calls.get("quality.pictures", 0) == calls.get("tagger.pictures", 0) == len(new) <= 3
