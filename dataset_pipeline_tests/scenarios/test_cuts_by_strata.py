"""One cut for the training set and for tiles: at one score the low strata vanish, with shares each keeps its own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dataset_pipeline.graph.declaration import behind
from dataset_pipeline_tests.scenarios.conftest import DrawnShow, Project

QUERIES = [{"name": "two", "query": "2girls or multiple_girls or 1boy and 1girl"}]


def kept_of_set(project: Project, show: DrawnShow, **cut: Any) -> tuple[Counter[str], Counter[str], dict[str, Any]]:
    """Selected images by character, those of them in the set, and the numbers and notes of the balance."""
    changes = {f"selection__{name}": value for name, value in cut.items()}
    outcome, calls = project.run(show.folder, **changes)
    assert outcome.failures == []
    assert not sum(calls.values())
    selected = [row for row in project.rows("selection") if row["selected"]]
    in_set = {row["image_id"] for row in project.rows("training_set")}
    before, after = (
        Counter(name for row in rows for name in row["characters"] or ["nobody"])
        for rows in (selected, [row for row in selected if row["image_id"] in in_set])
    )
    pointer = project.store.pointer("concept_balance")
    assert pointer is not None
    return before, after, dict(pointer.provenance.numbers) | dict(pointer.provenance.notes)


@pytest.mark.thorough
def test_each_character_keeps_its_share_of_the_set_and_each_scale_of_the_tiles(
    copy_of_finished: Project, drawn_show: DrawnShow, tmp_path: Path
):
    project = copy_of_finished
    half = {"amount": 50.0, "strata": ["character"]}
    before, after, told = kept_of_set(project, drawn_show, **half)
    assert len(before) >= 3
    for name, count in before.items():
        assert after[name] >= count // 2
    assert told["left_out_low_score"] > 0
    assert told["mean_lost"] > 0
    assert f"The mean score is {told['mean_lost']:.4g} worse" in told["strata"]
    _, whole, at_one_score = kept_of_set(project, drawn_show, **half, in_strata=False)
    assert at_one_score["mean_lost"] == 0
    assert min(whole[name] / count for name, count in before.items()) < 0.4

    cut = {"sr_selection__strata": ["copy", "query"], "sr_selection__queries": QUERIES, "sr_sources__of": "stills"}
    size = {"sr_tiles__tile_px": 160, "sr_tiles__step_px": 160, "sr_tiles__shortest_edge_px": 160}
    needed = behind("sr_set", project.settings(**cut))
    assert {"tag_scores", "clusters"} <= needed
    outcome, _ = project.run(drawn_show.folder, only=needed, **cut, **size)
    assert outcome.failures == []
    pointer = project.store.pointer("sr_selection")
    assert pointer is not None
    lines = [line.strip("| ").split(" | ") for line in pointer.provenance.notes["strata"].splitlines()[2:-2]]
    assert {stratum.split(" / ")[1] for stratum, *_ in lines} == {"none", "two"}
    assert len({stratum.split(" / ")[0] for stratum, *_ in lines}) >= 2
    copies = {row["tile_id"]: row["copy"] for row in project.rows("sr_tiles")}
    alike = [row["tile_id"] for row in project.rows("sr_selection") if row["reason"] in ("repeated", "duplicate")]
    repeated = Counter(copies[tile_id] for tile_id in alike)
    for stratum, tiles, selected, *_ in lines:
        assert int(selected) >= (int(tiles) - repeated[stratum.split(" / ")[0]]) * 4 // 5, stratum
